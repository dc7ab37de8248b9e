//! When a way back has ended, and how.

use crate::exit::{Exit, Failure};
use shardlift_api::v1;
use std::collections::BTreeSet;

/// What one node was to do.
#[derive(Debug)]
pub(super) enum Wish {
    /// Be served by its source again.
    RolledBack,
    /// The same without the shard that served it. Nobody waits for that one to give up what it has.
    TakenOver,
    /// Prove that it could.
    Rehearsed {
        /// The last rehearsal before this one.
        before: String,
    },
}

impl Wish {
    /// `None` while it is under way.
    pub(super) fn ended(&self, node: &v1::FleetNode) -> Option<Result<(), Failure>> {
        match (node.phase.as_str(), self) {
            ("rolling_back", Self::TakenOver) if !is_under_way(node) => Some(Ok(())),
            ("rolling_back", _) => None,
            ("rolled_back", Self::RolledBack | Self::TakenOver) => Some(Ok(())),
            ("soaking", Self::Rehearsed { before }) if rehearsed(node) != before => Some(Ok(())),
            ("soaking", wish) => Some(Err(wish.undone(node))),
            (phase, _) => {
                let failure = Failure::new(Exit::Failed, format!("{} is {phase} now", node.node));
                Some(Err(failure.advise(format!("`shardlift node explain {}` says why", node.node))))
            }
        }
    }

    fn undone(&self, node: &v1::FleetNode) -> Failure {
        let what = match self {
            Self::RolledBack | Self::TakenOver => "the way back was undone",
            Self::Rehearsed { .. } => "the rehearsal did not come to its end",
        };
        let failure = Failure::new(Exit::Failed, format!("{}: {what}: {}", node.node, why_undone(node)));
        failure.advise(format!("it soaks on and nothing was lost; `shardlift node explain {}` says more", node.node))
    }
}

pub(super) fn rehearsed(node: &v1::FleetNode) -> &str {
    node.way_back.as_ref().map_or("", |way_back| way_back.rehearsed.as_str())
}

/// A node that is served again has no way back any more, also while a shard that was given up has not returned to give it up.
fn is_under_way(node: &v1::FleetNode) -> bool {
    node.phase == "rolling_back" && node.way_back.is_some()
}

fn why_undone(node: &v1::FleetNode) -> &str {
    match node.way_back.as_ref().map_or("", |way_back| way_back.failed.as_str()) {
        "" => "no reason is on record",
        failed => failed,
    }
}

/// Which nodes of a batch went on their way back, and which did not.
#[derive(Debug)]
pub(super) struct BatchEnd {
    gone: BTreeSet<String>,
    stayed: Vec<String>,
}

impl BatchEnd {
    /// From the batch as it was right after the beginning.
    pub(super) fn begun(batch: &v1::BatchView) -> Self {
        let is_gone = |node: &&v1::FleetNode| matches!(node.phase.as_str(), "rolling_back" | "rolled_back");
        let gone = batch.nodes.iter().filter(is_gone).map(|node| node.node.clone()).collect();
        // A node that left before the commit never moved: there is nothing to move back.
        let can_stay = |node: &&v1::FleetNode| !is_gone(node) && !matches!(node.phase.as_str(), "aborted" | "undoing");
        let stayed = batch.nodes.iter().filter(can_stay);
        Self { gone, stayed: stayed.map(|node| format!("{} ({})", node.node, node.phase)).collect() }
    }

    /// True when none is under way any more.
    pub(super) fn is_reached(&self, batch: &v1::BatchView) -> bool {
        let mut gone = batch.nodes.iter().filter(|node| self.gone.contains(&node.node));
        gone.all(|node| !is_under_way(node))
    }

    /// What did not come about; without waiting, only what did not begin.
    pub(super) fn failure(&self, batch: &v1::BatchView) -> Option<Failure> {
        let gone = batch.nodes.iter().filter(|node| self.gone.contains(&node.node));
        let (on_the_way, undone): (Vec<_>, Vec<_>) =
            gone.partition(|node| matches!(node.phase.as_str(), "rolling_back" | "rolled_back"));
        let undone = undone.iter().map(|node| format!("{} ({})", node.node, why_undone(node)));
        let not: Vec<String> = self.stayed.iter().cloned().chain(undone).collect();
        if not.is_empty() {
            return None;
        }
        let exit = if on_the_way.is_empty() { Exit::Failed } else { Exit::Partly };
        let failure = Failure::new(exit, format!("not moved back: {}", not.join(", ")));
        Some(failure.advise("`shardlift node explain NODE` says why"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, phase: &str, way_back: v1::WayBack) -> v1::FleetNode {
        v1::FleetNode { node: name.into(), phase: phase.into(), way_back: Some(way_back), ..Default::default() }
    }

    fn plain(name: &str, phase: &str) -> v1::FleetNode {
        node(name, phase, v1::WayBack::default())
    }

    fn failed(name: &str) -> v1::FleetNode {
        node(name, "soaking", v1::WayBack { failed: "the fence was lost".into(), ..Default::default() })
    }

    #[test]
    fn a_way_back_ends_at_the_source_or_in_the_soak() {
        let wish = Wish::RolledBack;
        assert_eq!(wish.ended(&plain("a", "rolling_back")), None);
        assert_eq!(wish.ended(&plain("a", "rolled_back")), Some(Ok(())));
        let undone = wish.ended(&failed("a")).unwrap().unwrap_err();
        assert_eq!(
            (undone.exit, undone.what.as_str()),
            (Exit::Failed, "a: the way back was undone: the fence was lost")
        );
        assert!(wish.ended(&plain("a", "soaking")).unwrap().is_err());
        assert!(wish.ended(&plain("a", "released")).unwrap().is_err());
    }

    #[test]
    fn a_way_back_without_the_writer_ends_when_clients_are_served() {
        let wish = Wish::TakenOver;
        assert_eq!(wish.ended(&plain("a", "rolling_back")), None);
        let served = v1::FleetNode { way_back: None, ..plain("a", "rolling_back") };
        assert_eq!(wish.ended(&served), Some(Ok(())));
        assert_eq!(Wish::RolledBack.ended(&served), None);
        assert_eq!(wish.ended(&plain("a", "rolled_back")), Some(Ok(())));
        assert!(wish.ended(&plain("a", "soaking")).unwrap().is_err());
    }

    #[test]
    fn a_rehearsal_ends_with_a_new_proof_or_with_the_reason_why_there_is_none() {
        let wish = Wish::Rehearsed { before: "yesterday".into() };
        let soaking =
            |rehearsed: &str| node("a", "soaking", v1::WayBack { rehearsed: rehearsed.into(), ..Default::default() });
        assert_eq!(wish.ended(&plain("a", "rolling_back")), None);
        assert_eq!(wish.ended(&soaking("today")), Some(Ok(())));
        assert!(wish.ended(&soaking("yesterday")).unwrap().is_err());
        let undone = wish.ended(&node(
            "a",
            "soaking",
            v1::WayBack { rehearsed: "yesterday".into(), failed: "too late".into(), ..Default::default() },
        ));
        assert!(undone.unwrap().unwrap_err().what.ends_with("too late"));
        assert!(wish.ended(&plain("a", "rolled_back")).unwrap().is_err());
    }

    fn batch(nodes: Vec<v1::FleetNode>) -> v1::BatchView {
        v1::BatchView { batch: "b".into(), nodes, ..Default::default() }
    }

    #[test]
    fn a_batch_is_waited_for_until_no_node_is_under_way() {
        let end = BatchEnd::begun(&batch(vec![plain("a", "rolling_back"), plain("b", "rolled_back")]));
        assert!(!end.is_reached(&batch(vec![plain("a", "rolling_back"), plain("b", "rolled_back")])));
        let served = v1::FleetNode { way_back: None, ..plain("a", "rolling_back") };
        assert!(end.is_reached(&batch(vec![served, plain("b", "rolled_back")])));
        let back = batch(vec![plain("a", "rolled_back"), plain("b", "rolled_back")]);
        assert!(end.is_reached(&back));
        assert_eq!(end.failure(&back), None);
    }

    #[test]
    fn nodes_that_did_not_go_back_are_named_and_told_by_the_exit_code() {
        let begun = batch(vec![
            plain("a", "rolling_back"),
            plain("b", "rolling_back"),
            plain("c", "committed"),
            plain("d", "aborted"),
        ]);
        let end = BatchEnd::begun(&begun);
        assert_eq!(end.failure(&begun).unwrap().what, "not moved back: c (committed)");
        let mut after = begun.clone();
        (after.nodes[0], after.nodes[1]) = (plain("a", "rolled_back"), failed("b"));
        assert!(end.is_reached(&after));
        let failure = end.failure(&after).unwrap();
        assert_eq!(failure.exit, Exit::Partly);
        assert_eq!(failure.what, "not moved back: c (committed), b (the fence was lost)");
        after.nodes[0] = failed("a");
        assert_eq!(end.failure(&after).unwrap().exit, Exit::Failed);
    }
}
