//! The whole system in one thread: two controllers, three shards, a router and four clients, each on a host of its own that
//! crashes, is cut off and comes back as its seed says, over turmoil's network and clock.
//!
//! What runs is the real code with real TLS and certificates of the real CA. In place of the machine stand a simulated network
//! and clock ([`machine`]), a store in memory that both controllers share, and for every shard and router a folder of its own in
//! which files are real. The life of a run:
//!
//! 1. All parts come up; the operator makes them known; the nodes enrol and begin to store, read, list and delete ([`client`]).
//!    Each keeps what it was told in a model ([`reference`]).
//! 2. Batches are started and everything goes wrong that the seed has planned ([`faults`]).
//! 3. All is mended. Every move must come to an end, every client must be served.
//! 4. The oracles look ([`oracle`]): what was acknowledged is there byte by byte, what was deleted is gone, nobody's data is at
//!    another's, one shard writes, and it is the one that is recorded.
//!
//! The same seed tells the same [`story`], but for about one seed in a hundred that has two: tokio wakes those who wait for one
//! `watch` in an order without a seed. What is not shown here: files are not torn and lose nothing at a crash (the engine's own
//! tests kill real processes); all clocks are off together; the network repeats no message by itself, senders do when a reply is
//! lost. Redb and the file system run at the machine's pace, in no virtual time.

pub mod chronicle;
pub mod client;
pub mod cluster;
pub mod faults;
pub mod ground;
pub mod liar;
pub mod line;
pub mod machine;
pub mod mutant;
pub mod operator;
pub mod oracle;
pub mod parts;
pub mod reference;
pub mod run;
pub mod story;

pub use mutant::Mutant;
pub use run::{Report, run, run_mutant};
