//! Reading objects from the disk into frames, many small ones or a piece of a large one at a time. Blocks: for threads made for that.

use super::outgoing::Outgoing;
use crate::control::fault::of_engine;
use crate::engine::{Engine, EngineError};
use crate::replication::frame::Kind;
use aws_lc_rs::digest::{Context, SHA256};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::{CHUNK_BYTES_MAX, v1};
use shardlift_model::{NodeId, ObjectKey, ObjectRecord, Sha256};
use std::fs::File;
use std::sync::Arc;

/// Why the reader stops.
pub(super) enum Halt {
    /// The buffer is full.
    Full,
    /// All were read.
    Done,
    /// There is something odd about this object: somebody must look before the reader goes on with it, or have it skipped.
    Odd(ObjectKey, EngineError),
}

/// An object that is being read.
struct UnderWay {
    record: ObjectRecord,
    file: File,
    sent: u64,
    hash: Option<Context>,
}

/// One transfer.
pub(super) struct Reader {
    engine: Arc<Engine>,
    pub(super) node: NodeId,
    keys: Vec<ObjectKey>,
    next: usize,
    hashed: bool,
    under_way: Option<UnderWay>,
    /// The last one that was odd.
    odd: Option<ObjectKey>,
    /// What has been read, and is not what is recorded; to be taken out.
    pub(super) rotten: Vec<ObjectKey>,
    /// Sizes of what was read; to be taken out.
    pub(super) sent: Vec<u64>,
}

impl Reader {
    pub(super) fn new(engine: Arc<Engine>, node: NodeId, keys: Vec<ObjectKey>, hashed: bool) -> Self {
        let (rotten, sent) = (Vec::new(), Vec::new());
        Self { engine, node, keys, next: 0, hashed, under_way: None, odd: None, rotten, sent }
    }

    /// Appends frames until there is a reason to stop.
    pub(super) fn fill(&mut self, buffer: &mut Outgoing) -> Result<Halt, Fault> {
        let (engine, node) = (Arc::clone(&self.engine), self.node.clone());
        let view = engine.view(&node).map_err(of_engine)?;
        loop {
            if let Some(mut under_way) = self.under_way.take() {
                let whole = under_way.read(buffer).map_err(|error| unreadable(&under_way.record.key, error))?;
                if whole { self.end(under_way, buffer) } else { self.under_way = Some(under_way) }
            } else if let Some(key) = self.keys.get(self.next).copied() {
                match engine.open_now(&view, key) {
                    Ok(Some((record, file))) => self.begin(record, file, buffer),
                    Ok(None) => self.skip(v1::ObjectHead { absent: true, ..Default::default() }, buffer),
                    Err(error) => return Ok(Halt::Odd(key, error)),
                }
            } else {
                return Ok(Halt::Done);
            }
            if buffer.is_full() {
                return Ok(Halt::Full);
            }
        }
    }

    fn begin(&mut self, record: ObjectRecord, file: File, buffer: &mut Outgoing) {
        let head = v1::ObjectHead { position: self.position(), record: Some(record.into()), ..Default::default() };
        buffer.put(Kind::Object, &head);
        let hash = self.hashed.then(|| Context::new(&SHA256));
        self.under_way = Some(UnderWay { record, file, sent: 0, hash });
    }

    fn end(&mut self, object: UnderWay, buffer: &mut Outgoing) {
        let found = object.hash.map(|hash| {
            let mut found = [0; 32];
            found.copy_from_slice(hash.finish().as_ref());
            Sha256(found)
        });
        let sha256_read = found.map(|found| found.0.to_vec()).unwrap_or_default();
        buffer.put(Kind::End, &v1::ObjectEnd { sha256_read });
        if found.is_some_and(|found| found != object.record.sha256) {
            self.rotten.push(object.record.key);
        }
        self.sent.push(object.sent);
        self.next += 1;
    }

    /// The present object has no bytes to send.
    pub(super) fn skip(&mut self, head: v1::ObjectHead, buffer: &mut Outgoing) {
        buffer.put(Kind::Object, &v1::ObjectHead { position: self.position(), ..head });
        self.next += 1;
    }

    /// Whether it is the first time that somebody must look at this object.
    pub(super) fn is_new_to(&mut self, key: ObjectKey) -> bool {
        self.odd.replace(key) != Some(key)
    }

    fn position(&self) -> u32 {
        u32::try_from(self.next).unwrap_or(u32::MAX)
    }
}

impl UnderWay {
    /// One chunk; true when it was the last. No more than is recorded is ever sent, and less where the file is shorter.
    fn read(&mut self, buffer: &mut Outgoing) -> std::io::Result<bool> {
        let wanted = usize::try_from(self.record.size - self.sent).unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX);
        let data = buffer.read(&mut self.file, wanted)?;
        if let Some(hash) = &mut self.hash {
            hash.update(data);
        }
        self.sent += data.len() as u64;
        Ok(self.sent == self.record.size || data.len() < wanted)
    }
}

fn unreadable(key: &ObjectKey, error: std::io::Error) -> Fault {
    Fault::caused(FaultKind::DataLoss, format!("{key} cannot be read"), error)
}
