//! The state machines of one node's move and of one batch. Pure: no clock, no file, no socket; time is an argument.
//!
//! The life of a decision: an [`Input`] arrives, [`decide()`] answers with [`Event`]s and changes nothing, the caller appends
//! them durably, [`World::apply`] takes them in (it is total), [`advance()`] says what follows from the new state by itself,
//! and [`effects`] derives from the state all that should be running now. A crash anywhere leads back to the same effects.
//! Each command among them carries node and token and may be sent twice.
//!
//! The way back is the same protocol with the roles swapped: see [`Direction`].

pub mod advance;
pub mod apply;
pub mod batch;
pub mod certificates;
pub mod command;
pub mod decide;
pub mod effect;
pub mod event;
pub mod explain;
pub mod input;
pub mod invariants;
pub mod legal;
pub mod lookup;
pub mod node;
pub mod order;
pub mod record;
pub mod settings;
pub mod soak;
pub mod stage;
pub mod world;

pub use advance::advance;
pub use batch::{Batch, BatchPhase, OnAlert, SoakPolicy, Verdict, When, Window};
pub use command::{Command, FinalState};
pub use decide::{Refusal, RefusalKind, decide};
pub use effect::{Effect, effects};
pub use event::Event;
pub use explain::{Explanation, explain};
pub use input::{Input, Outcome};
pub use legal::Illegal;
pub use lookup::Routed;
pub use node::{CertificateState, Held, Migration, Node, Promoted, Rehearsal, Takeover};
pub use record::{CompletedMove, IssuedReceipt, Order};
pub use settings::{Hold, Settings};
pub use soak::{CopyRead, History, SeenCertificate, SoakFact, SoakFacts};
pub use stage::{Direction, Phase, Stage, Way};
pub use world::World;

mod words;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod simulation;
