//! Node data between shards: [`serve`] lets one other shard read a node, [`jobs`] pull nodes from other shards.
//!
//! The life of a copy, in order: a job is started by a command or, after a restart, by the record of the incoming copy;
//! it takes over what is there ([`seed`]), tails the source's journal ([`follow`]), is compared and read again
//! ([`verify`]), goes to exactly the state that the fenced source named ([`complete`]), and ends with the promotion or with
//! the copy. A former writer that follows the new one starts in the middle: both were equal once, so it follows from there and
//! asks for no listing. One that was deposed starts at the beginning. Copies of one source share their [`channels`] for questions and their
//! [`lines`] for the bytes of objects ([`frame`], [`fetching`]). Every object is hashed here and durable before it is counted ([`fetch`],
//! [`judge`]).
//!
//! Invariants:
//! - Nothing is served without a persisted offer to exactly the shard that asks.
//! - An object whose bytes are not what the source's record and its name promise is never counted in silence.
//! - The applied seq is durable only after the objects it stands for; a crash at any point resumes by a set difference.
//! - INV-12: whatever is deleted is deleted in this node's incoming copy; the engine refuses all else.
//! - INV-07: nothing is taken from a copy that was the writer once but by a delete in the present writer's journal; locks apart, and
//!   what a deposed writer has beyond the writer that follows it: that was given up.
//! - A job that has ended writes nothing more.

mod batch;
mod channels;
mod complete;
mod copy;
mod error;
mod fetch;
mod fetching;
mod follow;
mod frame;
mod harvest;
mod job;
pub mod jobs;
mod judge;
mod lines;
mod locate;
mod memory;
mod progress;
mod replica;
mod seed;
pub mod serve;
mod side;
mod source;
mod verify;

#[cfg(test)]
mod tests;

pub use jobs::ReplicaJobs;
pub use serve::{ReplicationCounters, Serving};

use crate::auth::htpasswd::Passwords;
use crate::engine::Engine;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What other shards pull from. Once `stop` is cancelled nobody is kept waiting for a change.
#[must_use]
pub fn serving(
    engine: &Arc<Engine>,
    passwords: &Arc<Passwords>,
    counters: &Arc<ReplicationCounters>,
    stop: &CancellationToken,
) -> Serving {
    let (engine, passwords, counters) = (Arc::clone(engine), Arc::clone(passwords), Arc::clone(counters));
    Serving::new(engine, passwords, counters, stop.clone())
}
