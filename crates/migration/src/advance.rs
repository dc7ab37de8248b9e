//! What follows by itself: from what was recorded, from the time, and from nothing else.
//!
//! Called until it answers with nothing. Every event it answers with is legal in the order given. It also finishes what a
//! crash cut off: a recorded decision whose stages were not entered yet.

mod batch;
mod node;

use crate::event::Event;
use crate::world::World;
use shardlift_model::UnixMillis;

/// The next events; empty when nothing follows.
#[must_use]
pub fn advance(world: &World, now: UnixMillis) -> Vec<Event> {
    let of_nodes = node::advance(world, now);
    // Batches are judged only when all their nodes have come to rest.
    if of_nodes.is_empty() { batch::advance(world, now) } else { of_nodes }
}

#[cfg(test)]
mod tests;
