//! Reads a whole log again and says which record is bad, and how.
//!
//! Segments come in the order of their names, lines in the order in which they stand. Nothing is taken for granted: what a bad line says of
//! itself is not believed, and what stands behind it is checked on.

mod fault;

pub use fault::{Fault, FaultKind};

use crate::{Head, NotARecord, Record, Statement, UNSIGNED_MAX, Value, field, segment_first, what};
use shardlift_model::{ClusterId, Sha256};
use std::collections::BTreeMap;

/// Faults that are kept; more are counted.
const FAULTS_MAX: usize = 1000;

/// A statement whose signature is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What it says.
    pub statement: Statement,
    /// Who signed it.
    pub by: String,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Records that are good by themselves.
    pub records: u64,
    /// Segments.
    pub segments: u64,
    /// The last record; before the first one: what the log was to follow.
    pub head: Head,
    /// The last checkpoint that is good.
    pub signed: Option<Signed>,
    /// Bytes of an unfinished last line: what a crash leaves.
    pub torn_bytes: u64,
    /// What is wrong, in the order of the records.
    pub faults: Vec<Fault>,
    /// More that is wrong.
    pub more_faults: u64,
}

/// Looks at the envelope of a checkpoint: who has signed what, or why it is not believed.
pub type Judge<'j> = Box<dyn FnMut(&str) -> Result<Signed, String> + 'j>;

/// A check under way.
pub struct Check<'j> {
    judge: Judge<'j>,
    /// Whether checkpoints have to be there: only of signatures that lead to a root is anything proved.
    wants_signatures: bool,
    kept: BTreeMap<u64, Sha256>,
    file: String,
    line: u64,
    /// Of the segment, by its name.
    named: Option<u64>,
    cluster: Option<ClusterId>,
    next: u64,
    last: Sha256,
    /// Lines since the last good record that are none, and what the next record may follow.
    bad: u64,
    bad_hashes: Vec<Sha256>,
    /// Numbers that were skipped, and where that was noticed.
    gaps: BTreeMap<u64, (u64, Fault)>,
    signed_seq: u64,
    report: Report,
}

impl std::fmt::Debug for Check<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("next", &self.next).finish_non_exhaustive()
    }
}

impl<'j> Check<'j> {
    /// A check of a log that follows `after` and has to hold the heads that somebody kept.
    #[must_use]
    pub fn new(after: Head, kept: &[Head], wants_signatures: bool, judge: Judge<'j>) -> Self {
        let report = Report {
            records: 0,
            segments: 0,
            head: after,
            signed: None,
            torn_bytes: 0,
            faults: Vec::new(),
            more_faults: 0,
        };
        Self {
            judge,
            wants_signatures,
            kept: kept.iter().map(|head| (head.seq, head.hash)).collect(),
            file: String::new(),
            line: 0,
            named: None,
            cluster: None,
            next: after.seq.saturating_add(1),
            last: after.hash,
            bad: 0,
            bad_hashes: Vec::new(),
            gaps: BTreeMap::new(),
            signed_seq: after.seq,
            report,
        }
    }

    /// A segment begins.
    pub fn segment(&mut self, name: &str) {
        self.unfinished();
        name.clone_into(&mut self.file);
        self.named = segment_first(name);
        self.line = 0;
        self.report.segments += 1;
    }

    /// The next line, its end taken off; `ended`: it had one.
    pub fn line(&mut self, line: &[u8], ended: bool) {
        self.unfinished();
        self.line += 1;
        if !ended {
            self.report.torn_bytes = line.len() as u64;
            return;
        }
        match Record::read(line) {
            Ok(record) => self.record(&record),
            Err(why) => self.bad_line(why),
        }
    }

    /// What came of it.
    #[must_use]
    pub fn end(mut self) -> Report {
        self.bad = 0;
        let head = self.report.head;
        if self.wants_signatures && head.seq.saturating_sub(self.signed_seq) > self.unsigned_max() {
            self.fault(self.signed_seq + 1, FaultKind::Unsigned { last: head.seq });
        }
        for (first, (last, noticed)) in std::mem::take(&mut self.gaps) {
            let kind = FaultKind::Missing { last };
            self.keep(Fault { seq: first, kind, ..noticed });
        }
        let cut: Vec<u64> = self.kept.range(head.seq.saturating_add(1)..).map(|(seq, _)| *seq).collect();
        for seq in cut {
            self.fault(seq, FaultKind::Cut { last: head.seq });
        }
        self.report.faults.sort_by_key(|fault| fault.seq);
        self.report
    }

    /// Without any checkpoint nothing is signed; with one, the rest is what was written since.
    const fn unsigned_max(&self) -> u64 {
        if self.report.signed.is_some() { UNSIGNED_MAX } else { 0 }
    }

    /// A line without an end is what a crash leaves of the last one, and of no other.
    fn unfinished(&mut self) {
        if std::mem::take(&mut self.report.torn_bytes) > 0 {
            self.bad_line(NotARecord::NoHash);
        }
    }

    fn fault(&mut self, seq: u64, kind: FaultKind) {
        let fault = Fault { seq, file: self.file.clone(), line: self.line, kind };
        self.keep(fault);
    }

    fn keep(&mut self, fault: Fault) {
        if self.report.faults.len() < FAULTS_MAX {
            self.report.faults.push(fault);
        } else {
            self.report.more_faults += 1;
        }
    }

    fn bad_line(&mut self, why: NotARecord) {
        self.bad_hashes = match why {
            NotARecord::Hash { stated, computed } => vec![stated, computed],
            _ => Vec::new(),
        };
        self.fault(self.next.saturating_add(self.bad), FaultKind::Altered { why });
        self.bad += 1;
    }

    fn record(&mut self, record: &Record) {
        self.report.records += 1;
        if self.line == 1 {
            self.first_of_segment(record);
        }
        if self.kept.get(&record.seq).is_some_and(|kept| *kept != record.hash) {
            self.fault(record.seq, FaultKind::OtherThanKept);
        }
        if record.seq < self.next {
            let kind = if self.fills_gap(record.seq) {
                FaultKind::Reordered { after: self.next - 1 }
            } else {
                FaultKind::Repeated
            };
            self.fault(record.seq, kind);
            return;
        }
        self.link(record);
        self.next = record.seq.saturating_add(1);
        self.last = record.hash;
        self.bad = 0;
        self.report.head = Head { seq: record.seq, hash: record.hash };
        match record.entry.what.as_str() {
            what::CHECKPOINT => self.checkpoint(record),
            what::BROKEN => {
                let why = record.text(field::WHY).unwrap_or_default().to_owned();
                self.fault(record.seq, FaultKind::Broken { why });
            }
            _ => {}
        }
    }

    fn link(&mut self, record: &Record) {
        let skipped = record.seq - self.next;
        if skipped > self.bad {
            let noticed = Fault {
                seq: record.seq,
                file: self.file.clone(),
                line: self.line,
                kind: FaultKind::Missing { last: record.seq - 1 },
            };
            self.gaps.insert(self.next + self.bad, (record.seq - 1, noticed));
        }
        let follows = match (skipped, self.bad) {
            // It says itself that it follows nothing good.
            _ if record.entry.what == what::BROKEN => true,
            (0, _) => record.previous == self.last,
            (1, 1) if !self.bad_hashes.is_empty() => self.bad_hashes.contains(&record.previous),
            _ => true,
        };
        if !follows {
            self.fault(record.seq, FaultKind::Unlinked);
        }
    }

    /// True when this number was missed so far.
    fn fills_gap(&mut self, seq: u64) -> bool {
        let found = self.gaps.range(..=seq).next_back().map(|(first, (last, _))| (*first, *last));
        let Some((first, last)) = found.filter(|(_, last)| seq <= *last) else { return false };
        let Some((_, noticed)) = self.gaps.remove(&first) else { return false };
        if first < seq {
            self.gaps.insert(first, (seq - 1, noticed.clone()));
        }
        if seq < last {
            self.gaps.insert(seq + 1, (last, noticed));
        }
        true
    }

    fn first_of_segment(&mut self, record: &Record) {
        let begins = matches!(record.entry.what.as_str(), what::SEGMENT | what::BROKEN);
        let format = match record.entry.fields.get(field::FORMAT) {
            Some(Value::Number(format)) if begins => Some(*format),
            _ => None,
        };
        if format != Some(crate::FORMAT) {
            return self.fault(record.seq, FaultKind::NotASegment { format });
        }
        if self.named.is_some_and(|named| named != record.seq) {
            self.fault(record.seq, FaultKind::OtherName);
        }
        let cluster = record.text(field::CLUSTER).and_then(|name| name.parse().ok());
        if self.cluster.is_some() && self.cluster != cluster {
            self.fault(record.seq, FaultKind::OtherCluster);
        }
        self.cluster = cluster;
    }

    fn checkpoint(&mut self, record: &Record) {
        let envelope = record.text(field::ENVELOPE).unwrap_or_default();
        let signed = match (self.judge)(envelope) {
            Ok(signed) => signed,
            Err(why) => return self.fault(record.seq, FaultKind::Checkpoint { why }),
        };
        let Statement { cluster, head, .. } = &signed.statement;
        let before = Head { seq: record.seq.saturating_sub(1), hash: record.previous };
        if *head != before || self.cluster.as_ref().is_some_and(|own| own != cluster) {
            let why = format!("it was signed for record {} of the log of {cluster}", head.seq);
            return self.fault(record.seq, FaultKind::Checkpoint { why });
        }
        if self.wants_signatures && head.seq.saturating_sub(self.signed_seq) > UNSIGNED_MAX {
            self.fault(self.signed_seq + 1, FaultKind::Unsigned { last: head.seq });
        }
        self.signed_seq = head.seq;
        self.report.signed = Some(signed);
    }
}

#[cfg(test)]
mod tests;
