//! What a node waits for at its stage, and what an operator can do about it.

use crate::batch::{Batch, BatchPhase};
use crate::node::{CertificateState, Migration, Node};
use crate::stage::Stage;
use crate::words::{NAMES_MAX, names};
use crate::world::World;
use shardlift_model::UnixMillis;

pub(super) fn waits_for(world: &World, node: &Node, moving: &Migration, now: UnixMillis) -> Vec<String> {
    let Migration { source, target, .. } = moving;
    if moving.reenter {
        return vec![seeding_place(world)];
    }
    let batch = world.batches.get(&moving.batch);
    match moving.stage {
        Stage::Planned => batch.map(|batch| planned(world, batch)).unwrap_or_default(),
        Stage::Ready => batch.map(|batch| ready(world, node, batch, now)).unwrap_or_default(),
        Stage::Sealed if moving.is_back() => vec!["the commit of its way back".to_owned()],
        Stage::Sealed => batch.map(|batch| unsealed(world, batch)).unwrap_or_default(),
        Stage::Copying | Stage::Verifying => vec![format!("shard `{target}`")],
        Stage::CatchingUp => vec![format!("`{target}` to lag at most {} changes behind", world.limits.ready_lag_max)],
        Stage::AwaitingCertificate => vec!["a connection of the client with its new certificate".to_owned()],
        Stage::Routing => {
            let version = moving.route_version.unwrap_or(world.route_version);
            vec![format!("every router to hold the routes of version {version}")]
        }
        Stage::Retiring | Stage::Detaching if moving.is_back() => {
            vec![format!("the answer of `{}`; `{}` is the writer", moving.giver(), moving.taker())]
        }
        Stage::Fencing | Stage::Sealing | Stage::Retiring | Stage::Detaching | Stage::Unfencing => {
            vec![format!("the answer of `{}`", moving.giver())]
        }
        Stage::Redirecting => redirecting(world, moving),
        Stage::Deposing => {
            vec![format!("`{}` to give up what it has when it returns; clients are served", moving.giver())]
        }
        Stage::Completing | Stage::Promoting | Stage::TakingStock => {
            vec![format!("the answer of `{}`", moving.taker())]
        }
        Stage::Offering | Stage::Quarantining | Stage::Restoring | Stage::Resuming => {
            vec![format!("the answer of `{source}`")]
        }
        Stage::Starting | Stage::VerifyRequested | Stage::Releasing | Stage::Discarding => {
            vec![format!("the answer of `{target}`")]
        }
        Stage::Probing => vec![format!("`{}` to answer, as its writer, through every router", moving.taker())],
        Stage::Soaking | Stage::Released | Stage::Aborted | Stage::RolledBack => vec![],
    }
}

/// Which routers have confirmed it is not recorded: all of them must.
fn redirecting(world: &World, moving: &Migration) -> Vec<String> {
    let giver = moving.giver();
    let version = moving.route_version.unwrap_or(world.route_version);
    let routers = names(world.routers.keys().map(shardlift_model::RouterId::as_str));
    let who = if world.routers.len() == 1 { routers } else { format!("each of {routers}") };
    vec![format!("{who} to confirm that nobody is passed to `{giver}` any more (routes of version {version})")]
}

fn seeding_place(world: &World) -> String {
    format!("one of the {} places for nodes that copy at the same time", world.seeding_nodes())
}

fn planned(world: &World, batch: &Batch) -> Vec<String> {
    match batch.phase {
        BatchPhase::Planned => vec![format!("an operator to start batch `{}`", batch.batch)],
        _ if batch.paused => vec![format!("batch `{}`, which is held", batch.batch)],
        _ => vec![seeding_place(world)],
    }
}

fn ready(world: &World, node: &Node, batch: &Batch, now: UnixMillis) -> Vec<String> {
    let mut waits = Vec::new();
    if batch.paused {
        waits.push(format!("batch `{}`, which is held", batch.batch));
    }
    let others = world.remaining(batch).filter(|(other, _)| other.node != node.node);
    let (held, late): (Vec<_>, Vec<_>) = others
        .filter(|(_, moving)| moving.stage != Stage::Ready || moving.is_idle())
        .partition(|(_, moving)| moving.held.is_some());
    if !held.is_empty() {
        let held = names(held.iter().map(|(node, _)| node.node.as_str()));
        waits.push(format!("an operator to look at {held}, held in the same batch"));
    }
    if !late.is_empty() {
        waits.push(format!("{} of the same batch", names(late.iter().map(|(node, _)| node.node.as_str()))));
    }
    waits.extend(world.unmet_after(batch).map(|name| first(world, name)));
    if let Some(other) = world.flipping().filter(|other| other.batch != batch.batch) {
        waits.push(format!("batch `{}`, which is being switched over", other.batch));
    }
    if world.is_flippable(batch) {
        waits.extend(right_time(world, batch, now));
    }
    waits
}

fn first(world: &World, name: &shardlift_model::BatchId) -> String {
    match world.batches.get(name).map(|batch| batch.phase) {
        Some(BatchPhase::Soaking) => format!("batch `{name}`, which goes first, to show that it is good"),
        Some(BatchPhase::RolledBack) => format!("batch `{name}`, which goes first and was moved back: plan anew"),
        _ => format!("batch `{name}`, which goes first"),
    }
}

/// What is asked for, again and again, before a batch flips.
fn right_time(world: &World, batch: &Batch, now: UnixMillis) -> Vec<String> {
    let mut waits = Vec::new();
    if !batch.window_at(now)
        && let Some(next) = batch.next_window(now)
    {
        let (minute, wait) = (next.0 / 60_000 % 1440, next.since(now).as_secs());
        waits.push(format!("its next window, at {:02}:{:02} UTC, in {wait} s", minute / 60, minute % 60));
    }
    if batch.waits_for_idle(now) {
        let forced = batch.force_left(now).map(|left| format!(", or another {} s", left.as_millis().div_ceil(1000)));
        let forced = forced.unwrap_or_default();
        waits.push(format!("its nodes to be idle: no young lock, no request, no connection{forced}"));
    }
    if !world.routers.is_empty() {
        waits.push("every router to answer".to_owned());
    }
    waits
}

fn unsealed(world: &World, batch: &Batch) -> Vec<String> {
    let late: Vec<_> = world.remaining(batch).filter(|(_, moving)| moving.stage != Stage::Sealed).collect();
    if late.is_empty() {
        return vec!["the commit of its batch".to_owned()];
    }
    let late = names(late.iter().map(|(node, _)| node.node.as_str()));
    vec![format!("{late} of the same batch, at most {} ms in all", world.limits.cutover_ms_max)]
}

pub(super) fn unblock(world: &World, node: &Node, moving: &Migration) -> Vec<String> {
    let name = &node.node;
    match (moving.stage, world.batches.get(&moving.batch)) {
        (Stage::Planned, Some(batch)) if batch.phase == BatchPhase::Planned => {
            vec![format!("`shardlift batch start {}`", batch.batch)]
        }
        (Stage::Planned | Stage::Ready, Some(batch)) if batch.paused => {
            vec![format!("`shardlift batch resume {}`", batch.batch)]
        }
        (Stage::Ready, Some(batch)) => {
            let held = world.remaining(batch).filter(|(_, moving)| moving.held.is_some());
            held.take(NAMES_MAX).map(|(other, _)| format!("`shardlift node explain {}`", other.node)).collect()
        }
        (Stage::AwaitingCertificate, _) => match node.certificate {
            CertificateState::None => {
                vec![format!("`shardlift node token {name}`, and hand the token to the customer")]
            }
            CertificateState::TokenCreated => vec!["have the customer run `shardlift node enroll`".to_owned()],
            _ => vec!["have the customer run a backup with the new certificate".to_owned()],
        },
        (Stage::Routing | Stage::Probing, _) if !moving.is_back() => {
            vec![format!("roll back: `shardlift node rollback {name}`")]
        }
        (Stage::Redirecting, _) => {
            vec!["start the routers that do not answer, or others in their place under the same names".to_owned()]
        }
        _ if moving.written_off_leads_to().is_some() => {
            vec![format!(
                "start `{}` again; or, when it will never return: `shardlift node write-off {name}`",
                moving.giver()
            )]
        }
        (Stage::Released, _) => {
            vec![format!(
                "a way back can be had: `shardlift node restore {name}`, then `shardlift node rollback {name}`"
            )]
        }
        (Stage::Aborted | Stage::RolledBack, _) => {
            vec!["plan it again, in a new batch, when the cause was dealt with".to_owned()]
        }
        _ => vec![],
    }
}
