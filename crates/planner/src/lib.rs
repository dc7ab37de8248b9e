//! Which node moves where, in which batch, and whether a plan that somebody wrote may be carried out.
//!
//! The life of a plan, in order:
//!
//! 1. [`solve()`] turns a [`Problem`] (inventory and shards) into a [`Draft`] and a [`Report`] that says why.
//! 2. [`render()`] writes the draft as a plan file, which people review and change.
//! 3. [`parse()`] reads a plan file back, refusing what it does not know, with line and column.
//! 4. [`check()`] compares the file with a [`WorldView`]. It shares no code with the solver, so that a mistake in one is
//!    seen by the other.
//! 5. [`approve()`] gives the [`Plan`] that is carried out; it exists only for a file without findings.
//!
//! Pure: no clock, no randomness, no file, no network. The same input gives the same output, byte by byte.

mod check;
mod conflict;
mod draft;
mod finding;
mod order;
mod plan;
mod planfile;
mod policy;
mod problem;
mod solve;
mod suggest;
mod words;
mod world;

pub use check::{approve, check};
pub use conflict::Conflict;
pub use draft::{Draft, DraftBatch, Fill, Move, PlacementReason, Report, StayReason, TargetReport};
pub use finding::{FINDINGS_MAX, Finding, Place};
pub use plan::{Plan, PlanBatch, PlanError};
pub use planfile::{FILE_BYTES_MAX, LINE_CHARS_MAX, Located, PlanFile, parse, render};
pub use policy::{OnAlert, PolicyError, SoakPolicy, WINDOWS_MAX, When, Window, parse_millis};
pub use problem::{HEADROOM_PERCENT_DEFAULT, NodeLoad, PlanOptions, Problem, ShardCapacity};
pub use solve::solve;
pub use world::{NodeView, ShardView, WorldView};
