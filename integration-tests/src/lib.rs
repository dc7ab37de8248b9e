//! The test kit: what the tests of whole processes share.
//!
//! A test owns a [`TestRoot`] (its folder), starts real programs under a [`Process`] guard, waits with [`eventually`],
//! and talks to them with real clients ([`Restic`]) or, where raw bytes matter, with [`conformance`].
//!
//! Invariants: servers listen on loopback only; whatever is started is ended by process id when its guard is dropped;
//! every wait has a deadline; a test that cannot run says so through [`skip`], and the number of such tests is known.

pub mod bench;
pub mod cluster;
pub mod conformance;
pub mod demo;
pub mod layering;

mod connect_proxy;
mod ports;
mod process;
mod rclone;
mod restic;
mod test_ca;
mod test_root;
mod tools;
mod tree;
mod waiting;

pub use connect_proxy::ConnectProxy;
pub use ports::free_address;
pub use process::{Process, ProcessSpec};
pub use rclone::{Rclone, RcloneOptions, htpasswd_line};
pub use restic::{Outcome, Restic, Snapshot};
pub use test_ca::{Issued, TestCa, Validity};
pub use test_root::TestRoot;
pub use tools::{skip, skipped_count, tool};
pub use tree::{TreeShape, change_tree, differences, fill_tree, generate_tree, modify_tree, same_bytes};
pub use waiting::eventually;
