//! Who ordered what, and receipts of completed moves.

use super::{Refusal, bounded, decide};
use crate::event::Event;
use crate::input::Input;
use crate::record::Order;
use crate::world::World;
use shardlift_model::{Generation, NodeId, UnixMillis};

/// Decides what is asked, and records who asked where that will be said in a receipt. What was decided before is not ordered again.
pub(super) fn ordered(world: &World, by: &str, input: &Input, now: UnixMillis) -> Result<Vec<Event>, Refusal> {
    let mut events = decide(world, input, now)?;
    let by = bounded(by);
    if by.is_empty() {
        return Ok(events);
    }
    let order = events.iter().find_map(|event| order(input, event));
    events.extend(order.map(|order| Event::OrderGiven { order, by, at: now }));
    Ok(events)
}

fn order(input: &Input, event: &Event) -> Option<Order> {
    match (input, event) {
        (_, Event::PlanApplied { plan, .. }) => Some(Order::Plan { revision: plan.revision }),
        (_, Event::BatchStarted { batch, .. }) => Some(Order::Start { batch: batch.clone() }),
        (Input::ReleaseBatch { force, .. }, Event::BatchReleased { batch, .. }) => {
            Some(Order::Release { batch: batch.clone(), force: *force })
        }
        (_, Event::MoveRetried { node, accept_damaged: true }) => Some(Order::AcceptDamaged { node: node.clone() }),
        _ => None,
    }
}

/// A receipt is made once: one that comes late, or a second one, is ignored.
pub(super) fn record(
    world: &World,
    node: &NodeId,
    generation: Generation,
    receipt: &str,
    now: UnixMillis,
) -> Vec<Event> {
    let event = Event::ReceiptIssued { node: node.clone(), generation, receipt: receipt.to_owned(), at: now };
    if world.legal(&event).is_ok() { vec![event] } else { vec![] }
}
