//! A whole shard from outside: real listeners on loopback, real TLS, the controller's commands over mutual TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod access;
mod cutover;
mod http;
mod limits;
mod operation;
mod probe;
mod world;
