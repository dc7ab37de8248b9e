//! What must be there when a path has come to its end, to the last field, whatever went wrong on it.

use super::path::{Path, lost};
use super::steps::Replayed;
use super::{BYSTANDER, TARGET, node};
use crate::tests::bench::{Bench, Running};
use crate::tests::yard::Copy;
use shardlift_api::v1::{self, NodeMode};
use shardlift_migration::{CertificateState, Direction, Node, Stage, World};
use shardlift_model::{NodeId, ShardId};
use std::collections::BTreeMap;

/// Changes that the node and the bystander have at their source when all begins.
const SEQS: (u64, u64) = (10, 11);

/// What was recorded of certificates before anything moved.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Certified {
    serials: Vec<String>,
    state: CertificateState,
    grants: String,
}

impl Certified {
    pub(super) fn of(world: &World) -> Self {
        let Node { serials, certificate, enrolled_with, .. } = world.nodes[&node()].clone();
        let grants = format!("{enrolled_with:?} {:?}", world.enrolments);
        Self { serials, state: certificate, grants }
    }
}

type Inventory = BTreeMap<(ShardId, NodeId), Copy>;

/// All copies; those of the node that moves without what says how often they were looked at and commanded.
fn present(bench: &Bench) -> Inventory {
    let mut all = bench.yard.with(|copies| copies.all.clone());
    for ((_, name), copy) in &mut all {
        if *name == node() {
            let token = Copy::unknown().token;
            *copy = Copy { token, looks: 0, verified: false, deep_verify: None, ..copy.clone() };
        }
    }
    all
}

fn source() -> ShardId {
    "source".parse().unwrap()
}

fn target() -> ShardId {
    TARGET.parse().unwrap()
}

fn wanted(path: Path, written: u64, serials: &[String]) -> Inventory {
    let (first, bystander) = SEQS;
    let seq = first + written;
    let old_copy_at = |follower: Copy, writer: &ShardId| Copy {
        source: Some(writer.clone()),
        resumed: true,
        seq,
        seen: serials.to_vec(),
        ..follower
    };
    let follower = old_copy_at(
        Copy { mode: NodeMode::Incoming, generation: 1, forwards_to: Some(target()), ..Copy::unknown() },
        &target(),
    );
    let writer = Copy {
        mode: NodeMode::Serving,
        generation: 2,
        seq,
        promoted_seq: first,
        offered_to: Some("source".to_owned()),
        seen: serials.to_vec(),
        ..Copy::unknown()
    };
    let (at_source, at_target) = match path {
        Path::Forward | Path::Rehearsal => (follower, writer),
        Path::Release => (Copy { forwards_to: None, ..follower }, Copy { legacy_ended: true, ..writer }),
        Path::Abort => {
            let offered_to = Some(TARGET.to_owned());
            (Copy { offered_to, seen: serials.to_vec(), ..Copy::serving(first) }, Copy::unknown())
        }
        Path::Takeover => {
            // What was set at the one is kept by the other.
            let settings = v1::NodeSettings { append_only: true, ..Default::default() };
            // It has more than the others, and no part in anything.
            let deposed = Copy {
                offered_to: None,
                deposed: true,
                settings: settings.clone(),
                mode: NodeMode::Retired,
                seq: seq + lost(written),
                ..writer.clone()
            };
            let offered_to = Some(TARGET.to_owned());
            (Copy { generation: 3, promoted_seq: seq, offered_to, settings, ..writer }, deposed)
        }
        Path::Back | Path::AbortAgain => {
            let retired = Copy {
                mode: NodeMode::Retired,
                generation: 2,
                promoted_seq: first,
                forwards_to: Some(source()),
                ..Copy::unknown()
            };
            let offered_to = Some(TARGET.to_owned());
            (Copy { generation: 3, promoted_seq: seq, offered_to, ..writer }, old_copy_at(retired, &source()))
        }
    };
    let untouched = ((source(), BYSTANDER.parse().unwrap()), Copy::serving(bystander));
    [((source(), node()), at_source), ((target(), node()), at_target), untouched].into()
}

/// Where the node is recorded to be, and at which stage.
const fn recorded(path: Path) -> (&'static str, u64, Stage) {
    match path {
        Path::Forward | Path::Rehearsal | Path::Release => (TARGET, 2, Stage::Soaking),
        Path::Back | Path::Takeover => ("source", 3, Stage::RolledBack),
        Path::Abort => ("source", 1, Stage::Aborted),
        Path::AbortAgain => ("source", 3, Stage::Aborted),
    }
}

/// The shards, the router, the record, and the certificates.
pub(super) fn check(
    (bench, running): (&Bench, &Running),
    (path, written): (Path, u64),
    before: &Certified,
    replayed: &Replayed,
) -> Result<(), String> {
    let (found, wanted) = (present(bench), wanted(path, written, &before.serials));
    if found != wanted {
        return Err(format!("the shards hold {found:#?}\nand not {wanted:#?}"));
    }
    let world = running.world(Clone::clone);
    if replayed.world != world {
        return Err("the journal gives another world than the controller has".to_owned());
    }
    let certified = Certified::of(&world);
    if certified != *before {
        return Err(format!("certificates were {before:?} and are {certified:?}"));
    }
    record(path, &world)?;
    routes(bench, &world)
}

fn record(path: Path, world: &World) -> Result<(), String> {
    let (known, moving) = world.migration(&node()).ok_or("its move is gone")?;
    let found = (known.shard.as_str(), known.generation.0, moving.stage);
    let wanted = recorded(path);
    if found != wanted {
        return Err(format!("recorded is {found:?} and not {wanted:?}"));
    }
    let back = matches!(path, Path::Back | Path::Takeover);
    if (moving.direction == Direction::Back) != back {
        return Err(format!("its direction is {:?}", moving.direction));
    }
    let trouble = (&moving.held, &moving.fence_lost, &moving.rollback_failed, moving.fence_attempts);
    if trouble != (&None, &None, &None, 0) {
        return Err(format!("something was lost on the way: {trouble:?}"));
    }
    Ok(())
}

/// The router holds what is recorded, at the recorded version, and nothing else.
fn routes(bench: &Bench, world: &World) -> Result<(), String> {
    let table = bench.table.lock().unwrap();
    if table.version != world.route_version {
        return Err(format!("the router is at version {}, recorded is {}", table.version, world.route_version));
    }
    let held: BTreeMap<String, (String, String, u64)> = table
        .routes
        .iter()
        .map(|(name, route)| {
            let generation = route.token.as_ref().map_or(0, |token| token.generation);
            (name.clone(), (route.node.clone(), route.shard.clone(), generation))
        })
        .collect();
    let recorded = world.routes().into_iter().map(|(name, routed)| {
        (name.to_string(), (routed.node.to_string(), routed.shard.to_string(), routed.token.generation.0))
    });
    let recorded: BTreeMap<_, _> = recorded.collect();
    if held == recorded { Ok(()) } else { Err(format!("the router holds {held:?}, recorded is {recorded:?}")) }
}
