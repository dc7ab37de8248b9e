//! Which node moves where, in which batch, and whether a plan that somebody wrote may be carried out.
//!
//! The life of a plan, in order:
//!
//! 1. [`solve()`] turns a [`Problem`] (inventory and shards) into a [`Draft`] and a [`Report`] that says why.
//! 2. [`render()`] writes the draft as a plan file with what it was made for, which people review and change.
//! 3. [`parse()`] reads a plan file back, refusing what it does not know, with line and column.
//! 4. [`check()`] compares the file with a [`WorldView`]. It shares no judgement with the solver, so that a mistake in one is
//!    seen by the other.
//! 5. [`approve()`] gives the [`Plan`] that is carried out; it exists only for a file without findings.
//!
//! A plan file notes the world that it was drawn in: [`drift()`] says what has changed since, [`rebase()`] brings it up to date.
//!
//! Beside it: [`estimate`] says how long a plan takes, [`mod@pace`] how large the next batch should be, [`heat`] shows load by hour
//! before and after, [`mod@diff`] what differs; [`families`] and [`baselines`] are what plans are measured with.
//!
//! Pure: no clock, no randomness, no file, no network. The same input gives the same output, byte by byte.

pub mod baselines;
mod check;
mod conflict;
pub mod diff;
mod draft;
pub mod estimate;
pub mod families;
mod finding;
pub mod heat;
mod load;
mod minutes;
mod order;
pub mod pace;
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
pub use draft::{
    Draft, DraftBatch, Fill, LoadReport, Moment, Move, Peak, PlacementReason, Report, StayReason, TargetReport,
};
pub use finding::{FINDINGS_MAX, Finding, Place};
pub use load::{HOURS, HourOfWeek, LOAD_MAX, LoadError, LoadProfile};
pub use plan::{Plan, PlanBatch, PlanError};
pub use planfile::{
    Base, Drafted, Drawn, DrawnError, DrawnNode, Drift, FILE_BYTES_MAX, LINE_CHARS_MAX, Located, PlanFile, RebaseError,
    Wishes, drift, parse, parse_wishes, rebase, render,
};
pub use policy::{OnAlert, PolicyError, SoakPolicy, WINDOWS_MAX, When, Window, parse_bytes, parse_millis};
pub use problem::wishes::{CustomerRule, Goal, HORIZON_DAYS_DEFAULT, TOLERANCE_PERMILLE_DEFAULT};
pub use problem::{HEADROOM_PERCENT_DEFAULT, NodeLoad, PlanOptions, Problem, ShardCapacity};
pub use solve::solve;
pub use world::{NodeView, Rules, ShardView, WorldView};
