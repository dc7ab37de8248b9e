//! The command line: the roles (`controller`, `shard`, `router`) and what an operator does.
//!
//! The life of a command, in order: [`cli`] says what can be asked and is the one source of help, completions and man
//! pages; a `context` says which controller and as whom; a `connection` asks; `output` prints the answer as a table or as JSON;
//! an [`exit::Failure`] says what went wrong, what to do, and with which code the process ends.
//!
//! Invariants: data goes to stdout, talk to stderr; nothing is decided here that the controller has to decide; a key is made
//! where it is used and never leaves that machine; a file or folder that is made is complete and on disk, or not there.

mod audit;
mod batches;
mod certificates;
pub mod cli;
mod client_folder;
mod confirm;
mod connection;
mod context;
mod doctor;
mod documents;
mod draft;
mod enroll;
mod enrolment_tokens;
pub mod exit;
mod follow;
mod init;
mod logging;
mod nodes;
mod output;
mod parts;
mod passphrase;
mod pki;
mod plans;
mod prepare;
mod progress;
mod receipts;
mod renew;
mod rollback;
mod run;
mod serve;
mod status;
mod template;
mod tokens;
mod verify;
mod wait;

pub use run::main;
