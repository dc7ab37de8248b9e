//! Quarantine: an old copy is renamed aside, whole and read-only, and can be renamed back.
//!
//! `<data>/.quarantine/<node>/` holds the config and the folders of the kinds, and nothing else: the folder of another node may
//! lie inside this one's. The record says "quarantined" before the first rename and "retired" only after the last one back, so
//! whatever a crash leaves in between is finished at the next start. Index and journal rows stay, and the bytes stay counted.
//!
//! INV-07, INV-12: nothing is deleted and nothing overwritten here, and the writer is never touched.

use super::error::EngineError;
use super::layout::{FOLDERS, make_folder, sync_folder};
use super::record::{Accepted, Mode};
use super::{Engine, NodeRecord};
use shardlift_model::{NodeId, Token};
use shardlift_net::disk;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Modes of a folder and of the config while aside, and in use.
const ASIDE: (u32, u32) = (0o500, 0o400);
const IN_USE: (u32, u32) = (0o700, 0o600);

impl Engine {
    /// Renames an old copy aside. Recorded first. Its job has ended before this is called.
    ///
    /// # Errors
    /// As [`Engine::command`]; [`EngineError::Refused`] unless the node is retired here or follows the writer.
    pub async fn quarantine(self: &Arc<Self>, node: &NodeId, token: Token) -> Result<Accepted, EngineError> {
        let edit = |record: &mut NodeRecord| {
            let target = match (&record.mode, record.follows()) {
                (_, Some(source)) => source.clone(),
                (Mode::Retired { target }, None) => target.clone(),
                (Mode::Quarantined { .. }, None) => return Ok(()),
                (mode, None) => {
                    let text = format!("the node is {} here; only an old copy is put into quarantine", mode.word());
                    return Err(EngineError::refused(text));
                }
            };
            record.mode = Mode::Quarantined { target };
            record.forward = None;
            record.offered_to = None;
            Ok(())
        };
        let accepted = self.command(node, token, edit).await?;
        let cell = self.cell(node)?;
        cell.follow_mode();
        // What was on its way in is refused by the index from now on; its last file is gone when this is zero.
        cell.critical.subscribe().wait_for(|count| *count == 0).await.map_err(|_| EngineError::Stopped)?;
        let id = node.clone();
        self.blocking(move |engine| engine.move_aside(&id)).await?;
        Ok(accepted)
    }

    /// Takes a copy out of quarantine: it is retired again. Recorded last.
    ///
    /// # Errors
    /// As [`Engine::command`]; [`EngineError::Refused`] unless the node is in quarantine or retired.
    pub async fn restore(self: &Arc<Self>, node: &NodeId, token: Token) -> Result<Accepted, EngineError> {
        // INV-03: durable before a file moves.
        self.accept_token(node, token).await?;
        let cell = self.cell(node)?;
        if matches!(cell.record().mode, Mode::Quarantined { .. }) {
            let id = node.clone();
            self.blocking(move |engine| engine.move_back(&id)).await?;
        }
        let edit = |record: &mut NodeRecord| match &record.mode {
            Mode::Quarantined { target } => {
                record.mode = Mode::Retired { target: target.clone() };
                Ok(())
            }
            Mode::Retired { .. } => Ok(()),
            mode => Err(EngineError::refused(format!("the node is {} here, not in quarantine", mode.word()))),
        };
        let accepted = self.command(node, token, edit).await?;
        cell.follow_mode();
        Ok(accepted)
    }

    /// Moves what is still in its place. May be repeated at any point.
    pub(crate) fn move_aside(&self, node: &NodeId) -> Result<(), EngineError> {
        if !matches!(self.cell(node)?.record().mode, Mode::Quarantined { .. }) {
            return Err(EngineError::refused("only a copy that is recorded as quarantined is moved aside"));
        }
        let (place, aside) = (self.layout.node(node), self.layout.aside(node));
        make_folders(self.layout.root(), &aside)?;
        for name in own_names() {
            rename(&place.join(&name), &aside.join(&name))?;
            set_mode(&aside.join(&name), ASIDE)?;
        }
        settle(&aside, &place)
    }

    /// At start. What is in the way is for an operator to look at; it is no reason not to serve the others.
    pub(crate) fn finish_quarantine(&self, node: &NodeId) -> Result<(), EngineError> {
        match self.move_aside(node) {
            Err(error) if error.is_refusal() => {
                tracing::error!(%node, %error, "a copy cannot be moved into quarantine");
                Ok(())
            }
            moved => moved,
        }
    }

    fn move_back(&self, node: &NodeId) -> Result<(), EngineError> {
        let (place, aside) = (self.layout.node(node), self.layout.aside(node));
        make_folders(self.layout.root(), &place)?;
        for name in own_names() {
            // A folder that may not be written cannot be given another parent.
            set_mode(&aside.join(&name), IN_USE)?;
            rename(&aside.join(&name), &place.join(&name))?;
            set_mode(&place.join(&name), IN_USE)?;
        }
        settle(&place, &aside)
    }
}

/// All that is a node's own in its folder.
fn own_names() -> impl Iterator<Item = String> {
    std::iter::once("config".to_owned()).chain(FOLDERS.map(|kind| kind.as_str().to_owned()))
}

/// Makes the folders from `root` down to `folder`, durable.
fn make_folders(root: &Path, folder: &Path) -> Result<(), EngineError> {
    let chain: Vec<&Path> = folder.ancestors().take_while(|path| *path != root).collect();
    for path in chain.into_iter().rev() {
        make_folder(path).map_err(EngineError::io("create", path))?;
        if let Some(parent) = path.parent() {
            sync_folder(parent)?;
        }
    }
    Ok(())
}

/// What is not there was moved before. What is there already is never overwritten.
fn rename(source: &Path, target: &Path) -> Result<(), EngineError> {
    let exists = |path: &Path| path.try_exists().map_err(EngineError::io("look for", path));
    if !exists(source)? {
        return Ok(());
    }
    if exists(target)? {
        let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Err(EngineError::refused(format!("there is a {name} both in its place and aside; look at the folder")));
    }
    disk::rename(source, target).map_err(EngineError::io("rename", source))
}

fn set_mode(path: &PathBuf, (folder, file): (u32, u32)) -> Result<(), EngineError> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata.map_err(EngineError::io("look at", path))?,
    };
    let mode = if metadata.is_dir() { folder } else { file };
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(EngineError::io("protect", path))
}

/// Makes the renames durable: the new names first.
fn settle(target: &Path, source: &Path) -> Result<(), EngineError> {
    sync_folder(target)?;
    if source.is_dir() { sync_folder(source) } else { Ok(()) }
}
