//! What is recorded of one node against what the parts say of it. Pure.

use super::expected::{WRITTEN_OFF, allowed, given_up, other, word};
use shardlift_api::v1::{self, NodeMode};
use shardlift_migration::{CertificateState, Node, Stage, Way, World};
use shardlift_model::{NodeId, RouterId, ShardId, Token};
use std::collections::BTreeMap;

/// What the parts that answered said.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The nodes of each shard.
    pub(super) shards: BTreeMap<ShardId, BTreeMap<NodeId, v1::NodeStatus>>,
    /// The routes of each router by server name.
    pub(super) routers: BTreeMap<RouterId, BTreeMap<String, v1::Route>>,
}

impl Seen {
    /// `None`: the shard did not answer.
    fn mode(&self, shard: &ShardId, node: &NodeId) -> Option<NodeMode> {
        let nodes = self.shards.get(shard)?;
        Some(nodes.get(node).map_or(NodeMode::Unspecified, v1::NodeStatus::mode))
    }

    fn status(&self, shard: &ShardId, node: &NodeId) -> Option<&v1::NodeStatus> {
        self.shards.get(shard)?.get(node)
    }
}

/// All that does not fit, the worst first.
pub(super) fn findings(world: &World, node: &Node, seen: &Seen) -> Vec<v1::Finding> {
    let mut found = second_writers(node, seen);
    found.extend(modes(node, seen));
    found.extend(tokens(world, node, seen));
    found.extend(data(node, seen));
    found.extend(way_back(node, seen));
    found.extend(routes(world, node, seen));
    found.extend(certificate(node, seen));
    found.extend(held(node));
    found
}

fn finding(node: &Node, what: String, repair: &str) -> v1::Finding {
    v1::Finding { subject: node.node.to_string(), what, repair: repair.to_owned(), command: String::new() }
}

/// What helps against a second writer that nobody knows of.
const RESTORED: &str = "stop that shard's client listener now; it was most likely restored from an old backup of its disk. \
                        Compare both copies before anything is deleted";

/// The same when it was the writer that an operator gave up or wrote off, and that is not waited for any more.
const GIVEN_UP: &str = "it was given up when the node went back, and no router leads there: close its client \
                        listener, so that nobody reaches it directly. What it stored last lies in the node's folder, where \
                        restic reads it while the shard is stopped. To use that shard again, give it a new data folder";

/// INV-01: whoever else could take writes.
fn second_writers(node: &Node, seen: &Seen) -> Vec<v1::Finding> {
    let moving = node.migration.as_ref();
    let giver = moving.filter(|moving| moving.stage == Stage::Promoting).map(|moving| moving.giver());
    let silent = moving.and_then(given_up);
    let others =
        seen.shards.keys().filter(|shard| **shard != node.shard && Some(*shard) != giver && Some(*shard) != silent);
    let writers = others.filter_map(|shard| {
        let mode = seen.mode(shard, &node.node)?;
        matches!(mode, NodeMode::Serving | NodeMode::Fenced).then(|| {
            let what =
                format!("shard {shard} says {} and could take writes, but the writer is {}", word(mode), node.shard);
            let was_given_up = moving
                .is_some_and(|moving| (moving.takeover.is_some() || moving.written_off) && moving.target == *shard);
            finding(node, what, if was_given_up { GIVEN_UP } else { RESTORED })
        })
    });
    writers.collect()
}

fn modes(node: &Node, seen: &Seen) -> Vec<v1::Finding> {
    let stage = node.migration.as_ref().map_or(Stage::Planned, |moving| moving.stage);
    let way = node.migration.as_ref().map_or(Way::Forward, |moving| moving.way());
    let allowed = allowed(stage, way);
    let mut found = Vec::new();
    if let Some(mode) = seen.mode(&node.shard, &node.node)
        && !allowed.writer.contains(&mode)
    {
        let what = format!("the writer {} says {}; at stage {stage} it should not", node.shard, word(mode));
        let repair = match mode {
            NodeMode::Unspecified => "the shard lost the node: is the right disk mounted? Do not start the client",
            NodeMode::Fenced => "a fence ends by itself when its lease runs out; look again in a minute",
            _ => "`shardlift node explain` says what the move waits for; `shardlift node retry` repeats a held command",
        };
        found.push(finding(node, what, repair));
    }
    let Some(moving) = &node.migration else { return found };
    let other = other(node, moving);
    let written_off = moving.written_off && stage == Stage::RolledBack && way == Way::Back;
    let of_other = if written_off { WRITTEN_OFF } else { allowed.other };
    if let Some(mode) = seen.mode(other, &node.node)
        && !of_other.contains(&mode)
        && !matches!(mode, NodeMode::Serving | NodeMode::Fenced)
    {
        let what = format!("{other} says {}; at stage {stage} it should not", word(mode));
        found.push(finding(node, what, "`shardlift node explain` says what the move waits for"));
    }
    found
}

/// INV-03: a shard that has seen a higher token obeys nothing that this controller sends.
fn tokens(world: &World, node: &Node, seen: &Seen) -> Vec<v1::Finding> {
    let recorded = world.token(node);
    let order = |token: &Token| (token.generation, token.step);
    let newer = seen.shards.iter().filter_map(|(shard, nodes)| {
        // A node that was never commanded has no token there.
        let token = shardlift_api::convert::token(nodes.get(&node.node)?.token).ok()?;
        let ahead = token.term > recorded.term || order(&token) > order(&recorded);
        ahead.then(|| {
            let what = format!("shard {shard} has accepted the token {token}, recorded is {recorded}");
            finding(
                node,
                what,
                "another controller leads, or this one's store is an old copy: stop this controller and bring back the newest store",
            )
        })
    });
    newer.collect()
}

fn data(node: &Node, seen: &Seen) -> Option<v1::Finding> {
    let status = seen.status(&node.shard, &node.node)?;
    let accepted = node.migration.as_ref().and_then(|moving| moving.final_state).map_or(0, |state| state.damaged);
    let soaks = node.migration.as_ref().is_some_and(|moving| moving.is_soaking());
    let repair = if soaks {
        "the old copy may still be good: do not release its batch; `shardlift node rollback` brings it back"
    } else {
        "look at the shard's log and disk; `restic check --read-data` names the packs, `restic repair` mends the repository"
    };
    if status.missing > 0 {
        let what = format!("{} objects are recorded at {} but not on its disk", status.missing, node.shard);
        return Some(finding(node, what, repair));
    }
    (status.damaged > accepted).then(|| {
        let what = format!("{} objects at {} do not match their name", status.damaged, node.shard);
        finding(node, what, repair)
    })
}

/// A follower that does not follow is a way back that is not there.
fn way_back(node: &Node, seen: &Seen) -> Option<v1::Finding> {
    let moving = node.migration.as_ref().filter(|moving| moving.is_soaking())?;
    let replica = seen.status(&moving.source, &node.node)?.replica.as_ref()?;
    if replica.failure.is_empty() {
        return None;
    }
    let what = format!("{} cannot follow: {}", moving.source, replica.failure);
    Some(finding(node, what, "deal with the cause at that shard and restart it: it goes on where it stopped"))
}

/// INV-06: what routers hold is what follows from the placements.
fn routes(world: &World, node: &Node, seen: &Seen) -> Vec<v1::Finding> {
    let routes = world.routes();
    let Some(wanted) = routes.get(&node.server_name) else { return vec![] };
    let differing = seen.routers.iter().filter_map(|(router, held)| {
        let route = held.get(node.server_name.as_str());
        let generation = route.and_then(|route| route.token.as_ref()).map_or(0, |token| token.generation);
        let right = route.is_some_and(|route| route.shard == wanted.shard.as_str());
        if right && generation == wanted.token.generation.0 {
            return None;
        }
        let held = route.map_or("nowhere", |route| route.shard.as_str());
        let what = format!("router {router} leads {} to {held}, recorded is {}", node.server_name, wanted.shard);
        let repair =
            "the controller brings routers in line by itself; if this stays, see `shardlift status` for why it cannot";
        Some(finding(node, what, repair))
    });
    differing.collect()
}

/// A client that uses only its old certificate would be locked out by the release.
fn certificate(node: &Node, seen: &Seen) -> Option<v1::Finding> {
    let CertificateState::InUse { serial } = &node.certificate else { return None };
    let status = seen.status(&node.shard, &node.node)?;
    let known = status.seen_certificates.iter().any(|seen| seen.serial == *serial);
    (!known).then(|| {
        let what = format!("certificate {serial} is recorded as in use, but {} has not seen it", node.shard);
        finding(node, what, "run one backup of this node; until then do not release its batch")
    })
}

fn held(node: &Node) -> Option<v1::Finding> {
    let held = node.migration.as_ref()?.held.as_ref()?;
    let mut found = finding(node, format!("its move is held: {}", held.reason), &held.advice);
    found.command = format!("node retry {}", node.node);
    Some(found)
}

#[cfg(test)]
mod tests;
