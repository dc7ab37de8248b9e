//! What the planner promises, seen from outside: one small bad file per kind of finding, properties over many problems,
//! and mutants that show that the checker sees what it is there for.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(missing_docs, reason = "tests are sentences")]

mod bad_batch;
mod bad_form;
mod bad_plan;
mod bad_value;
mod bad_wishes;
mod bound;
mod conflicts;
mod drafts;
mod drawn;
mod estimates;
mod fixture;
mod mutants;
mod pictures;
mod policy;
mod properties;
mod quality;
mod relief;
mod relief_mutants;
mod scale;
mod wishes;
