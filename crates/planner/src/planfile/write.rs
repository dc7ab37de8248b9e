//! From a draft to the text that people review.

use super::VERSION;
use crate::draft::{Draft, DraftBatch};
use crate::words::counted;
use shardlift_model::ByteCount;
use std::fmt;

/// Writes a draft as a plan file. `based_on` is the revision in force, 0 when there is none.
#[must_use]
pub fn render(draft: &Draft, revision: u64, based_on: u64) -> String {
    Text { draft, revision, based_on }.to_string()
}

struct Text<'d> {
    draft: &'d Draft,
    revision: u64,
    based_on: u64,
}

impl fmt::Display for Text<'_> {
    // Names hold no quote, backslash or control character (see `shardlift_model::name`), so they need no escapes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { draft, revision, based_on } = self;
        writeln!(f, "# Plan {revision}: relieves shard `{}`.", draft.source)?;
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
        draft.batches.iter().try_for_each(|batch| write_batch(f, batch))
    }
}

fn write_batch(f: &mut fmt::Formatter<'_>, batch: &DraftBatch) -> fmt::Result {
    let bytes = batch.moves.iter().fold(ByteCount(0), |sum, one| sum.saturating_add(one.bytes));
    let objects = batch.moves.iter().fold(0_u64, |sum, one| sum.saturating_add(one.objects));
    writeln!(f)?;
    writeln!(f, "# {}, {bytes}, {}", counted(batch.moves.len() as u64, "node"), counted(objects, "object"))?;
    writeln!(f, "[[batch]]")?;
    writeln!(f, "name = \"{}\"", batch.name)?;
    writeln!(f, "[batch.nodes]")?;
    for one in &batch.moves {
        let (node, target, bytes) = (&one.node, &one.target, one.bytes);
        writeln!(f, "\"{node}\" = \"{target}\"  # {bytes}, {}", counted(one.objects, "object"))?;
    }
    Ok(())
}
