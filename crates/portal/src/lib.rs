//! The status API: what customers may know about their nodes, over HTTP and JSON.
//!
//! The life of a request: [`server`] takes it from a TLS connection, [`routes`] finds its path, [`policy`] says who may
//! ask, [`access`] says whose token it carries, [`scope`] is the part of the read model that this customer may see, and
//! [`answer`] or [`problem`] is what goes back.
//!
//! Invariants:
//! - INV-10: no answer is made from anything but a [`scope`], and a refusal's text is fixed at compile time. Another
//!   customer's node and one that does not exist get the same answer, byte for byte.
//! - Answers come from memory: nothing here waits for the controller, the store or a shard.
//! - Deny by default: a path without a row in the policy table is not served.

mod access;
mod answer;
mod openapi;
mod policy;
mod problem;
mod query;
mod routes;
mod scope;
mod server;
#[cfg(test)]
mod tests;

pub use server::{Portal, PortalConfig, PortalError};
