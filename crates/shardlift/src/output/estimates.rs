//! How long what is left takes, and since when things are as they are, for people.

use super::clean;
use shardlift_api::v1;
use shardlift_model::UnixMillis;
use shardlift_planner::estimate::time_text;

/// Words for what was not measured, where there is room for a few only.
const UNKNOWN: &str = "not measured yet";

/// `P50 12 min, P90 31 min; limited by the cap of the source`, or why that is not known.
pub(crate) fn estimate_text(view: Option<&v1::EstimateView>) -> String {
    match view {
        None => "-".to_owned(),
        Some(view) if !view.unknown.is_empty() => view.unknown.clone(),
        Some(view) => format!("{}; limited by {}", times(view), view.limited_by),
    }
}

/// `P50 12 min, P90 31 min`.
pub(super) fn estimate_times(view: Option<&v1::EstimateView>) -> String {
    match view {
        None => "-".to_owned(),
        Some(view) if !view.unknown.is_empty() => UNKNOWN.to_owned(),
        Some(view) => times(view),
    }
}

fn times(view: &v1::EstimateView) -> String {
    format!("P50 {}, P90 {}", time_text(view.p50_ms), time_text(view.p90_ms))
}

/// `preparing for 4 min`; the word alone when it is not known since when.
pub(super) fn phase_for(phase: &str, since_unix_ms: u64, now: UnixMillis) -> String {
    match since_unix_ms {
        0 => phase.to_owned(),
        since => format!("{phase} for {}", time_text(Some(now.0.saturating_sub(since)))),
    }
}

/// A line for each batch that is under way, one for all, and one for who copies.
pub(super) fn estimate_lines(status: &v1::StatusView) -> String {
    let now = UnixMillis(status.now_unix_ms);
    let is_under_way = |batch: &&v1::BatchView| batch.estimate.is_some() && batch.phase != "planned";
    let line = |batch: &v1::BatchView| {
        let estimate = estimate_text(batch.estimate.as_ref());
        let phase = phase_for(&batch.phase, batch.since_unix_ms, now);
        format!("{}: {}; {}\n", clean(&batch.batch), clean(&estimate), clean(&phase))
    };
    let mut lines: String = status.batches.iter().filter(is_under_way).map(line).collect();
    if let Some(whole) = &status.estimate {
        lines.push_str(&format!("all batches: {}\n", clean(&estimate_text(Some(whole)))));
    }
    if !status.seeding.is_empty() {
        lines.push_str(&format!("copying: {}\n", clean(&status.seeding)));
    }
    lines
}

/// What is advised of the size of batches.
pub(super) fn advice_lines(batches: &[v1::BatchView]) -> String {
    let advised = batches.iter().filter(|batch| !batch.advice.is_empty());
    advised.map(|batch| format!("NOTE {}: {}\n", clean(&batch.batch), clean(&batch.advice))).collect()
}
