//! The invariants of DESIGN.md that can be seen from the journal, as checkers that can be run: in tests, in the simulation
//! and by a controller over its own world.
//!
//! They are written apart from the state machines and share nothing with [`World::legal`] but the data. Each has a mutant
//! in the tests that trips it.

mod effects;
mod steps;

pub use effects::check_effects;
pub use steps::check_step;

use crate::node::{Migration, Node};
use crate::stage::{Direction, Stage};
use crate::world::World;
use std::collections::BTreeMap;
use std::fmt;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which: `INV-05`.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

pub(crate) fn violation(invariant: &'static str, what: String) -> Violation {
    Violation { invariant, what }
}

/// What must hold in every world.
#[must_use]
pub fn check_world(world: &World) -> Vec<Violation> {
    let mut found = Vec::new();
    for node in world.nodes.values() {
        if let Some(moving) = &node.migration {
            found.extend(commit_is_verified(node, moving));
            found.extend(takeover_is_one(node, moving));
            found.extend(placement_fits_stage(node, moving));
            found.extend(batch_names_the_move(world, node, moving));
        }
    }
    found.extend(server_names_are_unique(world));
    found.extend(one_batch_flips(world));
    found
}

/// INV-05: from the seal until the taker serves, both sides were seen at the final state, without damage that nobody
/// accepted. A rehearsal never seals.
fn commit_is_verified(node: &Node, moving: &Migration) -> Option<Violation> {
    if moving.takeover.is_some() {
        return takeover_is_accepted(node, moving);
    }
    use Stage::{Probing, Promoting, Retiring, Routing, Sealed, Sealing};
    if !matches!(moving.stage, Sealing | Sealed | Promoting | Retiring | Routing | Probing) {
        return None;
    }
    if moving.is_back() && moving.rehearsal {
        return Some(violation("INV-12", format!("the rehearsal of `{}` is {}", node.node, moving.stage)));
    }
    let Some(state) = moving.final_state else {
        return Some(violation("INV-05", format!("`{}` is {} without a final state", node.node, moving.stage)));
    };
    if moving.verified != Some(state) {
        let what = format!("`{}` is {} at a state that the taker was not seen at", node.node, moving.stage);
        return Some(violation("INV-05", what));
    }
    let accepted = state.damaged == 0 || moving.accept_damaged;
    (!accepted).then(|| violation("INV-05", format!("`{}` moves {} damaged objects", node.node, state.damaged)))
}

/// The exception to INV-05, and no wider: from the commit of a takeover until the taker serves, the final state is what the
/// taker named, with nothing missing of what an operator wanted to keep, and no damage that nobody accepted.
fn takeover_is_accepted(node: &Node, moving: &Migration) -> Option<Violation> {
    use Stage::{Promoting, Redirecting};
    let takeover = moving.takeover.as_ref()?;
    let committed = matches!(moving.stage, Redirecting | Promoting | Stage::Probing);
    let Some(stock) = takeover.stock.filter(|stock| !committed || moving.final_state == Some(*stock)) else {
        let what = || format!("`{}` is {} at a state that its new writer did not name", node.node, moving.stage);
        return committed.then(|| violation("INV-05", what()));
    };
    if stock.seq < takeover.after_seq {
        let what = format!("`{}` loses changes after {}, not {}", node.node, stock.seq, takeover.after_seq);
        return Some(violation("INV-02", what));
    }
    let accepted = stock.damaged == 0 || moving.accept_damaged;
    (!accepted).then(|| violation("INV-05", format!("`{}` is taken over with damaged objects", node.node)))
}

/// The stages of a takeover, and only they, belong to a move that goes back without its writer.
fn takeover_is_one(node: &Node, moving: &Migration) -> Option<Violation> {
    use Stage::{Deposing, Probing, Promoting, Redirecting, RolledBack, TakingStock};
    let (own, shared) = match moving.stage {
        TakingStock | Redirecting | Deposing => (true, false),
        Promoting | Probing | RolledBack => (false, true),
        _ => (false, false),
    };
    let fits = match moving.takeover {
        Some(_) => (own || shared) && moving.direction == Direction::Back && !moving.rehearsal,
        None => !own,
    };
    (!fits).then(|| {
        violation("INV-12", format!("`{}` is {}: a takeover where there is none, or none", node.node, moving.stage))
    })
}

/// INV-01, INV-06: the placement is the source or the target as the direction and the stage say.
fn placement_fits_stage(node: &Node, moving: &Migration) -> Option<Violation> {
    let back = moving.direction == Direction::Back;
    let at_target = match moving.stage {
        // The undo of a way back ends here, and so does the restoration of an old copy: the target serves in both.
        Stage::Resuming | Stage::TakingStock => true,
        stage => stage.is_committed() != back,
    };
    let expected = if at_target { &moving.target } else { &moving.source };
    // A move that is over says nothing about where later events put the node.
    if moving.stage.is_over() || node.shard == *expected {
        return None;
    }
    let what = format!("`{}` is {} and placed on `{}` instead of `{expected}`", node.node, moving.stage, node.shard);
    Some(violation("INV-06", what))
}

/// INV-12: a move under way belongs to a batch that names exactly this node and this target.
fn batch_names_the_move(world: &World, node: &Node, moving: &Migration) -> Option<Violation> {
    let target = world.batches.get(&moving.batch).and_then(|batch| batch.nodes.get(&node.node));
    if moving.stage.is_over() || moving.has_left() || target == Some(&moving.target) {
        return None;
    }
    Some(violation("INV-12", format!("`{}` moves, but batch `{}` does not say so", node.node, moving.batch)))
}

/// INV-06: one server name, one route.
fn server_names_are_unique(world: &World) -> Vec<Violation> {
    let mut holders: BTreeMap<_, &Node> = BTreeMap::new();
    let mut found = Vec::new();
    for node in world.nodes.values() {
        if let Some(other) = holders.insert(&node.server_name, node) {
            let what = format!("{} leads to `{}` and to `{}`", node.server_name, other.node, node.node);
            found.push(violation("INV-06", what));
        }
    }
    let indexed = world.server_names.iter().all(|(name, node)| holders.get(name).is_some_and(|n| n.node == *node));
    if !indexed || holders.len() != world.server_names.len() {
        found.push(violation("INV-06", "the index of server names is not that of the nodes".to_owned()));
    }
    found
}

/// Rule 5 of the move: on the way forward, clients are parked for one batch at a time. A way back waits for nobody.
fn one_batch_flips(world: &World) -> Option<Violation> {
    let parked = |node: &&Node| {
        let forward = |m: &Migration| m.direction == Direction::Forward && m.stage.is_cutting_over() && !m.has_left();
        node.migration.as_ref().is_some_and(forward)
    };
    let mut batches = world.nodes.values().filter(parked).filter_map(|n| n.migration.as_ref()).map(|m| &m.batch);
    let first = batches.next()?;
    let other = batches.find(|batch| *batch != first)?;
    Some(violation("INV-12", format!("batches `{first}` and `{other}` park clients at the same time")))
}

#[cfg(test)]
mod tests;
