//! The end of a segment, as the last process left it.

use shardlift_audit::{Head, LINE_BYTES_MAX, Record};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// What is read of the end: the longest line and many ordinary ones.
const WINDOW_BYTES: u64 = 4 * LINE_BYTES_MAX as u64;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// The last record; `None`: there is none that can be read.
    pub(super) last: Option<Head>,
    /// Bytes behind the last whole line.
    pub(super) torn_bytes: u64,
    /// No whole line at all.
    pub(super) is_empty: bool,
    /// What is wrong.
    pub(super) broken: Option<String>,
}

impl Tail {
    /// Reads the end of the segment that begins with this record.
    pub(super) fn read(path: &Path, first: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let start = bytes.saturating_sub(WINDOW_BYTES);
        let mut window = vec![0; usize::try_from(bytes - start).map_err(io::Error::other)?];
        file.read_exact_at(&mut window, start)?;
        // What the window begins in the middle of is left out.
        let skipped = match start {
            0 => 0,
            _ => window.iter().position(|byte| *byte == b'\n').map_or(window.len(), |at| at + 1),
        };
        let window = &window[skipped..];
        let whole = window.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (lines, torn) = window.split_at(whole);
        let is_empty = start == 0 && lines.is_empty();
        let tail = Self { torn_bytes: torn.len() as u64, is_empty, ..Self::default() };
        Ok(tail.judge(lines, (start == 0).then_some(first)))
    }

    /// Each line by itself, and each after the one before.
    fn judge(mut self, lines: &[u8], first: Option<u64>) -> Self {
        let mut expected = first;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let wrong = match Record::read(line) {
                Ok(record) => {
                    let follows = self.last.is_none_or(|last| last.hash == record.previous);
                    let is_next = expected.is_none_or(|expected| expected == record.seq);
                    self.last = Some(Head { seq: record.seq, hash: record.hash });
                    (!follows || !is_next).then(|| format!("record {} does not follow from the one before", record.seq))
                }
                Err(why) => {
                    // Its number was given, whatever it says of itself.
                    self.last = self.last.map(|last| Head { seq: last.seq.saturating_add(1), ..last });
                    let place = self.last.map_or_else(|| "a record".to_owned(), |last| format!("record {}", last.seq));
                    Some(format!("{place} was altered: {why}"))
                }
            };
            self.broken = self.broken.or(wrong);
            expected = self.last.map(|last| last.seq.saturating_add(1));
        }
        self
    }
}
