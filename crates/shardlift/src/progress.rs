//! Progress as it happens: bars on a terminal, a line for each change elsewhere.

mod bars;
mod lines;

use bars::Bars;
use lines::Lines;
use shardlift_api::v1;
use std::io::IsTerminal as _;

/// What shows progress.
pub(crate) enum Display {
    Bars(Bars),
    Lines(Lines),
}

impl Display {
    /// For one batch, or for all of them and the cluster around them.
    pub(crate) fn to_stderr(batch: Option<&str>) -> Self {
        let batch = batch.map(ToOwned::to_owned);
        if std::io::stderr().is_terminal() { Self::Bars(Bars::new(batch)) } else { Self::Lines(Lines::new(batch)) }
    }

    /// Shows a view. The lines that are returned are for the caller to print.
    pub(crate) fn show(&mut self, status: &v1::StatusView) -> Vec<String> {
        match self {
            Self::Bars(bars) => {
                bars.show(status);
                Vec::new()
            }
            Self::Lines(lines) => lines.changes(status),
        }
    }

    /// Leaves the terminal to what comes next.
    pub(crate) fn finish(self) {
        if let Self::Bars(bars) = self {
            bars.finish();
        }
    }
}

/// Batches that are worth a look: the wanted one, or all that are under way.
fn shown<'s>(status: &'s v1::StatusView, wanted: Option<&'s str>) -> impl Iterator<Item = &'s v1::BatchView> {
    status.batches.iter().filter(move |batch| match wanted {
        Some(wanted) => batch.batch == wanted,
        None => !matches!(batch.phase.as_str(), "planned" | "released" | "aborted"),
    })
}
