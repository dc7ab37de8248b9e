//! What can still be read of a store that no longer opens.

use super::disk::{Folder, Lock};
use super::engine::{Engine, Sync};
use super::marker::{Mark, Marker};
use crate::contract::Seq;
use crate::error::StoreError;
use crate::export::{ExportError, Exporter};
use crate::record::ChainHash;
use shardlift_model::Term;
use std::io::Write;
use std::path::Path;

/// What [`salvage`] found.
#[derive(Debug)]
pub struct Salvaged {
    /// The last record that was written out; all up to it are right.
    pub last: Seq,
    /// The last record that was acknowledged, by the marker.
    pub acknowledged: Seq,
    /// Why it stopped, if it did not reach the end of the store.
    pub stopped_by: Option<StoreError>,
}

/// Writes out the undamaged beginning of a store that refuses to open, in the form that [`crate::import`] takes. Changes
/// nothing of the journal. What follows the first damaged record is not written: it cannot be shown to be right.
///
/// # Errors
/// When not even the marker or the database can be read, or `output` cannot be written.
pub fn salvage(dir: &Path, output: impl Write) -> Result<Salvaged, ExportError> {
    let folder = Folder::new(dir);
    folder.check_initialised()?;
    let _lock = Lock::take(&folder)?;
    let (_marker, cluster, mark): (_, _, Mark) = Marker::open(&folder, Sync::Full)?;
    folder.check_journal()?;
    folder.remove_unfinished_snapshots()?;
    let engine = Engine::open(&folder.journal(), Sync::Full)?;
    let (term, end, mut stopped_by) = match engine.head(&cluster) {
        Ok(head) => (head.term.max(mark.term), head.last, None),
        // The head is gone: every record that still follows from the one before counts.
        Err(error) => (mark.term, Seq(u64::MAX), Some(error)),
    };
    let mut exporter = Exporter::start(output, &cluster, Term(term.0))?;
    for record in engine.records(Seq::ZERO, end, ChainHash::genesis(&cluster)) {
        match record {
            Ok((_, record, _)) => exporter.record(&record)?,
            Err(error) => {
                stopped_by = stopped_by.or(Some(error));
                break;
            }
        }
    }
    let last = exporter.finish()?.last;
    Ok(Salvaged { last, acknowledged: mark.last, stopped_by })
}
