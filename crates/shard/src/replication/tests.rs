//! Two real shards in one process: real stores, gRPC over loopback with certificates on both sides.

mod access;
mod aftermath;
mod back;
mod cutover;
mod damage;
mod follow;
mod locate;
mod random;
mod takeover;
mod throttled;
pub(crate) mod world;
