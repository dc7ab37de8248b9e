//! What writes: entries get their place in the chain, go to disk as a group, and a checkpoint follows from time to time.

use super::segments::{Found, OpenError, Segments};
use crate::clock;
use shardlift_audit::{Chain, Entry, Head, PAYLOAD_TYPE, Record, Statement, field, what};
use shardlift_model::ClusterId;
use shardlift_pki::tls::Credentials;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Records after which a checkpoint is due.
pub(super) const CHECKPOINT_RECORDS: u64 = 1000;

/// Records that are kept where there is no folder.
const KEPT_MAX: usize = 1000;

/// Where lines go.
#[derive(Debug)]
enum Sink {
    Files(Segments),
    /// The last records. For tests and simulations.
    Memory(VecDeque<Record>),
}

/// Makes an envelope around a statement.
type Sign = Box<dyn Fn(&[u8]) -> Result<String, String> + Send>;

/// Signs statements, as whom.
pub(super) struct Seal {
    pub(super) who: String,
    pub(super) sign: Sign,
}

impl Seal {
    /// With the controller's own key, whichever it has by then.
    pub(super) fn of(credentials: Arc<Credentials>) -> Self {
        let who = credentials.identity().to_string();
        let sign = move |payload: &[u8]| {
            let signer = credentials.statement_signer().map_err(|error| shardlift_api::fault::chain(&error))?;
            signer.sign(PAYLOAD_TYPE, payload).map_err(|error| shardlift_api::fault::chain(&error))
        };
        Self { who, sign: Box::new(sign) }
    }
}

/// The writing end of a log.
pub(super) struct Pen {
    sink: Sink,
    chain: Chain,
    cluster: ClusterId,
    seal: Seal,
    /// Records since the last checkpoint.
    pub(super) unsigned: u64,
    /// What the log has to say of itself before anything else: what a segment begins with, and how the log was found.
    pending: Vec<Entry>,
}

impl Pen {
    /// Goes on with the log in a folder: says so in it, and what it found.
    pub(super) fn open(folder: &Path, bytes_max: u64, cluster: &ClusterId, seal: Seal) -> Result<Self, OpenError> {
        let (segments, found) = Segments::open(folder, bytes_max)?;
        let chain = Chain::after(found.head);
        let cluster = cluster.clone();
        let mut pen = Self { sink: Sink::Files(segments), chain, cluster, seal, unsigned: 0, pending: Vec::new() };
        pen.pending = pen.opening(&found);
        // A full disk does not stop what is under way in the cluster; nothing new is admitted until this is written.
        match pen.append(Vec::new()) {
            Ok(()) => pen.checkpoint(),
            Err(error) => tracing::error!(%error, "the audit log cannot be written yet"),
        }
        Ok(pen)
    }

    /// A log that ends with the process.
    pub(super) fn in_memory(cluster: &ClusterId) -> Self {
        let seal = Seal { who: "controller".to_owned(), sign: Box::new(|_| Err("nothing to sign with".to_owned())) };
        let (sink, chain) = (Sink::Memory(VecDeque::new()), Chain::after(Head::NONE));
        let pending = vec![Entry::segment(&seal.who, cluster)];
        Self { sink, chain, cluster: cluster.clone(), seal, unsigned: 0, pending }
    }

    fn opening(&self, found: &Found) -> Vec<Entry> {
        if let Some(why) = &found.broken {
            tracing::error!(why, "the audit log is damaged: it goes on in a new segment that says so");
        }
        let who = &self.seal.who;
        let begun = match &found.broken {
            Some(why) => Some(Entry::broken(who, &self.cluster, why)),
            None => found.is_new.then(|| Entry::segment(who, &self.cluster)),
        };
        let opened = Entry::new(who, what::OPENED, concat!("shardlift ", env!("CARGO_PKG_VERSION")), "done");
        let torn = match found.torn_bytes {
            0 => opened,
            bytes => opened.number(field::TORN_BYTES, bytes),
        };
        begun.into_iter().chain([torn]).collect()
    }

    /// Writes a group; durable when it returns. After an error none of it is there.
    pub(super) fn write(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        self.append(entries)?;
        if self.unsigned >= CHECKPOINT_RECORDS || self.is_full() {
            self.checkpoint();
        }
        if self.is_full() {
            self.begin_segment();
        }
        Ok(())
    }

    fn append(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        let (mut chain, now) = (self.chain, clock::now());
        let entries = self.pending.iter().cloned().chain(entries);
        let (records, lines): (Vec<Record>, Vec<String>) = entries.map(|entry| chain.push(now, entry)).unzip();
        match &mut self.sink {
            Sink::Files(segments) => segments.append(lines.concat().as_bytes())?,
            Sink::Memory(kept) => {
                kept.extend(records.iter().cloned());
                kept.drain(..kept.len().saturating_sub(KEPT_MAX));
            }
        }
        self.chain = chain;
        self.pending.clear();
        self.unsigned += records.len() as u64;
        records.iter().for_each(tell);
        Ok(())
    }

    /// Signs the head. Without it the log is good for less, but not wrong: the next one covers what this one did not.
    pub(super) fn checkpoint(&mut self) {
        if matches!(self.sink, Sink::Memory(_)) {
            self.unsigned = 0;
        }
        if self.unsigned == 0 {
            return;
        }
        let statement = Statement { cluster: self.cluster.clone(), at: clock::now(), head: self.chain.head() };
        let written = (self.seal.sign)(&statement.payload()).and_then(|envelope| {
            let entry = statement.entry(&self.seal.who, &envelope);
            self.append(vec![entry]).map_err(|error| error.to_string())
        });
        match written {
            Ok(()) => self.unsigned = 0,
            Err(reason) => {
                tracing::warn!(reason, seq = statement.head.seq, "no checkpoint of the audit log was written")
            }
        }
    }

    const fn is_full(&self) -> bool {
        matches!(&self.sink, Sink::Files(segments) if segments.is_full())
    }

    /// A log that cannot get a new segment goes on in the old one.
    fn begin_segment(&mut self) {
        let Sink::Files(segments) = &mut self.sink else { return };
        match segments.begin(self.chain.head().seq + 1) {
            Ok(()) => self.pending.push(Entry::segment(&self.seal.who, &self.cluster)),
            Err(error) => tracing::warn!(%error, "no new segment of the audit log was begun"),
        }
    }

    /// Whether there is room for what may be under way, and the log has said of itself what it has to.
    pub(super) fn reserve(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() && matches!(self.sink, Sink::Files(_)) {
            self.append(Vec::new())?;
        }
        match &mut self.sink {
            Sink::Files(segments) => segments.reserve(),
            Sink::Memory(_) => Ok(()),
        }
    }

    /// The records that are kept in memory.
    #[cfg(test)]
    pub(super) fn kept(&self) -> Vec<Record> {
        match &self.sink {
            Sink::Files(_) => Vec::new(),
            Sink::Memory(kept) => kept.iter().cloned().collect(),
        }
    }
}

fn tell(record: &Record) {
    let Record { seq, entry: Entry { who, what, subject, outcome, .. }, .. } = record;
    match outcome.as_str() {
        "done" => tracing::info!(target: "audit", seq, who, what, subject, outcome, "recorded"),
        _ => tracing::warn!(target: "audit", seq, who, what, subject, outcome, "recorded"),
    }
}
