//! What each node does here, counted by hour of the week and kept: what plans are made from. It travels with the node.
//!
//! Counted in memory with every request, written down every five minutes and at the end: a crash takes the last minutes of one hour
//! along, never more. A node at rest is not written; what its hours without a request mean is worked out when the index is loaded.

use super::error::EngineError;
use super::nodes::{NodeCell, Nodes, lock};
use super::record::Mode;
use super::writer::Work;
use super::{Engine, now, tables};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableError};
use shardlift_model::activity::Counts;
use shardlift_model::{Activity, NodeId, UnixMillis};
use std::sync::Arc;

/// An activity, and whether something of it is not written down yet.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) activity: Activity,
    unsaved: bool,
}

impl NodeCell {
    fn bytes(&self) -> u64 {
        self.record().total(true).bytes
    }

    /// Closes the hours that are over. Copies stand still: what their nodes do comes with them from the writer.
    fn advance_activity(&self, now: UnixMillis) {
        if matches!(self.record().mode, Mode::Serving) {
            lock(&self.activity).activity.advance(now, || self.bytes());
        }
    }
}

impl Engine {
    /// Counts something that a node's client did just now.
    pub(crate) fn note_activity(&self, node: &NodeId, counts: Counts) {
        let Some(cell) = self.nodes.get(node) else { return };
        let mut kept = lock(&cell.activity);
        kept.activity.note(now(), counts, || cell.bytes());
        kept.unsaved = true;
    }

    /// Takes note of what a node's client calls itself.
    pub(crate) fn note_client(&self, node: &NodeId, agent: &str) {
        let Some(cell) = self.nodes.get(node) else { return };
        let mut kept = lock(&cell.activity);
        if kept.activity.note_client(agent) {
            kept.unsaved = true;
        }
    }

    /// A node's activity up to now.
    #[must_use]
    pub fn activity(&self, node: &NodeId) -> Option<Activity> {
        let cell = self.nodes.get(node)?;
        cell.advance_activity(now());
        let activity = lock(&cell.activity).activity.clone();
        Some(activity)
    }

    /// Closes the hours that are over, of all nodes.
    pub fn advance_activities(&self, now: UnixMillis) {
        self.nodes.all().iter().for_each(|cell| cell.advance_activity(now));
    }

    /// Writes down what is not written yet.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] when the store takes no more changes.
    pub async fn save_activities(&self) -> Result<(), EngineError> {
        for cell in self.nodes.all() {
            let bytes = {
                let mut kept = lock(&cell.activity);
                std::mem::take(&mut kept.unsaved).then(|| kept.activity.encode())
            };
            if let Some(bytes) = bytes {
                self.writer.notify(&cell.id, Work::Activity(bytes)).await?;
            }
        }
        Ok(())
    }

    /// Takes over the activity of a node that comes from elsewhere; durable when it returns.
    pub(super) async fn take_activity(self: &Arc<Self>, node: &NodeId, activity: Activity) -> Result<(), EngineError> {
        let cell = self.cell(node)?;
        self.writer.submit(node, Work::Activity(activity.encode())).await?;
        *lock(&cell.activity) = Kept { activity, unsaved: false };
        Ok(())
    }
}

/// Reads what was written down. The last hour that anybody wrote in is the last one in which the shard is known to have been there.
/// What does not read is begun anew: it is a measurement, and no node is refused for it.
pub(super) fn load(db: &Database, nodes: &Nodes) -> Result<(), EngineError> {
    let read = db.begin_read().map_err(EngineError::index)?;
    let table = match read.open_table(tables::ACTIVITY) {
        // An index from before there was any.
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        opened => opened.map_err(EngineError::index)?,
    };
    let mut loaded = Vec::new();
    for row in table.iter().map_err(EngineError::index)? {
        let (key, value) = row.map_err(EngineError::index)?;
        let node = tables::node_in_key(key.value())?;
        match (nodes.get(&node), Activity::decode(value.value())) {
            (Some(cell), Ok(activity)) => loaded.push((cell, activity)),
            (_, Err(error)) => tracing::warn!(%node, %error, "what the node does is counted anew"),
            (None, Ok(_)) => {}
        }
    }
    let watched_until = loaded.iter().map(|(_, activity)| activity.present_hour()).max().unwrap_or(0);
    for (cell, mut activity) in loaded {
        if matches!(cell.record().mode, Mode::Serving) {
            activity.resume(watched_until, now(), cell.bytes());
        }
        *lock(&cell.activity) = Kept { activity, unsaved: false };
    }
    Ok(())
}
