//! A whole shard from outside: real listeners on loopback, real TLS, the controller's commands over mutual TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod access;
mod activity;
mod cutover;
mod forward;
mod forward_access;
mod http;
mod limits;
mod many;
mod moving;
mod operation;
mod probe;
mod readmission;
mod revoked;
mod takeover;
mod world;
