//! The controller against shards and routers that live in the same process: real gRPC, real mutual TLS, data in memory.
//!
//! The doubles honour tokens and modes as the protocol says and watch INV-01 over all of them; the real parts are for the
//! integration tests.

mod auditing;
pub(crate) mod bench;
mod crash_matrix;
mod enrolling;
mod estimating;
mod fake_router;
mod fake_shard;
pub(crate) mod fleet;
mod going_back;
mod limiting;
mod moving;
mod planning;
mod receipts;
mod refusing;
mod renewing;
mod serving;
mod taking_batches_over;
mod taking_over;
mod verifying;
mod wishing;
mod yard;
