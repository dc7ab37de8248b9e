//! The files of a log, in the order of their records, read line by line however large they are.

use crate::exit::{Exit, Failure};
use shardlift_audit::{LINE_BYTES_MAX, Record, segment_first};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    /// The number of its first record, as its name says it or as it begins.
    first: u64,
    path: PathBuf,
}

/// One line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'l> {
    /// Without its end; of one that is too long, more than the longest.
    pub(super) text: &'l [u8],
    /// It has an end.
    pub(super) ended: bool,
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::caused(format!("{} cannot be read", path.display()), error).with_exit(Exit::Unreadable)
}

/// The segments in these folders, and these files.
pub(super) fn segments(paths: &[PathBuf]) -> Result<Vec<Segment>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        let found = if path.is_dir() { in_folder(path) } else { of_file(path).map(|segment| vec![segment]) };
        all.extend(found.map_err(|error| unreadable(path, &error))?);
    }
    all.sort();
    all.dedup();
    if all.is_empty() {
        let failure = Failure::new(Exit::Unreadable, "there is no audit log: no audit-*.jsonl in it");
        return Err(failure.advise("it is in the folder `audit` beside the controller's store"));
    }
    Ok(all)
}

fn in_folder(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let first = path.file_name().and_then(|name| name.to_str()).and_then(segment_first);
        found.extend(first.map(|first| Segment { first, path }));
    }
    Ok(found)
}

/// A file may have another name where it is kept.
fn of_file(path: &Path) -> io::Result<Segment> {
    let named = path.file_name().and_then(|name| name.to_str()).and_then(segment_first);
    let mut segment = Segment { first: named.unwrap_or(0), path: path.to_owned() };
    let mut line = Vec::new();
    BufReader::new(File::open(path)?).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
    if let (None, Ok(record)) = (named, Record::read(line.strip_suffix(b"\n").unwrap_or(&line))) {
        segment.first = record.seq;
    }
    Ok(segment)
}

impl Segment {
    /// As people know it.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Hands over line after line.
    pub(super) fn read(&self, mut take: impl FnMut(Line<'_>) -> io::Result<()>) -> Result<(), Failure> {
        let mut read = || -> io::Result<()> {
            let mut reader = BufReader::new(File::open(&self.path)?);
            let mut line = Vec::new();
            loop {
                line.clear();
                let bytes = reader.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
                match line.strip_suffix(b"\n") {
                    Some(text) => take(Line { text, ended: true })?,
                    None if bytes == 0 => return Ok(()),
                    None if bytes > LINE_BYTES_MAX => {
                        // The rest of it is of no interest to anybody.
                        let ended = reader.skip_until(b'\n')? > 0;
                        take(Line { text: &line, ended })?;
                    }
                    None => take(Line { text: &line, ended: false })?,
                }
            }
        };
        match read() {
            // Whoever reads the output has gone.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            read => read.map_err(|error| unreadable(&self.path, &error)),
        }
    }
}
