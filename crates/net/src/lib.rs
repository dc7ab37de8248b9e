//! What a part takes from the machine that it runs on: connections, threads for what blocks and for what gives way, durable files, the wall clock, dice.
//!
//! In production these are tokio's sockets and threads, the system's clock and the system's randomness; a call costs one look
//! at a thread-local. A simulation puts a [`Machine`] in their place for its own thread ([`install`]): then connections are the
//! simulation's, blocking work is done in place of being handed to a thread, so that its order is the simulation's too, and
//! clock and dice are the seed's. Nothing but a simulation installs anything, and nothing here can be configured.
//!
//! Files are read as always: a simulation gives each part a folder of its own, and only who waits for the bytes differs. What is
//! written, named or taken away goes through [`disk`], so that a simulation knows what a power cut would leave.

mod background;
pub mod disk;
mod file;
mod listener;
mod machine;
mod stream;

pub use background::Background;
pub use file::File;
pub use listener::Listener;
pub use machine::{Accepted, Installed, Listening, Machine, Pending, Socket, install, is_simulated};
pub use stream::Stream;

use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;

/// The wall clock, as time since 1970. A clock before that reads as 1970. For records and certificates, never for a lease.
#[must_use]
pub fn since_epoch() -> Duration {
    match machine::installed() {
        Some(machine) => machine.since_epoch(),
        None => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
    }
}

/// A random number below one, to spread what would else happen at the same instant. Not for secrets.
#[must_use]
pub fn spread() -> f64 {
    match machine::installed() {
        Some(machine) => machine.spread(),
        None => rand::random(),
    }
}

/// Does work that blocks on a thread made for that; in a simulation as a task of its own, in its turn.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    if is_simulated() { tokio::spawn(async move { work() }) } else { tokio::task::spawn_blocking(work) }
}

#[cfg(test)]
mod tests;
