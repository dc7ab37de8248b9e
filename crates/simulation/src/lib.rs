//! The whole system in one thread: two controllers, three shards, a router and four clients, each on a host of its own that
//! crashes, is cut off and comes back as its seed says, over turmoil's network and clock.
//!
//! What runs is the real code with real TLS and certificates of the real CA. In place of the machine stand a simulated network
//! and for each host a wall clock of its own ([`machine`]), a store in memory that both controllers share and that fails them at
//! times, and for every shard and router a disk ([`disk`]) that loses at a power cut what was not made durable. The life of a run:
//!
//! 1. All parts come up; the operator makes them known; the nodes enrol and begin to store, read, list and delete ([`client`]).
//!    Each keeps what it was told in a model ([`reference`]).
//! 2. Batches are started and everything goes wrong that the seed has planned ([`faults`]).
//! 3. All is mended. Every move must come to an end, every client must be served.
//! 4. The oracles look ([`oracle`]): what was acknowledged is there byte by byte, what was deleted is gone, nobody's data is at
//!    another's, one shard writes, and it is the one that is recorded.
//!
//! At every moment the shards themselves are heard ([`witness`]): two of them never take changes of one node under one generation, nor
//! one under a generation that is over. What an operator gave up with a lost writer is known by its seq, and nothing else may be missing.
//! What really happened is counted ([`tally`]): a fault that met nothing shows nothing.
//!
//! The same seed tells the same [`story`]. It needs `--cfg tokio_unstable`, under which tokio's dice have a seed, too; without it this
//! crate does not build. What is not shown here: the network repeats no message by itself, senders do when a reply is lost; disks
//! return no errors of their own but "full"; permissions of files are not undone by a power cut, a rename between two folders is
//! undone or done as a whole, and no client has a password. Redb and the file system run at the machine's pace, in no virtual time.

// cargo does not know the flag that tokio is built with.
#![allow(unexpected_cfgs)]

pub mod chronicle;
pub mod client;
pub mod cluster;
pub mod disk;
pub mod faults;
pub mod ground;
pub mod liar;
pub mod line;
pub mod machine;
pub mod mutant;
pub mod operator;
pub mod oracle;
mod orders;
pub mod parts;
pub mod reference;
pub mod run;
pub mod story;
pub mod tally;
mod torn;
pub mod witness;
mod world;

pub use mutant::Mutant;
pub use run::{Report, replay, run, run_mutant};
pub use tally::Sort;

#[cfg(not(tokio_unstable))]
compile_error!(
    "the simulation needs `--cfg tokio_unstable`, which gives tokio's dice the seed: .cargo/config.toml sets it, and RUSTFLAGS in \
     the environment takes its place; then it has to be in there"
);
