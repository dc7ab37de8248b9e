//! Reading a node's own files again: what is on the disk now, not what was acknowledged once.
//!
//! Two sorts of damage are told apart. *Known* is what the copy was given as it is: an object whose bytes are what its record
//! says, and whose record was not what its name says when the node came to be served here (up to its promotion; its
//! [`super::FinalState`] counted it) or which is so in a copy that another shard is the writer of. All else arose here: bytes
//! that are not those recorded, and objects that this copy's journal calls damaged after its promotion.

use super::Engine;
use super::disk::{Reading, STEP_BYTES, is_absent, is_unreadable};
use super::error::EngineError;
use super::nodes::NodeCell;
use super::pace::Pace;
use super::record::Mode;
use super::rot::Rot;
use super::tables::Op;
use shardlift_model::{NodeId, ObjectKey, ObjectRecord, Sha256};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Objects looked up at a time.
const PAGE: usize = 500;

/// Changes of the journal looked at at a time.
const CHANGES: usize = 10_000;

/// What reading an object again has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The bytes are those that its name promises, or for a config those recorded.
    Good,
    /// They are what was recorded when the copy was given; see the module.
    KnownDamaged,
    /// They became others here, or cannot be read.
    Damaged,
    /// The file is gone.
    Missing,
}

/// An object, read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadAgain {
    pub(crate) key: ObjectKey,
    pub(crate) bytes: u64,
    pub(crate) finding: Finding,
}

/// A way through all objects of a node in the order of their keys.
pub(crate) struct Walk {
    engine: Arc<Engine>,
    cell: Arc<NodeCell>,
    after: Option<ObjectKey>,
    page: VecDeque<ObjectRecord>,
    more: bool,
    arisen: Arisen,
}

impl Walk {
    /// Begins after this object.
    pub(crate) fn new(engine: &Arc<Engine>, cell: &Arc<NodeCell>, after: Option<ObjectKey>) -> Self {
        let (engine, cell) = (Arc::clone(engine), Arc::clone(cell));
        Self { engine, cell, after, page: VecDeque::new(), more: true, arisen: Arisen::default() }
    }

    /// The next one, as it is recorded.
    pub(crate) async fn next(&mut self) -> Result<Option<ObjectRecord>, EngineError> {
        if self.page.is_empty() && self.more {
            let page = self.engine.page_objects(&self.cell.id, self.after, PAGE, true).await?;
            self.more = page.more;
            self.page = page.objects.into();
        }
        let next = self.page.pop_front();
        self.after = next.map(|record| record.key).or(self.after);
        Ok(next)
    }

    /// Reads an object. What does not match its record is recorded or becomes an alarm, see [`Engine::record_rot`]. `None` when
    /// it was deleted meanwhile.
    pub(crate) async fn read(
        &mut self,
        record: &ObjectRecord,
        pace: &Pace<'_>,
    ) -> Result<Option<ReadAgain>, EngineError> {
        let node = &self.cell.id;
        let found = match self.engine.read_paced(node, record, pace).await {
            // Looked at once more below.
            Err(error) if is_unreadable(&error) => None,
            found => found?,
        };
        let bytes = found.map_or(0, |(size, _)| size);
        let of = |finding| Ok(Some(ReadAgain { key: record.key, bytes, finding }));
        if found == Some((record.size, record.sha256)) {
            return of(self.finding(record).await?);
        }
        match self.engine.record_rot(node, record.key).await? {
            Rot::Missing => of(Finding::Missing),
            Rot::Alarm | Rot::Recorded(_) => of(Finding::Damaged),
            // Deleted, replaced or healed since it was listed; or somebody else was first to record what is there.
            Rot::None => match self.engine.object(node, record.key).await? {
                Some(present) => of(self.finding(&present).await?),
                None => Ok(None),
            },
        }
    }

    /// Of an object whose bytes are what its record says.
    async fn finding(&mut self, record: &ObjectRecord) -> Result<Finding, EngineError> {
        if !record.is_damaged() {
            return Ok(Finding::Good);
        }
        let arose = self.arisen.has(&self.engine, &self.cell, &record.key).await?;
        Ok(if arose { Finding::Damaged } else { Finding::KnownDamaged })
    }
}

/// What a writer's journal calls damaged after its promotion.
#[derive(Debug, Default)]
struct Arisen {
    /// Looked at up to here.
    seq: u64,
    keys: BTreeSet<ObjectKey>,
}

impl Arisen {
    async fn has(&mut self, engine: &Arc<Engine>, cell: &Arc<NodeCell>, key: &ObjectKey) -> Result<bool, EngineError> {
        let record = cell.record();
        if record.mode != Mode::Serving {
            return Ok(false);
        }
        self.seq = self.seq.max(record.promoted_seq);
        loop {
            let (changes, last) = engine.changes(&cell.id, self.seq, CHANGES).await?;
            for change in &changes {
                self.seq = change.seq;
                if let Op::Put(put) = change.op
                    && put.is_damaged()
                {
                    self.keys.insert(put.key);
                }
            }
            if changes.is_empty() || self.seq >= last {
                return Ok(self.keys.contains(key));
            }
        }
    }
}

impl Engine {
    /// Length and hash of the file of a recorded object, `None` when it is missing. Hashed on threads for what blocks, step by
    /// step, each when its bytes are due.
    async fn read_paced(
        self: &Arc<Self>,
        node: &NodeId,
        record: &ObjectRecord,
        pace: &Pace<'_>,
    ) -> Result<Option<(u64, Sha256)>, EngineError> {
        let (path, expected) = (self.layout.file(node, &record.key), record.size);
        pace.begin(expected.min(STEP_BYTES as u64)).await;
        let opening = move |engine: &Self| match Reading::open(&path, expected) {
            Err(error) if is_absent(&error) => Ok(None),
            reading => engine.step(reading?).map(Some),
        };
        let Some((mut reading, mut ended)) = self.blocking(opening).await? else { return Ok(None) };
        while !ended {
            let left = match expected.checked_sub(reading.size()) {
                Some(left) => left.min(STEP_BYTES as u64),
                // Longer than it should be.
                None => STEP_BYTES as u64,
            };
            pace.take(left).await;
            (reading, ended) = self.blocking(move |engine| engine.step(reading)).await?;
        }
        reading.finish().map(Some)
    }

    fn step(&self, mut reading: Reading) -> Result<(Reading, bool), EngineError> {
        let before = reading.size();
        let ended = reading.step()?;
        self.readers.read(reading.way(), reading.size() - before);
        Ok((reading, ended))
    }
}
