//! What operators ask of a node whose writer is gone for good. A request that was carried out before is answered again, not
//! refused.

use super::Refusal;
use super::moves::{moving, reason_or};
use crate::event::Event;
use crate::node::Migration;
use crate::stage::{Stage, Way};
use crate::world::World;
use shardlift_model::{NodeId, UnixMillis};

pub(super) fn take_over(
    world: &World,
    node: &NodeId,
    after_seq: u64,
    reason: &str,
    now: UnixMillis,
) -> Result<Vec<Event>, Refusal> {
    let moving = moving(world, node)?;
    let reason = reason_or(reason, "its writer is gone for good");
    Ok(begun(world, node, moving, after_seq, reason, now)?.into_iter().collect())
}

/// The start of a takeover; `None` where it was begun before.
pub(super) fn begun(
    world: &World,
    node: &NodeId,
    moving: &Migration,
    after_seq: u64,
    reason: String,
    now: UnixMillis,
) -> Result<Option<Event>, Refusal> {
    if moving.takeover.is_some() && !moving.accepts_greater_loss(after_seq) {
        return Ok(None);
    }
    let event = Event::TakeoverStarted { node: node.clone(), after_seq, reason, at: now };
    if world.legal(&event).is_ok() {
        return Ok(Some(event));
    }
    let (why, advice) = hindrance(node, moving);
    Err(Refusal::precondition(format!("node `{node}` cannot be taken over without its writer: it {why}"), advice))
}

/// Why no takeover begins, and what helps instead.
fn hindrance(node: &NodeId, moving: &Migration) -> (String, String) {
    let phase = moving.phase();
    match moving.stage {
        Stage::RolledBack => {
            (format!("was moved back to `{}` already", moving.source), "there is nothing to take over".to_owned())
        }
        Stage::Sealing | Stage::Sealed if moving.is_back() => (
            format!("goes back, and `{}` has all that its writer had", moving.source),
            "wait: it goes on by itself, or is undone when its time is over; then try again".to_owned(),
        ),
        _ if moving.is_back() => {
            let advice = "nothing of it is lost, and nothing has to be given up".to_owned();
            (format!("is {phase}, and `{}` is its writer by record", moving.source), advice)
        }
        Stage::Aborted => {
            (format!("is {phase}: `{}` serves it", moving.source), "there is nothing to take over".to_owned())
        }
        _ if !moving.is_committed() => (
            format!("is {phase}: `{}` serves it", moving.source),
            format!("when `{}` is gone, abort the move: `shardlift node abort {node}`", moving.target),
        ),
        _ => (
            format!("is {phase}, and `{}` does not follow its writer", moving.source),
            "a copy in quarantine is as old as the release; only a copy that follows can take over".to_owned(),
        ),
    }
}

pub(super) fn write_off(world: &World, node: &NodeId, now: UnixMillis) -> Result<Vec<Event>, Refusal> {
    let moving = moving(world, node)?;
    if moving.written_off || moving.stage == Stage::RolledBack {
        return Ok(vec![]);
    }
    if moving.written_off_leads_to().is_some() {
        return world.checked(Event::WriterWrittenOff { node: node.clone(), at: now });
    }
    let Migration { source, target, .. } = moving;
    let (message, advice) = match moving.way() {
        Way::WithoutWriter => (
            format!("node `{node}` is still being taken over from `{target}`"),
            format!("wait until `{source}` serves it, then try again"),
        ),
        Way::Back if moving.stage.is_committed() && !moving.is_undoing() => (
            format!("node `{node}` goes back, and `{target}` is not waited for right now"),
            format!("try again when `shardlift node explain {node}` says that it waits for `{target}`"),
        ),
        Way::Forward | Way::Back => (
            format!("node `{node}` did not go back: nobody waits for a former writer of it"),
            format!(
                "when its writer is gone for good, roll it back: `shardlift node rollback {node}` says what is lost by that"
            ),
        ),
    };
    Err(Refusal::precondition(message, advice))
}

#[cfg(test)]
mod tests;
