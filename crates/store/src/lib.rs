//! The controller's store: a durable journal of events under a leadership term.
//!
//! The life of a store: it is created once, empty, for one cluster ([`SledStore::init`]); opened by one process at a time
//! ([`SledStore::open`], which never creates and refuses a store that lost something); a controller takes leadership
//! ([`Store::campaign`]), reads the journal ([`Store::read`]) and appends to it ([`Store::append`]) for as long as its term
//! is the highest. After a write whose outcome is unknown the handle is done with: open again and read back.
//!
//! The journal knows nothing of what its records mean. Records are never changed, never removed and never repaired:
//! each is hashed together with all before it, and one that does not match is refused with its number. The way out of a
//! damaged store is [`export`] (or [`salvage`]) and [`import`] into a new one.
//!
//! Everything here blocks; asynchronous callers give it a thread of its own.

pub mod conformance;
mod contract;
mod error;
mod export;
pub mod faulty;
mod head;
mod memory;
mod record;
mod sled_store;

pub use contract::{APPEND_BYTES_MAX, APPEND_RECORDS_MAX, READ_BYTES_MAX, RECORD_BYTES_MAX, Seq, Store};
pub use error::StoreError;
pub use export::{ExportError, ExportSummary, check_export, export, import};
pub use memory::MemoryStore;
pub use sled_store::{Salvaged, SledStore, salvage};

/// Ways to take a store's protection away, for the tests that show what the protection is for. Never for production.
#[doc(hidden)]
pub mod unprotected {
    pub use crate::sled_store::open_without_sync;
}
