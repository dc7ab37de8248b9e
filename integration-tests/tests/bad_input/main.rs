//! Bad input through the real programs: each is refused with a clear word, and nothing is changed by it.
//!
//! What is compared is the controller's own account before and after, its count of recorded events included. Tricks with
//! paths, wrong hashes and short bodies are cases of the REST conformance suite, which runs against the real program too.

mod access;
mod enrolment;
mod messages;
mod plans;
mod storage;
mod world;
