//! From a draft to the text that people review.

use super::drawn::{Drawn, write_drawn};
use super::spell::write_wishes;
use super::{FILE_BYTES_MAX, VERSION};
use crate::draft::{Draft, DraftBatch, Moment, Report};
use crate::policy::{When, Window};
use crate::problem::PlanOptions;
use crate::words::counted;
use shardlift_model::{ByteCount, NodeId};
use std::collections::BTreeMap;
use std::fmt;

/// A file beyond this goes without remarks: there must be room in its record of the journal, and for what people write.
const REMARKS_BYTES_MAX: usize = FILE_BYTES_MAX / 4 * 3;

/// What a plan file is written from.
#[derive(Debug, Clone, Copy)]
pub struct Drafted<'d> {
    /// The moves.
    pub draft: &'d Draft,
    /// Why they are as they are.
    pub report: Option<&'d Report>,
    /// What they were made for.
    pub options: Option<&'d PlanOptions>,
    /// The world that they were drawn in.
    pub drawn: Option<&'d Drawn>,
}

impl<'d> From<&'d Draft> for Drafted<'d> {
    fn from(draft: &'d Draft) -> Self {
        Self { draft, report: None, options: None, drawn: None }
    }
}

/// Writes a draft as a plan file. `based_on` is the revision in force, 0 when there is none. What would make the file too long to be
/// read is left out: first the reason of each move, then its size.
#[must_use]
pub fn render<'d>(drafted: impl Into<Drafted<'d>>, revision: u64, based_on: u64) -> String {
    let drafted = drafted.into();
    let text = |remarks| Text { drafted, revision, based_on, remarks }.to_string();
    [Remarks::Reasons, Remarks::Sizes]
        .into_iter()
        .map(text)
        .find(|text| text.len() <= REMARKS_BYTES_MAX)
        .unwrap_or_else(|| text(Remarks::None))
}

/// What stands behind the line of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remarks {
    /// Why it goes there, where load is known; else its size.
    Reasons,
    Sizes,
    None,
}

struct Text<'d> {
    drafted: Drafted<'d>,
    revision: u64,
    based_on: u64,
    remarks: Remarks,
}

impl fmt::Display for Text<'_> {
    // Names hold no quote, backslash or control character (see `shardlift_model::name`), so they need no escapes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { drafted: Drafted { draft, options, drawn, .. }, revision, based_on, .. } = self;
        writeln!(f, "# Plan {revision}: relieves shard `{}`.", draft.source)?;
        self.write_load(f)?;
        writeln!(f, "#")?;
        writeln!(
            f,
            "# Review: move lines between batches, change targets or remove nodes as you see fit; sizes are as of the draft."
        )?;
        writeln!(f, "# Then, where FILE is this file:")?;
        writeln!(
            f,
            "#   shardlift plan check FILE                  says with line and column what is wrong; changes nothing"
        )?;
        writeln!(
            f,
            "#   shardlift plan apply FILE --revision {revision}     makes exactly this revision the plan; starts nothing"
        )?;
        writeln!(f, "#   shardlift batch start NAME                 starts one batch; begin with the first")?;
        writeln!(f, "version = {VERSION}")?;
        writeln!(f, "revision = {revision}           # this plan")?;
        writeln!(f, "based_on = {based_on}           # the plan it replaces; 0 when there is none")?;
        writeln!(f, "source = \"{}\"", draft.source)?;
        writeln!(f, "headroom_percent = {}  # share of each target that stays free", draft.headroom_percent)?;
        writeln!(
            f,
            "accept_damaged = []    # nodes that may move although some of their objects are damaged at the source"
        )?;
        options.map_or(Ok(()), |options| write_wishes(f, options))?;
        let reasons = self.reasons();
        draft.batches.iter().try_for_each(|batch| self.write_batch(f, batch, &reasons))?;
        drawn.map_or(Ok(()), |drawn| write_drawn(f, drawn))
    }
}

impl Text<'_> {
    /// What becomes of the busiest hour, where load is known.
    fn write_load(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(load) = self.drafted.report.and_then(|report| report.load.as_ref()) else { return Ok(()) };
        writeln!(f, "# Goal: {}.", load.goal)?;
        writeln!(f, "# Peak before: {}.", load.before)?;
        writeln!(f, "# Peak after:  {}.", load.after)?;
        writeln!(f, "# No plan for the same goal ends below {}: {}.", load.lower_bound, load.binding)?;
        writeln!(f, "# Moves: {}, {}.", counted(load.moves, "node"), load.bytes)
    }

    fn reasons(&self) -> BTreeMap<&NodeId, &str> {
        let known = self.drafted.report.filter(|report| report.load.is_some() && self.remarks == Remarks::Reasons);
        let placements = known.map(|report| report.placements.as_slice()).unwrap_or_default();
        placements.iter().map(|placed| (&placed.node, placed.why.as_str())).collect()
    }

    fn write_batch(
        &self,
        f: &mut fmt::Formatter<'_>,
        batch: &DraftBatch,
        reasons: &BTreeMap<&NodeId, &str>,
    ) -> fmt::Result {
        let bytes = batch.moves.iter().fold(ByteCount(0), |sum, one| sum.saturating_add(one.bytes));
        let objects = batch.moves.iter().fold(0_u64, |sum, one| sum.saturating_add(one.objects));
        writeln!(f)?;
        writeln!(f, "# {}, {bytes}, {}", counted(batch.moves.len() as u64, "node"), counted(objects, "object"))?;
        writeln!(f, "[[batch]]")?;
        writeln!(f, "name = \"{}\"", batch.name)?;
        let wished = self.drafted.options.map_or(&[][..], |options| &options.windows);
        write_moment(f, &batch.moment, wished)?;
        writeln!(f, "[batch.nodes]")?;
        for one in &batch.moves {
            let (node, target, bytes) = (&one.node, &one.target, one.bytes);
            write!(f, "\"{node}\" = \"{target}\"")?;
            match (self.remarks, reasons.get(node)) {
                (Remarks::None, _) => writeln!(f)?,
                (_, Some(why)) => writeln!(f, "  # {why}; {}", counted(one.objects, "object"))?,
                (_, None) => writeln!(f, "  # {bytes}, {}", counted(one.objects, "object"))?,
            }
        }
        Ok(())
    }
}

/// When it flips, where its draft says more than "now".
fn write_moment(f: &mut fmt::Formatter<'_>, moment: &Moment, wished: &[Window]) -> fmt::Result {
    let Moment { when, windows, force_after_ms } = moment;
    if *when == When::Now {
        return Ok(());
    }
    writeln!(f, "when = \"{}\"", when.as_str())?;
    if !windows.is_empty() {
        let why = if windows == wished { "as asked for" } else { "its nodes do next to nothing then" };
        let windows: Vec<String> = windows.iter().map(|window| format!("\"{window}\"")).collect();
        writeln!(f, "windows = [{}]  # UTC; {why}", windows.join(", "))?;
    }
    match force_after_ms {
        Some(ms) => {
            writeln!(f, "force_after = \"{}h\"  # its nodes have no idle hour in common", ms.div_ceil(3_600_000))
        }
        None => Ok(()),
    }
}
