//! The controller against shards and routers that live in the same process: real gRPC, real mutual TLS, data in memory.
//!
//! The doubles honour tokens and modes as the protocol says and watch INV-01 over all of them; the real parts are for the
//! integration tests.

mod bench;
mod crash_matrix;
mod enrolling;
mod fake_router;
mod fake_shard;
mod going_back;
mod limiting;
mod moving;
mod receipts;
mod refusing;
mod serving;
mod taking_batches_over;
mod taking_over;
mod verifying;
mod yard;
