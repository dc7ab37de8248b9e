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
use super::nodes::{NodeCell, lock};
use super::{Engine, Mode};
use serde::{Deserialize, Serialize};
use shardlift_model::NodeId;
use shardlift_net::disk::{How, WriteFile};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

const FILE: &str = "closed.json";

/// How long a close waits for changes that are half done.
const REST_TIME_MAX: Duration = Duration::from_secs(5);

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
    /// Finishes what was recorded and lets go of the index. Everything asked afterwards answers [`EngineError::Stopped`]. What is certain
    /// then the next start need not look at again.
    ///
    /// # Errors
    /// When the index cannot be closed within ten seconds; the next start repairs it then.
    pub async fn close(self: &Arc<Self>) -> Result<(), EngineError> {
        // A store that has stopped already has said why.
        let _ = self.save_activities().await;
        self.come_to_rest().await;
        self.writer.stop().await;
        let Some(mut db) = lock(&self.db).take() else { return Ok(()) };
        for _ in 0..1000 {
            match Arc::try_unwrap(db) {
                Ok(alone) => {
                    return self
                        .blocking(move |engine| {
                            alone.close().map_err(EngineError::index)?;
                            engine.note_closed()
                        })
                        .await;
                }
                // A question is being answered still.
                Err(shared) => db = shared,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(EngineError::Stopped)
    }

    /// Waits for what is half done, for some seconds at most: what takes longer is settled by the next start.
    async fn come_to_rest(&self) {
        let cells = self.nodes.all();
        let resting = async {
            for cell in &cells {
                // The sender is the cell's own: it is never gone here.
                let _ = cell.critical.subscribe().wait_for(|count| *count == 0).await;
            }
        };
        if tokio::time::timeout(REST_TIME_MAX, resting).await.is_err() {
            tracing::warn!("the store is closed in the middle of a change");
        }
    }

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
