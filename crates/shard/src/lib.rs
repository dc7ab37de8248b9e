//! A backup server: the restic REST protocol towards clients, a data plane towards other shards, commands from the controller.
//!
//! A node's life here, in order: [`engine`] creates it (or adopts its folder, or takes it in as an incoming copy), stores its
//! objects and journals every change; [`admission`] decides at each instant whether a client's request may go in; [`rest`] and
//! [`auth`] speak to clients; [`replication`] lets one other shard read the node, or pulls it from there; [`forward`] passes
//! late requests on when the node has moved away, while the copy here follows its new writer; [`control`] executes the
//! controller's commands; [`throttle`] holds back what is not a client's while clients notice; [`server`] ties it together.
//! [`session`] and [`metrics`] watch. Whom the cluster no longer believes, [`revocations`] knows.
//!
//! Only the engine touches the folder and the index; only admission opens and closes a node to clients.

pub mod admission;
pub mod auth;
pub mod control;
pub mod engine;
pub mod forward;
pub mod metrics;
pub mod probe;
pub mod replication;
pub mod rest;
pub mod server;
pub mod session;
pub mod throttle;
pub mod witness;
