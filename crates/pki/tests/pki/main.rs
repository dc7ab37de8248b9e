//! The crate from outside: real files, real handshakes over loopback, and the `openssl` command as a second opinion.

// The rules for tests hold in this whole crate, helper functions included.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod authority;
mod bundles;
mod clients;
mod clocks;
mod credentials;
mod grpc;
mod lists;
mod offline;
mod renewed;
mod requests;
mod servers;
mod world;
