//! A journal as text, and back: the way to look into a store, to move it, and to rebuild one that is damaged.
//!
//! NDJSON: a header, one line for each record, an end line. Every line of a record carries the hash over it and all
//! before it, and the end line says how many there were, so a cut, reordered or changed export is refused. An import
//! reads the whole input first and changes nothing unless all of it is right.

use crate::contract::{APPEND_BYTES_MAX, APPEND_RECORDS_MAX, RECORD_BYTES_MAX, Seq, Store};
use crate::error::StoreError;
use crate::record::ChainHash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use shardlift_model::{ClusterId, Term};
use std::io::{self, BufRead, Read as _, Seek, Write};

/// Longest line: the longest record in base64, and room for the rest.
const LINE_BYTES_MAX: u64 = RECORD_BYTES_MAX as u64 / 3 * 4 + 1024;

const FORMAT: &str = "shardlift-journal";
const VERSION: u32 = 1;

/// Why an export or an import failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output or input failed.
    #[error("could not read or write the export")]
    Io(#[from] io::Error),
    /// Not an export, or a changed one. Nothing was imported.
    #[error("line {line} of the export: {what}")]
    Line {
        /// Counted from one.
        line: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Made by another cluster. Nothing was imported.
    #[error("the export is of cluster {export}, the store of {store}")]
    WrongCluster {
        /// Who the export names.
        export: ClusterId,
        /// Who the store names.
        store: ClusterId,
    },
    /// An import fills an empty store only. Nothing was imported.
    #[error("the store already has {last} records; an import needs an empty one")]
    NotEmpty {
        /// Its last record.
        last: Seq,
    },
}

/// What an export holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportSummary {
    /// Whose journal it is.
    pub cluster: ClusterId,
    /// The highest term that was given out when it was made.
    pub term: Term,
    /// The last record.
    pub last: Seq,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
    cluster: ClusterId,
    term: Term,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    seq: Seq,
    chain_sha256: String,
    record_base64: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    end: Seq,
    chain_sha256: String,
}

/// Writes an export, record by record.
pub(crate) struct Exporter<W> {
    output: W,
    summary: ExportSummary,
    hash: ChainHash,
}

impl<W: Write> Exporter<W> {
    pub(crate) fn start(output: W, cluster: &ClusterId, term: Term) -> Result<Self, ExportError> {
        let hash = ChainHash::genesis(cluster);
        let summary = ExportSummary { cluster: cluster.clone(), term, last: Seq::ZERO };
        let mut exporter = Self { output, summary, hash };
        exporter.line(&Header { format: FORMAT.to_owned(), version: VERSION, cluster: cluster.clone(), term })?;
        Ok(exporter)
    }

    pub(crate) fn record(&mut self, record: &[u8]) -> Result<(), ExportError> {
        let seq = self.summary.last.next();
        self.hash = self.hash.link(seq, record);
        let chain_sha256 = hex::encode(self.hash.0);
        self.line(&Record { seq, chain_sha256, record_base64: BASE64.encode(record) })?;
        self.summary.last = seq;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<ExportSummary, ExportError> {
        self.line(&End { end: self.summary.last, chain_sha256: hex::encode(self.hash.0) })?;
        self.output.flush()?;
        Ok(self.summary)
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), ExportError> {
        let mut text = serde_json::to_vec(line).map_err(io::Error::from)?;
        text.push(b'\n');
        Ok(self.output.write_all(&text)?)
    }
}

/// Writes out the journal as it is now; what is appended meanwhile is left out.
///
/// # Errors
/// The store's, a damaged record among them, and those of `output`.
pub fn export(store: &dyn Store, output: impl Write) -> Result<ExportSummary, ExportError> {
    let last = store.last()?;
    let mut exporter = Exporter::start(output, store.cluster(), store.term()?)?;
    while exporter.summary.last < last {
        let left = usize::try_from(last.0 - exporter.summary.last.0).unwrap_or(usize::MAX);
        let records = store.read(exporter.summary.last, left.min(APPEND_RECORDS_MAX))?;
        if records.is_empty() {
            return Err(StoreError::Damaged { seq: exporter.summary.last.next(), what: "it is missing" }.into());
        }
        for (_, record) in records {
            exporter.record(&record)?;
        }
    }
    exporter.finish()
}

/// Reads an export to its end and says what it holds.
///
/// # Errors
/// [`ExportError::Line`] names the first line that is wrong.
pub fn check_export(input: impl BufRead) -> Result<ExportSummary, ExportError> {
    let mut reader = Reader::start(input)?;
    while reader.record()?.is_some() {}
    Ok(reader.summary)
}

/// Fills an empty store with an export of the same cluster, and takes a term above the export's, so that no term that
/// shards have seen is given out again.
///
/// # Errors
/// When the input is wrong or the store not empty nothing has changed. When the store fails in the middle it is not to
/// be used: start again with a new one.
pub fn import(store: &dyn Store, mut input: impl BufRead + Seek) -> Result<ExportSummary, ExportError> {
    let start = input.stream_position()?;
    let checked = check_export(&mut input)?;
    if checked.cluster != *store.cluster() {
        return Err(ExportError::WrongCluster { export: checked.cluster, store: store.cluster().clone() });
    }
    let last = store.last()?;
    if last != Seq::ZERO {
        return Err(ExportError::NotEmpty { last });
    }
    input.seek(io::SeekFrom::Start(start))?;
    let mut reader = Reader::start(input)?;
    let term = store.campaign_above(checked.term)?;
    let mut group = Vec::new();
    let mut bytes = 0;
    let mut last = Seq::ZERO;
    while let Some(record) = reader.record()? {
        if !group.is_empty() && (group.len() == APPEND_RECORDS_MAX || bytes + record.len() > APPEND_BYTES_MAX / 4) {
            last = store.append(term, last, &group)?;
            group.clear();
            bytes = 0;
        }
        bytes += record.len();
        group.push(record);
    }
    last = store.append(term, last, &group)?;
    Ok(ExportSummary { cluster: checked.cluster, term, last })
}

/// Reads an export, line by line, and believes no line that does not follow from the one before.
struct Reader<R> {
    input: R,
    line: u64,
    summary: ExportSummary,
    hash: ChainHash,
}

impl<R: BufRead> Reader<R> {
    fn start(mut input: R) -> Result<Self, ExportError> {
        let text = read_line(&mut input, 1)?.ok_or(ExportError::Line { line: 1, what: "the input is empty" })?;
        let header: Header = serde_json::from_slice(&text)
            .map_err(|_| ExportError::Line { line: 1, what: "it is not the header of an export" })?;
        if header.format != FORMAT || header.version != VERSION {
            return Err(ExportError::Line { line: 1, what: "its format or version is unknown" });
        }
        let hash = ChainHash::genesis(&header.cluster);
        let summary = ExportSummary { cluster: header.cluster, term: header.term, last: Seq::ZERO };
        Ok(Self { input, line: 1, summary, hash })
    }

    /// The next record; nothing after a right end line.
    fn record(&mut self) -> Result<Option<Vec<u8>>, ExportError> {
        self.line += 1;
        let line = self.line;
        let wrong = |what| ExportError::Line { line, what };
        let text = read_line(&mut self.input, line)?.ok_or_else(|| wrong("the export is cut: its end is missing"))?;
        if let Ok(end) = serde_json::from_slice::<End>(&text) {
            if end.end != self.summary.last || end.chain_sha256 != hex::encode(self.hash.0) {
                return Err(wrong("its end does not match its records"));
            }
            return match read_line(&mut self.input, line + 1)? {
                None => Ok(None),
                Some(_) => Err(ExportError::Line { line: line + 1, what: "something follows the end" }),
            };
        }
        let record: Record = serde_json::from_slice(&text).map_err(|_| wrong("it is no record"))?;
        let bytes = BASE64.decode(&record.record_base64).map_err(|_| wrong("its record is not base64"))?;
        let hash = self.hash.link(record.seq, &bytes);
        if record.seq != self.summary.last.next() || record.chain_sha256 != hex::encode(hash.0) {
            return Err(wrong("its record does not follow from the one before"));
        }
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(wrong("its record is too long"));
        }
        self.hash = hash;
        self.summary.last = record.seq;
        Ok(Some(bytes))
    }
}

fn read_line(input: &mut impl BufRead, line: u64) -> Result<Option<Vec<u8>>, ExportError> {
    let mut text = Vec::new();
    input.take(LINE_BYTES_MAX).read_until(b'\n', &mut text)?;
    match text.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(text)),
        Some(_) => Err(ExportError::Line { line, what: "it is cut or too long" }),
    }
}
