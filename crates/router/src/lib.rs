//! What clients connect to: reads the server name of the TLS hello and passes the connection through, unopened.
//!
//! A connection's way: [`hello`] finds the name (pure), [`table`] says which shard has it (pure), [`links`] enters it, [`proxy`]
//! connects and copies bytes both ways. The table changes only by [`control`], which the controller alone may call, in the order
//! of [`changes`], and is durable in [`store`] before it is in force. [`server`] ties it together.
//!
//! Invariants:
//! - The router holds no key of a client or shard and never sees what passes through.
//! - A name without a route is closed, counted and logged, and never sent anywhere.
//! - A route that severs is shown only when no connection leads to the node's former shard any more.
//! - INV-03: a change with a lower token for one node is refused as a whole; INV-06: the version only grows.

pub mod changes;
pub mod control;
pub mod hello;
pub mod links;
pub mod metrics;
pub mod proxy;
pub mod server;
mod splice;
pub mod store;
pub mod table;
