//! The words for each stage.

use crate::batch::{Batch, BatchPhase};
use crate::node::{CertificateState, Migration, Node};
use crate::stage::Stage;
use crate::world::World;

/// Most names in one line.
const NAMES_MAX: usize = 5;

pub(super) fn why(world: &World, node: &Node, moving: &Migration) -> String {
    if let Some(reason) = &moving.undo_reason {
        return match moving.stage {
            Stage::Aborted => format!("its move was undone: {reason}"),
            _ => format!("its move is being undone: {reason}"),
        };
    }
    if moving.reenter {
        return "its copy begins anew: an operator let the move go on".to_owned();
    }
    let Migration { source, target, .. } = moving;
    match moving.stage {
        Stage::Planned => format!("revision {} of the plan moves it; nothing was done yet", world.plan_revision()),
        Stage::Offering => format!("`{source}` is told to let `{target}` read"),
        Stage::Starting => format!("`{target}` is told to begin its copy"),
        Stage::Copying => format!("`{target}` copies all objects"),
        Stage::CatchingUp => format!("`{target}` has all objects and follows the changes"),
        Stage::VerifyRequested | Stage::Verifying => format!("`{target}` compares its copy with `{source}`"),
        Stage::AwaitingCertificate => match &node.certificate {
            CertificateState::Issued { .. } => "the client has its new certificate but did not use it yet".to_owned(),
            CertificateState::TokenCreated => "the client did not use its enrolment token yet".to_owned(),
            _ => "the client has no new certificate".to_owned(),
        },
        Stage::Ready => "the copy was compared equal and the new certificate is in use".to_owned(),
        Stage::Fencing => with_attempts(format!("`{source}` stops admitting changes; clients wait"), moving),
        Stage::Completing => with_attempts(format!("`{target}` pulls the last changes; clients wait"), moving),
        Stage::Sealing => with_attempts(format!("`{source}` gives up its right to resume; clients wait"), moving),
        Stage::Sealed => "both sides are equal and nobody takes writes; clients wait".to_owned(),
        Stage::Promoting => format!("committed: `{target}` becomes the writer; clients wait"),
        Stage::Routing => format!("committed: routers learn the way to `{target}`"),
        Stage::Retiring => format!("routers lead to `{target}`; `{source}` lets waiting clients go"),
        Stage::Probing => format!("routers are asked whether `{target}` answers"),
        Stage::Soaking => format!("`{target}` serves it; `{source}` keeps its copy"),
        Stage::Releasing => "old credentials are being ended".to_owned(),
        Stage::Released => "its move is over".to_owned(),
        Stage::Unfencing | Stage::Discarding | Stage::Aborted => "its move was undone".to_owned(),
    }
}

fn with_attempts(text: String, moving: &Migration) -> String {
    match &moving.fence_lost {
        Some(reason) => format!("{text}; fences lost so far: {}, the last time: {reason}", moving.fence_attempts),
        None => text,
    }
}

pub(super) fn waits_for(world: &World, node: &Node, moving: &Migration) -> Vec<String> {
    let Migration { source, target, .. } = moving;
    if moving.reenter {
        return vec![seeding_place(world)];
    }
    let batch = world.batches.get(&moving.batch);
    match moving.stage {
        Stage::Planned => batch.map(|batch| planned(world, batch)).unwrap_or_default(),
        Stage::Ready => batch.map(|batch| ready(world, node, batch)).unwrap_or_default(),
        Stage::Sealed => batch.map(|batch| unsealed(world, batch)).unwrap_or_default(),
        Stage::Copying | Stage::Verifying => vec![format!("shard `{target}`")],
        Stage::CatchingUp => vec![format!("`{target}` to lag at most {} changes behind", world.limits.ready_lag_max)],
        Stage::AwaitingCertificate => vec!["a connection of the client with its new certificate".to_owned()],
        Stage::Routing if !world.routes_are_servable() => {
            let promoting = world.nodes.values().filter(|node| stage_of(node) == Some(Stage::Promoting));
            vec![format!("the promotion of {}", names(promoting.map(|node| node.node.as_str())))]
        }
        Stage::Routing => vec![format!("every router to hold the routes of version {}", world.route_version)],
        Stage::Offering | Stage::Fencing | Stage::Sealing | Stage::Retiring | Stage::Unfencing => {
            vec![format!("the answer of `{source}`")]
        }
        Stage::Starting
        | Stage::VerifyRequested
        | Stage::Completing
        | Stage::Promoting
        | Stage::Releasing
        | Stage::Discarding => vec![format!("the answer of `{target}`")],
        Stage::Probing => vec![format!("`{target}` to answer, as its writer, through every router")],
        Stage::Soaking | Stage::Released | Stage::Aborted => vec![],
    }
}

fn stage_of(node: &Node) -> Option<Stage> {
    node.migration.as_ref().map(|moving| moving.stage)
}

fn seeding_place(world: &World) -> String {
    format!("one of the {} places for nodes that copy at the same time", world.limits.seeding_nodes_max)
}

fn planned(world: &World, batch: &Batch) -> Vec<String> {
    match batch.phase {
        BatchPhase::Planned => vec![format!("an operator to start batch `{}`", batch.batch)],
        _ if batch.paused => vec![format!("batch `{}`, which is held", batch.batch)],
        _ => vec![seeding_place(world)],
    }
}

fn ready(world: &World, node: &Node, batch: &Batch) -> Vec<String> {
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
    waits.extend(world.unmet_after(batch).map(|name| format!("batch `{name}`, which goes first")));
    if let Some(other) = world.flipping().filter(|other| other.batch != batch.batch) {
        waits.push(format!("batch `{}`, which is being switched over", other.batch));
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

fn names<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let all: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let shown = all.iter().take(NAMES_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
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
        (Stage::Aborted, _) => vec!["plan it again, in a new batch, when the cause was dealt with".to_owned()],
        _ => vec![],
    }
}
