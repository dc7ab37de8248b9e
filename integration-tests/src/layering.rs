//! What holds the shape of the workspace: who may depend on whom, and how a source file must look.
//!
//! The checkers take plain values, so that a test can feed them bad samples; `tests/layering.rs` feeds them the
//! workspace itself.

mod edges;
mod sources;

pub use edges::{Dependency, Package, check_edges, workspace_packages};
pub use sources::{SourceFile, check_pure_source, check_source, rust_sources};
