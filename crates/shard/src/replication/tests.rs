//! Two real shards in one process: real stores, gRPC over loopback with certificates on both sides.

mod access;
mod aftermath;
mod back;
mod bad_source;
mod cutover;
mod damage;
mod follow;
mod limits;
mod locate;
mod random;
mod stand_in;
mod takeover;
mod throttled;
pub(crate) mod world;
