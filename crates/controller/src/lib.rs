//! The controller: the shell around the pure state machines. It records, drives and shows; it holds no data of nodes.
//!
//! The life of a controller, in order:
//!
//! 1. [`init()`] makes a cluster once: store, CA, first certificates.
//! 2. [`ControllerConfig`] is read, [`Controller::build`] loads certificates, [`Controller::run`] opens the store, takes
//!    leadership and folds the journal (`recovery`).
//! 3. The loop (`runtime`) takes inputs from operators, enrolling clients, observations (`inventory`) and answers to
//!    effects; decides, appends, applies; then brings the running effects in line (`effects`).
//!    Throughput is measured beside it (`estimates`).
//! 4. Views are made from the recorded world and what was observed (`operator`, `publish`); nothing is decided there.
//!
//! Invariants: nothing is acknowledged or done before it is durable; the loop alone changes the recorded world; a store
//! whose answer is unknown ends the process, and the next one reads back (INV-11). Effects may be sent twice and carry
//! node and token (INV-03).

mod audit;
mod backoff;
mod channels;
mod clock;
mod config;
mod effects;
mod enrolment;
mod estimates;
mod history;
pub mod init;
mod inputs;
mod inventory;
mod issuer;
mod journal;
mod lead;
mod ledger;
mod metrics;
mod observed;
mod operator;
mod part_certificates;
mod publish;
mod receipts;
mod recovery;
mod renewal;
mod revocations;
mod runtime;
mod scrape;
mod sentences;
mod server;
mod state;
#[cfg(test)]
mod tests;
mod tries;
mod wire;

pub use audit::OpenError as AuditError;
pub use config::ControllerConfig;
pub use init::{InitError, InitFile, InitOptions, InitPassphrase, InitReport, init};
pub use issuer::IssuerError;
pub use journal::EntryError;
pub use lead::LeadError;
pub use recovery::RecoveryError;
pub use runtime::RuntimeError;
pub use server::{Controller, ControllerError};
pub use shardlift_api::configuration::ConfigError;
