//! What is kept of a move for its receipt: facts of the way forward, which a rehearsal or a later way back leaves alone.
//!
//! All of it is folded from the journal. What an old journal does not say is absent and stays so: nothing is made up.

use crate::batch::{Batch, Verdict};
use crate::command::FinalState;
use crate::node::{CertificateState, Migration, Node, Promoted};
use crate::soak::SoakFacts;
use crate::stage::Stage;
use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, CustomerId, Generation, NodeId, ServerName, ShardId, Term, UnixMillis};

/// Longest receipt, in bytes: it has to fit well into a record of the journal.
pub const RECEIPT_BYTES_MAX: usize = 48 * 1024;

/// Longest name of who gave an order, in bytes.
pub const ORDERED_BY_BYTES_MAX: usize = 2048;

/// Takeovers that are remembered of one node. Each is an operator's decision; more than this is no service any more.
pub const GIVEN_UP_MAX: usize = 16;

/// Receipts that are made at the same time.
pub const RECEIPTS_AT_ONCE_MAX: usize = 16;

/// When a move came where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MoveTimes {
    /// Its plan was applied.
    pub planned: Option<UnixMillis>,
    /// Its work began.
    pub started: Option<UnixMillis>,
    /// All objects were at the target.
    pub seeded: Option<UnixMillis>,
    /// It was ready to flip.
    pub ready: Option<UnixMillis>,
    /// The last fence before the commit was set.
    pub fenced: Option<UnixMillis>,
    /// The source gave up its right to resume.
    pub sealed: Option<UnixMillis>,
    /// The commit was recorded.
    pub committed: Option<UnixMillis>,
    /// The target was the writer.
    pub promoted: Option<UnixMillis>,
    /// The routers held the new routes, read back and probed.
    pub flipped: Option<UnixMillis>,
    /// Old credentials had ended and the old copy was in quarantine.
    pub released: Option<UnixMillis>,
}

/// The commit of the way forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecord {
    /// The new fence.
    pub generation: Generation,
    /// Who led then.
    pub term: Term,
    /// What the source was sealed at.
    pub source: FinalState,
    /// What the target said that it has, before it was promoted at that.
    pub target: Option<FinalState>,
    /// What the target said when it was the writer.
    pub promoted: Option<Promoted>,
    /// Damaged objects were accepted until then.
    pub damage_accepted: bool,
}

/// What is kept of a move that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MoveRecord {
    /// When it came where.
    pub times: MoveTimes,
    /// What both sides had when the target had read its own bytes again, before the flip.
    pub compared: Option<FinalState>,
    /// Its commit.
    pub commit: Option<CommitRecord>,
    /// Who accepted damaged objects of a held move.
    pub damage_accepted_by: Option<String>,
}

/// Who gave the orders for a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BatchOrders {
    /// Who applied its plan.
    pub planned_by: Option<String>,
    /// Who started it.
    pub started_by: Option<String>,
    /// Who released it.
    pub released_by: Option<String>,
    /// It was released without waiting for its verdict. `None`: not recorded.
    pub forced: Option<bool>,
}

/// What an operator ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// A plan.
    Plan {
        /// Its revision.
        revision: u64,
    },
    /// The start of a batch.
    Start {
        /// Which.
        batch: BatchId,
    },
    /// The end of a batch's soak.
    Release {
        /// Which.
        batch: BatchId,
        /// Whatever its verdict.
        force: bool,
    },
    /// That a held move goes on with damaged objects.
    AcceptDamaged {
        /// Which.
        node: NodeId,
    },
}

/// A takeover in a node's life: what its writer of then stored after a change was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// When that was committed.
    pub at: UnixMillis,
    /// The writer that was gone.
    pub writer: ShardId,
    /// Changes of it after this one were given up.
    pub after_seq: u64,
    /// The fence of the shard that took over.
    pub generation: Generation,
}

/// A move whose soak is over, as it was then. Its receipt is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedMove {
    /// Whose the node was.
    pub customer: CustomerId,
    /// What its client connected to.
    pub server_name: ServerName,
    /// The batch it flipped with.
    pub batch: BatchId,
    /// The plan of the batch.
    pub plan_revision: Option<u64>,
    /// Where it left.
    pub source: ShardId,
    /// Where it went.
    pub target: ShardId,
    /// Version of the first routes that led to the target.
    pub route_version: Option<u64>,
    /// What both sides had when the target had read its own bytes again, before the flip.
    pub compared: Option<FinalState>,
    /// Its commit.
    pub commit: CommitRecord,
    /// When it came where.
    pub times: MoveTimes,
    /// Who accepted damaged objects of a held move.
    pub damage_accepted_by: Option<String>,
    /// How far the node's new certificate was.
    pub certificate: CertificateState,
    /// What was seen during the soak.
    pub soak: SoakFacts,
    /// What the soak came to.
    pub verdict: Option<Verdict>,
    /// Who ordered it.
    pub orders: BatchOrders,
    /// What was given up of the node before, in takeovers.
    pub given_up: Vec<GivenUp>,
}

/// A receipt that was made. Its bytes are in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedReceipt {
    /// The fence of the move.
    pub generation: Generation,
    /// The batch it flipped with.
    pub batch: BatchId,
    /// Where it left.
    pub source: ShardId,
    /// Where it went.
    pub target: ShardId,
    /// When the receipt was recorded.
    pub at: UnixMillis,
}

impl MoveRecord {
    /// Of a move that nobody has begun.
    pub(crate) const fn planned(at: UnixMillis) -> Self {
        let times = MoveTimes {
            planned: Some(at),
            started: None,
            seeded: None,
            ready: None,
            fenced: None,
            sealed: None,
            committed: None,
            promoted: None,
            flipped: None,
            released: None,
        };
        Self { times, compared: None, commit: None, damage_accepted_by: None }
    }

    /// The move came to a stage, on its way forward. Work that begins anew is counted from its last beginning, up to the commit;
    /// what comes after the commit comes once.
    pub(crate) fn came_to(&mut self, stage: Stage, at: UnixMillis) {
        let times = &mut self.times;
        let open = self.commit.is_none();
        let slot = match stage {
            Stage::Offering if open && times.started.is_none() => &mut times.started,
            Stage::CatchingUp if open => &mut times.seeded,
            Stage::Ready if open => &mut times.ready,
            Stage::Fencing if open => &mut times.fenced,
            Stage::Sealed if open => &mut times.sealed,
            Stage::Promoting if times.committed.is_none() => &mut times.committed,
            Stage::Retiring if times.promoted.is_none() => &mut times.promoted,
            Stage::Soaking if times.flipped.is_none() => &mut times.flipped,
            Stage::Released if times.released.is_none() => &mut times.released,
            _ => return,
        };
        *slot = Some(at);
    }
}

impl Node {
    /// The move has come to its end: its receipt is due, unless it came to the same end before and was restored in between.
    pub(crate) fn complete_move(&mut self, batch: Option<&Batch>) {
        let Some(Migration { record: MoveRecord { commit: Some(commit), times, .. }, .. }) = &self.migration else {
            return;
        };
        let generation = commit.generation;
        if self.has_receipt(generation) || self.receipts_due.iter().any(|due| due.commit.generation == generation) {
            return;
        }
        let (commit, times) = (commit.clone(), *times);
        let Some(moving) = &self.migration else { return };
        let completed = CompletedMove {
            customer: self.customer.clone(),
            server_name: self.server_name.clone(),
            batch: moving.batch.clone(),
            plan_revision: batch.map(|batch| batch.plan_revision),
            source: moving.source.clone(),
            target: moving.target.clone(),
            route_version: moving.route_version,
            compared: moving.record.compared,
            commit,
            times,
            damage_accepted_by: moving.record.damage_accepted_by.clone(),
            certificate: self.certificate.clone(),
            soak: moving.soak.clone(),
            verdict: batch.and_then(|batch| batch.verdict.clone()),
            orders: batch.map(|batch| batch.orders.clone()).unwrap_or_default(),
            given_up: self.given_up.clone(),
        };
        self.receipts_due.push(completed);
    }

    /// True when the move of this fence has its receipt.
    #[must_use]
    pub fn has_receipt(&self, generation: Generation) -> bool {
        self.receipts.iter().any(|receipt| receipt.generation == generation)
    }

    /// A completed move without its receipt.
    #[must_use]
    pub fn receipt_due(&self, generation: Generation) -> Option<&CompletedMove> {
        self.receipts_due.iter().find(|due| due.commit.generation == generation)
    }

    /// The receipt of a completed move was recorded.
    pub(crate) fn take_receipt(&mut self, generation: Generation, at: UnixMillis) {
        let Some(place) = self.receipts_due.iter().position(|due| due.commit.generation == generation) else { return };
        let CompletedMove { batch, source, target, .. } = self.receipts_due.remove(place);
        self.receipts.push(IssuedReceipt { generation, batch, source, target, at });
    }

    /// A writer was given up.
    pub(crate) fn give_up(&mut self, given_up: GivenUp) {
        if self.given_up.len() >= GIVEN_UP_MAX {
            self.given_up.remove(0);
        }
        self.given_up.push(given_up);
    }
}

#[cfg(test)]
mod tests;
