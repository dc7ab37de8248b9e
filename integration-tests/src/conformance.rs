//! The restic REST protocol as a table of cases, run over TLS against any server.
//!
//! A [`Peer`] says where the server is, which of the known servers it is, and who may log in. [`run`] sends every case
//! that applies, over HTTP/1.1 and HTTP/2, with paths exactly as written: nothing normalises them on the way. The
//! [`Report`] has one row for each case and protocol: what was expected of this server, what was seen, whether it fits.
//!
//! Every case states what three servers do: rest-server (the reference, by its source), Shardlift's shard, and rclone.
//! Where one of them departs from the reference, the case says why, and the departure itself is expected: most exactly,
//! some as a choice of answers where the moment decides. The column of rest-server comes from reading its source and has
//! not been run.

mod case;
mod cases;
mod expect;
mod peer;
mod report;
mod request;
mod runner;
mod single;
mod wire;

pub use peer::{Access, Login, Mode, Peer, Protocol, Which};
pub use report::{Report, Row, Verdict};
pub use runner::run;
pub use single::ask;
