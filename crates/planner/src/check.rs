//! Whether a plan file fits the world and what it was made for. Shares nothing with the solver but the
//! words and how windows are put together.
//!
//! Reports everything, ordered by place. A file without findings names only what exists, moves each node once, overfills
//! no target, with bytes and their growth or with load in any hour, keeps the rules and has batches that can run in some order.

mod load;
mod moves;
mod rules;
mod sequence;
mod space;
mod wishes;

use crate::finding::{Finding, Lines, Place, tidy};
use crate::plan::{Plan, PlanBatch};
use crate::planfile::{BatchEntry, PlanFile};
use crate::suggest::Suggest;
use crate::words::listed;
use crate::world::WorldView;
use shardlift_model::{BatchId, NodeId, ShardId};
use std::collections::BTreeMap;

/// Compares a plan file with the world.
#[must_use]
pub fn check(file: &PlanFile, world: &WorldView) -> Vec<Finding> {
    let mut checker = Checker {
        file,
        world,
        lines: Lines::new(&file.text),
        carried_over: file.batches.iter().map(|batch| is_carried_over(batch, world)).collect(),
        findings: Vec::new(),
        suggest: Suggest::default(),
    };
    checker.revisions();
    checker.source();
    checker.batches();
    checker.sequence();
    checker.moves();
    checker.space();
    checker.load();
    checker.rules();
    checker.wishes();
    checker.permissions();
    tidy(checker.findings)
}

/// The plan that a file without findings describes.
///
/// Batches that an earlier plan has already are part of it, with the same moves; whoever carries it out leaves them as
/// they are.
///
/// # Errors
/// The findings of [`check()`]; at least one.
pub fn approve(file: &PlanFile, world: &WorldView) -> Result<Plan, Vec<Finding>> {
    let findings = check(file, world);
    if !findings.is_empty() {
        return Err(findings);
    }
    let mut above: Option<&BatchId> = None;
    let batches = file.batches.iter().map(|batch| {
        let after = match &batch.after {
            Some(names) => names.iter().map(|name| name.value.clone()).collect(),
            None => above.cloned().into_iter().collect(),
        };
        above = Some(&batch.name.value);
        let BatchEntry { when, soak, .. } = batch;
        PlanBatch {
            name: batch.name.value.clone(),
            after,
            nodes: owned_moves(batch),
            when: *when,
            windows: batch.windows.clone(),
            force_after_ms: batch.force_after_ms,
            soak: *soak,
        }
    });
    let batches = batches.collect();
    let accept_damaged = file.accept_damaged.iter().map(|node| node.value.clone()).collect();
    let plan = Plan::new(file.revision.value, file.based_on.value, file.source.value.clone(), accept_damaged, batches);
    plan.map(|plan| plan.from_any_shard(file.wishes.from_any_shard)).map_err(|error| {
        let hint = "this should have been found with its place: please report it";
        vec![Lines::new(&file.text).finding(Place::START, error.to_string(), hint)]
    })
}

fn owned_moves(batch: &BatchEntry) -> BTreeMap<NodeId, ShardId> {
    batch.moves.iter().map(|entry| (entry.node.value.clone(), entry.target.value.clone())).collect()
}

/// True when an earlier plan has the same batch: same name, same moves.
fn is_carried_over(batch: &BatchEntry, world: &WorldView) -> bool {
    world.batches.get(&batch.name.value).is_some_and(|earlier| *earlier == owned_moves(batch))
}

struct Checker<'c> {
    file: &'c PlanFile,
    world: &'c WorldView,
    lines: Lines<'c>,
    /// Per batch of the file: an earlier plan has it already, so where its nodes are now says nothing against it.
    carried_over: Vec<bool>,
    findings: Vec<Finding>,
    suggest: Suggest,
}

impl Checker<'_> {
    fn refuse(&mut self, at: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.findings.push(self.lines.finding(at, message, hint));
    }

    fn revisions(&mut self) {
        let (revision, based_on) = (self.file.revision, self.file.based_on);
        let current = self.world.revision;
        if revision.value == based_on.value {
            let message = format!("cyclic revision: revision {} is based on itself", revision.value);
            self.refuse(revision.at, message, next_revision(current));
        } else if revision.value < based_on.value {
            let message = format!(
                "cyclic revision: revision {} is based on the later revision {}",
                revision.value, based_on.value
            );
            self.refuse(revision.at, message, next_revision(current));
        } else if revision.value == current {
            let message = format!("stale revision: revision {} is in force already", revision.value);
            self.refuse(revision.at, message, next_revision(current));
        }
        if based_on.value < current {
            let message =
                format!("stale plan: it is based on revision {}, but revision {current} is in force", based_on.value);
            let hint = format!(
                "compare with what changed since revision {}, then write `based_on = {current}`",
                based_on.value
            );
            self.refuse(based_on.at, message, hint);
        } else if based_on.value > current {
            let message = format!(
                "the plan is based on revision {}, which does not exist; revision {current} is in force",
                based_on.value
            );
            self.refuse(
                based_on.at,
                message,
                format!("write `based_on = {current}`, or check against the right cluster"),
            );
        }
    }

    fn source(&mut self) {
        let source = &self.file.source;
        match self.world.shards.get(&source.value) {
            None => {
                let hint = self.shard_hint(&source.value);
                self.refuse(source.at, format!("source `{}` is not a shard of this cluster", source.value), hint);
            }
            Some(shard) if !shard.reachable => {
                let message = format!("source `{}` is not reachable", source.value);
                self.refuse(source.at, message, "bring it back, or wait; nothing can be copied from it now");
            }
            Some(_) => {}
        }
    }

    /// Names that are used once, batches that move something.
    fn batches(&mut self) {
        let mut first: BTreeMap<&BatchId, Place> = BTreeMap::new();
        let file = self.file;
        for (batch, carried_over) in file.batches.iter().zip(self.carried_over.clone()) {
            let name = &batch.name;
            if let Some(earlier) = first.get(&name.value) {
                let message = format!("batch `{}` exists twice: here and at {earlier}", name.value);
                self.refuse(name.at, message, "give one of them another name");
            } else {
                first.insert(&name.value, name.at);
                if !carried_over && let Some(earlier) = self.world.batches.get(&name.value) {
                    let difference = difference(&owned_moves(batch), earlier);
                    let message = format!("batch `{}` of an earlier plan has other moves: {difference}", name.value);
                    self.refuse(name.at, message, "a batch's name means one set of moves for ever: take a new name");
                }
            }
            if batch.moves.is_empty() {
                let message = format!("batch `{}` has no node", name.value);
                self.refuse(batch.header, message, "add a node to `[batch.nodes]`, or remove the batch");
            }
        }
    }

    /// `accept_damaged` names nodes that this plan moves, each once.
    fn permissions(&mut self) {
        let file = self.file;
        let moving: BTreeMap<&NodeId, Place> =
            file.batches.iter().flat_map(|b| &b.moves).map(|entry| (&entry.node.value, entry.node.at)).collect();
        let mut first: BTreeMap<&NodeId, Place> = BTreeMap::new();
        for node in &file.accept_damaged {
            if let Some(earlier) = first.get(&node.value) {
                let message = format!("node `{}` is listed twice: here and at {earlier}", node.value);
                self.refuse(node.at, message, "remove one of the two");
                continue;
            }
            first.insert(&node.value, node.at);
            if !moving.contains_key(&node.value) {
                let misspelt = !self.world.nodes.contains_key(&node.value);
                let known = moving.keys().filter(|_| misspelt).map(|node| node.as_str());
                let near = self.suggest.nearest(node.value.as_str(), known);
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "remove it: damage is accepted only where a node moves".to_owned(),
                };
                self.refuse(
                    node.at,
                    format!("node `{}` may be damaged but is in no batch of this plan", node.value),
                    hint,
                );
            }
        }
    }

    fn shard_hint(&mut self, shard: &ShardId) -> String {
        let known = self.world.shards.keys();
        match self.suggest.nearest(shard.as_str(), known.map(ShardId::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.world.shards.is_empty() => {
                "no shard is known yet; add one with `shardlift shard add`".to_owned()
            }
            None => format!("known shards: {}", listed(self.world.shards.keys().map(ShardId::as_str))),
        }
    }
}

fn next_revision(current: u64) -> String {
    format!(
        "revision {current} is in force: write `revision = {}` and `based_on = {current}`",
        current.saturating_add(1)
    )
}

/// The first difference, in words.
fn difference(here: &BTreeMap<NodeId, ShardId>, earlier: &BTreeMap<NodeId, ShardId>) -> String {
    for (node, target) in here {
        match earlier.get(node) {
            None => return format!("`{node}` was not in it"),
            Some(other) if other != target => return format!("`{node}` went to `{other}` in it"),
            Some(_) => {}
        }
    }
    let missing = earlier.keys().find(|node| !here.contains_key(*node));
    missing.map_or_else(|| "a node is listed twice here".to_owned(), |node| format!("`{node}` was in it"))
}
