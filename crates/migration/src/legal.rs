//! Whether an event may happen in a world. One function, used live and on recovery: [`World::legal`].
//!
//! What [`crate::decide()`] and [`crate::advance()`] answer is always legal. A journal with an illegal event was not written
//! by this program, or was damaged: recovery refuses it. Time is not judged here, so that replay gives what live gave.

mod back;
mod batch;
mod fleet;
mod node;
mod takeover;

use crate::batch::BatchPhase;
use crate::event::Event;
use crate::stage::Stage;
use crate::world::World;
use shardlift_model::{BatchId, Generation, NodeId, ServerName, ShardId, Step, Term};

/// Most serials that one enrolment token may get: each is the repetition of a lost answer.
pub const SERIALS_MAX: usize = 16;

/// Why an event cannot have happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// Leadership only moves on.
    #[error("term {term} does not follow term {present}")]
    Term {
        /// The event's.
        term: Term,
        /// The world's.
        present: Term,
    },
    /// Bounds that no cutover could keep.
    #[error("limits: {0}")]
    Limits(&'static str),
    /// An address that leads nowhere.
    #[error("`{0}` is not host:port")]
    Address(String),
    /// The control address of another server.
    #[error("the control address {address} belongs to {holder}")]
    AddressTaken {
        /// The address.
        address: String,
        /// Whose it is.
        holder: String,
    },
    /// No such node.
    #[error("node `{0}` is not known")]
    UnknownNode(NodeId),
    /// A node that is there already.
    #[error("node `{0}` is known already")]
    KnownNode(NodeId),
    /// No such shard.
    #[error("shard `{0}` is not known")]
    UnknownShard(ShardId),
    /// No such batch.
    #[error("batch `{0}` is not known")]
    UnknownBatch(BatchId),
    /// Two nodes behind one name.
    #[error("the server name {name} belongs to node `{holder}`")]
    ServerNameTaken {
        /// The name.
        name: ServerName,
        /// Whose it is.
        holder: NodeId,
    },
    /// INV-06: the route version grows by one with every change of a route, and not otherwise.
    #[error("route version {version} does not follow {present}")]
    RouteVersion {
        /// The event's.
        version: u64,
        /// The world's.
        present: u64,
    },
    /// A plan that does not fit.
    #[error("plan: {0}")]
    Plan(String),
    /// A batch in another phase.
    #[error("batch `{batch}` is {}: {why}", phase.as_str())]
    Batch {
        /// Which.
        batch: BatchId,
        /// Where it stands.
        phase: BatchPhase,
        /// What is wrong.
        why: &'static str,
    },
    /// INV-05: a commit that is not what was sealed.
    #[error("commit of node `{node}`: {why}")]
    Commit {
        /// Which.
        node: NodeId,
        /// What is wrong.
        why: &'static str,
    },
    /// A commit that commits nothing.
    #[error("a commit places at least one node")]
    EmptyCommit,
    /// The fence only moves on.
    #[error("generation {generation} of node `{node}` does not follow {present}")]
    Generation {
        /// Which.
        node: NodeId,
        /// The event's.
        generation: Generation,
        /// The world's.
        present: Generation,
    },
    /// A node without a move, or whose move is over.
    #[error("node `{0}` is not moving")]
    NotMoving(NodeId),
    /// A stage out of order.
    #[error("node `{node}` cannot come from {present} to {stage}: {why}")]
    Stage {
        /// Which.
        node: NodeId,
        /// Where it stands.
        present: Stage,
        /// Where it would come.
        stage: Stage,
        /// What is wrong.
        why: &'static str,
    },
    /// INV-03: steps grow by one.
    #[error("step {step} of node `{node}` does not follow {present}")]
    Step {
        /// Which.
        node: NodeId,
        /// The event's.
        step: Step,
        /// The world's.
        present: Step,
    },
    /// A fact about a move that does not fit its stage.
    #[error("node `{node}` is at {stage}: {why}")]
    Move {
        /// Which.
        node: NodeId,
        /// Where it stands.
        stage: Stage,
        /// What is wrong.
        why: &'static str,
    },
    /// Settings that cannot be recorded.
    #[error("the settings of node `{node}`: {why}")]
    Settings {
        /// Which.
        node: NodeId,
        /// What is wrong.
        why: &'static str,
    },
    /// A receipt that cannot be one.
    #[error("the receipt of node `{node}`: {why}")]
    Receipt {
        /// Which.
        node: NodeId,
        /// What is wrong.
        why: &'static str,
    },
    /// An order that nobody can have given.
    #[error("an order: {0}")]
    Order(&'static str),
    /// A token or certificate that does not fit.
    #[error("enrolment: {0}")]
    Enrolment(&'static str),
    /// A certificate that cannot be recorded or taken back like this.
    #[error("certificates: {0}")]
    Certificates(&'static str),
    /// A status token that exists.
    #[error("the status token exists already")]
    StatusToken,
}

impl World {
    /// Whether this may happen now.
    ///
    /// # Errors
    /// [`Illegal`] says why not.
    pub fn legal(&self, event: &Event) -> Result<(), Illegal> {
        match event {
            Event::LeadershipTaken { .. }
            | Event::LimitsSet { .. }
            | Event::SeedingAdvised { .. }
            | Event::ShardRecorded { .. }
            | Event::RouterRecorded { .. }
            | Event::NodeFound { .. }
            | Event::NodeDefined { .. }
            | Event::EnrolmentGranted { .. }
            | Event::NodeEnrolled { .. }
            | Event::CertificateSeen { .. }
            | Event::CertificateIssued { .. }
            | Event::CertificatesRevoked { .. }
            | Event::RevocationListRenewed { .. }
            | Event::SettingsChanged { .. }
            | Event::OrderGiven { .. }
            | Event::ReceiptIssued { .. }
            | Event::StatusTokenGranted { .. } => self.legal_for_fleet(event),
            Event::PlanApplied { .. }
            | Event::BatchStarted { .. }
            | Event::BatchPaused { .. }
            | Event::BatchResumed { .. }
            | Event::BatchReady { .. }
            | Event::CutoverStarted { .. }
            | Event::BatchCommitted { .. }
            | Event::BatchSettled { .. }
            | Event::VerdictReached { .. }
            | Event::BatchReleased { .. }
            | Event::BatchAborted { .. }
            | Event::BatchRolledBack { .. } => self.legal_for_batch(event),
            Event::StageEntered { .. }
            | Event::ReplicaVerified { .. }
            | Event::FinalStateNamed { .. }
            | Event::FenceLost { .. }
            | Event::MoveHeld { .. }
            | Event::MoveRetried { .. }
            | Event::UndoStarted { .. }
            | Event::WriterPromoted { .. } => self.legal_for_node(event),
            Event::RollbackStarted { .. }
            | Event::RollbackCommitted { .. }
            | Event::RollbackUndone { .. }
            | Event::RestoreStarted { .. }
            | Event::SoakFactSeen { .. } => self.legal_for_way_back(event),
            Event::TakeoverStarted { .. }
            | Event::StockTaken { .. }
            | Event::TakeoverCommitted { .. }
            | Event::WriterWrittenOff { .. } => self.legal_for_takeover(event),
        }
    }

    fn next_routes(&self, version: u64, changed: bool) -> Result<(), Illegal> {
        let present = self.route_version;
        let expected = if changed { present.checked_add(1) } else { Some(present) };
        if expected == Some(version) { Ok(()) } else { Err(Illegal::RouteVersion { version, present }) }
    }
}

#[cfg(test)]
mod tests;
