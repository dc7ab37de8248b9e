//! Closing in good order, so that the next start need not look at every file.
//!
//! The last thing a store writes is a note: for each node that is certain to be as its index says, when each of its folders changed
//! last. The first thing the next start does is to take the note away, durably, before anything else is written: it stands for
//! one start, and after a crash there is none. A node is compared with its folder as after a crash when the note does not speak of it, or
//! when one of these folders has changed since, by however little: another server was here.
//!
//! Packs are in 256 folders of their own, which are not looked at: every client of this protocol that adds or removes packs also
//! locks, and changes an index. A pack without an index is nobody's, and a file that is lost without a trace in its folder is what deep
//! verify is for.

use super::error::EngineError;
use super::layout::{self, FOLDERS, sync_folder};
use super::nodes::NodeCell;
use super::{Engine, Mode};
use serde::{Deserialize, Serialize};
use shardlift_model::NodeId;
use shardlift_net::disk::{How, WriteFile};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

const FILE: &str = "closed.json";

/// When the node's own folder and those of its kinds changed last, in nanoseconds since 1970.
type Stamps = [u64; 1 + FOLDERS.len()];

/// What the last close has noted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Note {
    nodes: BTreeMap<String, Stamps>,
}

impl Note {
    /// Takes the note of the last close, if there is one. It is gone for good when this returns.
    pub(super) fn take(state: &Path) -> Result<Self, EngineError> {
        let path = state.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(EngineError::io("read", path)(error)),
        };
        layout::remove(&path)?;
        sync_folder(state)?;
        // One that is half written is none.
        Ok(serde_json::from_slice(&text).unwrap_or_default())
    }

    fn write(&self, state: &Path) -> Result<(), EngineError> {
        let path = state.join(FILE);
        let write = || {
            let mut file = WriteFile::open(&path, How::Emptied(0o600))?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync()
        };
        write().map_err(EngineError::io("write", &path))?;
        sync_folder(state)
    }
}

impl Engine {
    /// True when a node is certain to be as it was when the store was closed in good order.
    pub(super) fn is_untouched(&self, note: &Note, node: &NodeId) -> bool {
        note.nodes.get(node.as_str()).is_some_and(|then| self.stamps(node).is_ok_and(|now| now == *then))
    }

    /// Notes what is certain. Nobody changes anything any more.
    pub(super) fn note_closed(&self) -> Result<(), EngineError> {
        let mut note = Note::default();
        for cell in self.nodes.all() {
            if is_certain(&cell)
                && let Ok(stamps) = self.stamps(&cell.id)
            {
                note.nodes.insert(cell.id.to_string(), stamps);
            }
        }
        note.write(&self.config.state)
    }

    fn stamps(&self, node: &NodeId) -> std::io::Result<Stamps> {
        let folder = self.layout.node(node);
        let mut stamps = [0; 1 + FOLDERS.len()];
        stamps[0] = changed(&folder)?;
        for (stamp, kind) in stamps[1..].iter_mut().zip(FOLDERS) {
            *stamp = changed(&folder.join(kind.as_str()))?;
        }
        Ok(stamps)
    }
}

/// Nothing is half done, nothing has failed, nothing is known to be wrong.
fn is_certain(cell: &NodeCell) -> bool {
    let in_place = !matches!(cell.record().mode, Mode::Discarded | Mode::Quarantined { .. });
    // Looked at first: a section that fails leaves its doubt before it ends.
    let at_rest = *cell.critical.borrow() == 0 && cell.reserved.load(Ordering::SeqCst) == 0;
    let sound = cell.alarms() == 0 && !cell.doubtful.load(Ordering::SeqCst);
    in_place && at_rest && sound
}

fn changed(folder: &Path) -> std::io::Result<u64> {
    let changed = std::fs::metadata(folder)?.modified()?.duration_since(UNIX_EPOCH).map_err(std::io::Error::other)?;
    u64::try_from(changed.as_nanos()).map_err(std::io::Error::other)
}
