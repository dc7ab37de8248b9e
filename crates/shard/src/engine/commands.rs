//! Commands of the controller that change a node's record: token and change in one transaction (INV-03).
//!
//! A command may come twice; the second time its edit finds what it wants and changes nothing. Modes are changed through
//! [`crate::admission`], which knows what clients are doing.

use super::error::EngineError;
use super::layout::{self, FOLDERS};
use super::record::{Accepted, Mode, ReplicaRecord, Settings};
use super::writer::{Done, Edit, Work};
use super::{Engine, NodeRecord};
use crate::witness;
use shardlift_model::{NodeId, ShardId, Token};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

impl Engine {
    /// Persists a token before something is done in memory only.
    ///
    /// # Errors
    /// [`EngineError::StaleToken`], [`EngineError::NodeUnknown`], or a failure.
    pub async fn accept_token(self: &Arc<Self>, node: &NodeId, token: Token) -> Result<Accepted, EngineError> {
        self.submit_command(node, token, None, Box::new(|_| Ok(()))).await
    }

    /// Token and change of record in one transaction. The edit must find its own work done when it runs again. When it refuses,
    /// the token stays accepted and the record as it was.
    ///
    /// # Errors
    /// [`EngineError::StaleToken`], [`EngineError::NodeUnknown`], what the edit refuses, or a failure.
    pub async fn command(
        self: &Arc<Self>,
        node: &NodeId,
        token: Token,
        edit: impl FnOnce(&mut NodeRecord) -> Result<(), EngineError> + Send + 'static,
    ) -> Result<Accepted, EngineError> {
        let accepted = self.submit_command(node, token, None, Box::new(edit)).await?;
        if accepted == Accepted::Repeated {
            tracing::trace!(target: witness::REPEATED, %node, "a command came again");
        }
        Ok(accepted)
    }

    /// A command that sets the mode and nothing else. Legality is the caller's.
    ///
    /// # Errors
    /// As [`Engine::command`]; [`EngineError::Refused`] for [`Mode::Fenced`], which is never persisted.
    pub async fn set_mode(self: &Arc<Self>, node: &NodeId, token: Token, mode: Mode) -> Result<Accepted, EngineError> {
        if mode == Mode::Fenced {
            return Err(EngineError::refused("a fence is never persisted"));
        }
        let accepted = self
            .command(node, token, move |record| {
                record.mode = mode;
                Ok(())
            })
            .await?;
        self.cell(node)?.follow_mode();
        Ok(accepted)
    }

    async fn submit_command(
        self: &Arc<Self>,
        node: &NodeId,
        token: Token,
        create: Option<Mode>,
        edit: Edit,
    ) -> Result<Accepted, EngineError> {
        match self.writer.submit(node, Work::Command { token, create, edit }).await? {
            Done::Accepted(accepted) => Ok(accepted),
            _ => Err(EngineError::Stopped),
        }
    }

    /// Gives a node its settings; makes it, serving, when it is unknown.
    ///
    /// # Errors
    /// As [`Engine::command`]; [`EngineError::Refused`] beyond a limit.
    pub async fn configure(
        self: &Arc<Self>,
        node: &NodeId,
        token: Token,
        settings: Settings,
    ) -> Result<Accepted, EngineError> {
        settings.check()?;
        let edit = Box::new(move |record: &mut NodeRecord| {
            record.settings = settings;
            Ok(())
        });
        let accepted = self.submit_command(node, token, Some(Mode::Serving), edit).await?;
        let (id, record) = (node.clone(), self.cell(node)?.record());
        if record.mode == Mode::Serving {
            self.blocking(move |engine| engine.layout.create(&id)).await?;
        }
        Ok(accepted)
    }

    /// Lets one shard, and no other, read the node.
    ///
    /// # Errors
    /// As [`Engine::command`].
    pub async fn offer(
        self: &Arc<Self>,
        node: &NodeId,
        token: Token,
        target: ShardId,
    ) -> Result<Accepted, EngineError> {
        let edit = move |record: &mut NodeRecord| {
            record.offered_to = Some(target);
            Ok(())
        };
        self.command(node, token, edit).await
    }

    /// Ends old credentials for this node (INV-09: at release and not before, which is the controller's to know).
    ///
    /// # Errors
    /// As [`Engine::command`]; [`EngineError::Refused`] unless this shard is the writer.
    pub async fn end_legacy_credentials(
        self: &Arc<Self>,
        node: &NodeId,
        token: Token,
    ) -> Result<Accepted, EngineError> {
        let edit = |record: &mut NodeRecord| match record.mode {
            Mode::Serving => {
                record.settings.legacy_credentials_ended = true;
                Ok(())
            }
            _ => Err(EngineError::refused(format!("the node is {} here", record.mode.word()))),
        };
        self.command(node, token, edit).await
    }

    /// Makes the node an incoming copy, or finds that it is one. Recorded before its folder is made. A copy that followed this
    /// source before follows it again, from where it stood; one that was deposed begins by listing.
    ///
    /// # Errors
    /// As [`Engine::command`]; [`EngineError::Refused`] when the node is here in any other role.
    pub async fn start_incoming(
        self: &Arc<Self>,
        node: &NodeId,
        token: Token,
        source: ShardId,
        source_peer_address: String,
        accept_damaged: bool,
    ) -> Result<Accepted, EngineError> {
        let mode = Mode::Incoming { source, source_peer_address, accept_damaged };
        let wanted = mode.clone();
        let edit = Box::new(move |record: &mut NodeRecord| match (&record.mode, &wanted) {
            (Mode::Incoming { source, .. }, Mode::Incoming { source: again, .. }) if source == again => {
                record.mode = wanted;
                // It follows on; what else it was asked to do is forgotten.
                record.replica.get_or_insert_default().verify_asked = false;
                Ok(())
            }
            // Its history has parted from the writer's: what only it had is no longer the node's. A copy like a first one, which finds
            // most objects here already.
            (Mode::Retired { .. }, _) if record.begins_anew => {
                record.mode = wanted;
                (record.begins_anew, record.replica) = (false, Some(ReplicaRecord::default()));
                Ok(())
            }
            (Mode::Retired { target }, Mode::Incoming { source, .. }) => {
                super::retired::may_follow_again(record.replica.as_ref(), target, source)?;
                record.mode = wanted;
                Ok(())
            }
            (Mode::Discarded, _) => {
                // Its rows are gone only after its files are.
                if record.total(true).objects > 0 {
                    return Err(EngineError::refused("an earlier copy is still being discarded"));
                }
                record.mode = wanted;
                record.replica = Some(ReplicaRecord::default());
                Ok(())
            }
            (mode, _) => Err(EngineError::refused(format!("the node is {} here", mode.word()))),
        });
        let accepted = self.submit_command(node, token, Some(mode), edit).await?;
        let cell = self.cell(node)?;
        cell.follow_mode();
        let id = node.clone();
        self.on_tree(move |engine| engine.layout.create(&id)).await?;
        Ok(accepted)
    }

    /// Gives an incoming copy up: recorded first, then its files go, then its rows. What is gone already counts as done.
    ///
    /// # Errors
    /// As [`Engine::command`]; [`EngineError::Refused`] when the node is anything but an incoming copy that was never the
    /// writer: this deletes (INV-07, INV-12).
    pub async fn discard(self: &Arc<Self>, node: &NodeId, token: Token) -> Result<Accepted, EngineError> {
        let edit = |record: &mut NodeRecord| match record.mode {
            Mode::Incoming { .. } if record.follows().is_some() => Err(EngineError::refused(
                "the copy follows the writer and may be the only other good one; it can be detached or put into quarantine",
            )),
            Mode::Incoming { .. } | Mode::Discarded => {
                record.mode = Mode::Discarded;
                Ok(())
            }
            _ => Err(EngineError::refused(format!(
                "the node is {} here; only an incoming copy is discarded",
                record.mode.word()
            ))),
        };
        // A discard for a node that never came is done; its token must be kept all the same.
        let accepted = self.submit_command(node, token, Some(Mode::Discarded), Box::new(edit)).await?;
        let cell = self.cell(node)?;
        cell.follow_mode();
        let mut critical = cell.critical.subscribe();
        // Objects on their way in are refused by the index from now on; their last files are gone when this is zero.
        critical.wait_for(|count| *count == 0).await.map_err(|_| EngineError::Stopped)?;
        let id = node.clone();
        self.on_tree(move |engine| engine.remove_files(&id)).await?;
        self.writer.submit(node, Work::Forget).await?;
        lock_clear(&cell);
        Ok(accepted)
    }

    /// Takes a discarded copy off the disk. Only what belongs to this node and has the name of an object; anything else stays.
    pub(crate) fn remove_files(&self, node: &NodeId) -> Result<(), EngineError> {
        if self.cell(node)?.record().mode != Mode::Discarded {
            return Err(EngineError::refused("only a discarded copy is removed"));
        }
        let folder = self.layout.node(node);
        for kind in FOLDERS {
            let kind = folder.join(kind.as_str());
            for path in entries(&kind)? {
                if path.is_dir() {
                    remove_objects(&path)?
                }
            }
            remove_objects(&kind)?;
        }
        for path in entries(&folder)? {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name == "config" || layout::is_temp(&name) {
                layout::remove(&path)?;
            }
        }
        let account = folder.parent().filter(|parent| *parent != self.layout.root());
        remove_empty(&folder)?;
        account.map_or(Ok(()), remove_empty)
    }
}

fn lock_clear(cell: &super::nodes::NodeCell) {
    super::nodes::lock(&cell.missing).clear();
    super::nodes::lock(&cell.rotten).clear();
}

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>, EngineError> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(EngineError::io("list", folder))?,
    };
    entries.map(|entry| Ok(entry.map_err(EngineError::io("list", folder))?.path())).collect()
}

fn remove_objects(folder: &Path) -> Result<(), EngineError> {
    for path in entries(folder)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.parse::<shardlift_model::Sha256>().is_ok() || layout::is_temp(&name) {
            layout::remove(&path)?;
        }
    }
    remove_empty(folder)
}

/// Removes a folder if nothing is in it. Somebody else's files keep it.
fn remove_empty(folder: &Path) -> Result<(), EngineError> {
    match shardlift_net::disk::remove_folder(folder) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
            Err(EngineError::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}
