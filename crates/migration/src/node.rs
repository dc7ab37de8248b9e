//! One node: where it is, who owns it, and its present move.

use crate::command::FinalState;
use crate::record::{CompletedMove, GivenUp, IssuedReceipt, MoveRecord};
use crate::settings::Settings;
use crate::soak::SoakFacts;
use crate::stage::{Direction, Phase, Stage, Way};
use serde::{Deserialize, Serialize};
use shardlift_model::{BatchId, CustomerId, Generation, NodeId, ServerName, Sha256, ShardId, Step, UnixMillis};
use std::collections::BTreeSet;

/// What the controller knows for sure about a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub node: NodeId,
    /// Whose it is.
    pub customer: CustomerId,
    /// What its client connects to.
    pub server_name: ServerName,
    /// The committed placement: the one writer.
    pub shard: ShardId,
    /// Fence of the placement.
    pub generation: Generation,
    /// Number of the last command that was decided under this generation.
    pub step: Step,
    /// How far the new certificate is.
    pub certificate: CertificateState,
    /// Hash of the last enrolment token that was used.
    #[serde(default)]
    pub enrolled_with: Option<Sha256>,
    /// Serials handed out under the last enrolment token, oldest first: more than one when an answer was lost.
    #[serde(default)]
    pub serials: Vec<String>,
    /// Shards that hold an old copy since a move was taken back. Such a copy is kept: a later move goes on from it.
    #[serde(default)]
    pub old_copies: BTreeSet<ShardId>,
    /// The last generation under which a shard took the node over without its writer. While the route is of that generation,
    /// routers end what they have passed to another shard.
    #[serde(default)]
    pub taken_over: Option<Generation>,
    /// What an operator set, as the writer last confirmed it. `None`: nothing was ever set.
    #[serde(default)]
    pub settings: Option<Settings>,
    /// Takeovers of it, oldest first.
    #[serde(default)]
    pub given_up: Vec<GivenUp>,
    /// Completed moves whose receipts are to be made, oldest first.
    #[serde(default)]
    pub receipts_due: Vec<CompletedMove>,
    /// Receipts that were made, oldest first.
    #[serde(default)]
    pub receipts: Vec<IssuedReceipt>,
    /// The present or last move.
    pub migration: Option<Migration>,
}

/// How far a node's new certificate is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum CertificateState {
    /// Nothing yet.
    #[default]
    None,
    /// A one-time token exists.
    TokenCreated,
    /// The client has fetched a certificate.
    Issued {
        /// Its serial.
        serial: String,
    },
    /// A shard has seen a handshake with it.
    InUse {
        /// Its serial.
        serial: String,
    },
}

/// One node's move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// The batch it flips with.
    pub batch: BatchId,
    /// Where it leaves.
    pub source: ShardId,
    /// Where it goes.
    pub target: ShardId,
    /// Which way it goes at present.
    #[serde(default)]
    pub direction: Direction,
    /// Where it stands.
    pub stage: Stage,
    /// When it came there.
    pub stage_since: UnixMillis,
    /// The phase that it last came to, and when; a phase has several stages. `None`: not recorded.
    #[serde(default)]
    pub phase_entered: Option<(Phase, UnixMillis)>,
    /// An operator accepted objects that were damaged before the move.
    pub accept_damaged: bool,
    /// What both sides had at the last comparison.
    pub verified: Option<FinalState>,
    /// The final state, from the fence on.
    pub final_state: Option<FinalState>,
    /// Needs an operator: why.
    pub held: Option<Held>,
    /// Why it is being undone or was.
    pub undo_reason: Option<String>,
    /// How often the fence was lost and set again in this cutover.
    pub fence_attempts: u32,
    /// Why the fence was lost the last time.
    #[serde(default)]
    pub fence_lost: Option<String>,
    /// Work has to be begun anew under a new token: a fence was lost, or an operator let a held move go on.
    #[serde(default)]
    pub reenter: bool,
    /// The last step before the commit, under the generation before it: clients are led to the giver under it until the
    /// taker is promoted.
    #[serde(default)]
    pub sealed_step: Option<Step>,
    /// What the taker said when it became the writer.
    #[serde(default)]
    pub promoted: Option<Promoted>,
    /// Version of the first routes that lead to the taker.
    #[serde(default)]
    pub route_version: Option<u64>,
    /// What was seen during the soak.
    #[serde(default)]
    pub soak: SoakFacts,
    /// Why it goes back, or last did.
    #[serde(default)]
    pub rollback_reason: Option<String>,
    /// The way back is only rehearsed: all but seal and commit.
    #[serde(default)]
    pub rehearsal: bool,
    /// When the present or last way back began.
    #[serde(default)]
    pub cutover_at: Option<UnixMillis>,
    /// Why the last way back was undone.
    #[serde(default)]
    pub rollback_failed: Option<String>,
    /// The last way back that was rehearsed with success.
    #[serde(default)]
    pub rehearsed: Option<Rehearsal>,
    /// A way back was begun because the verdict on its batch was bad; it is begun once.
    #[serde(default)]
    pub verdict_heeded: bool,
    /// It goes back without its writer, or did.
    #[serde(default)]
    pub takeover: Option<Takeover>,
    /// The former writer will never return: nobody waits for it, be it to follow or to give up what it has.
    #[serde(default)]
    pub written_off: bool,
    /// What its receipt will say.
    #[serde(default)]
    pub record: MoveRecord,
}

/// A way back without the writer, which is gone for good: an operator gives up what only the writer has. Why:
/// [`Migration::rollback_reason`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    /// Changes of the writer after this one were given up. The taker has at least those up to it.
    pub after_seq: u64,
    /// What the taker has: that, and nothing else, is committed.
    pub stock: Option<FinalState>,
}

/// What a shard said when it became the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promoted {
    /// Its own last change then: the old copy follows from there.
    pub seq: u64,
    /// Snapshots that it had then.
    pub snapshots: u64,
}

/// A way back that was proved up to the seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// When clients were let go again.
    pub at: UnixMillis,
    /// How long they had waited.
    pub took_ms: u64,
}

/// A move that needs an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What happened.
    pub reason: String,
    /// What to do about it.
    pub advice: String,
    /// Since when.
    pub since: UnixMillis,
}

impl Migration {
    /// A move that nobody has begun.
    #[must_use]
    pub const fn planned(batch: BatchId, source: ShardId, target: ShardId, at: UnixMillis) -> Self {
        Self {
            batch,
            source,
            target,
            direction: Direction::Forward,
            stage: Stage::Planned,
            stage_since: at,
            phase_entered: Some((Phase::Planned, at)),
            accept_damaged: false,
            verified: None,
            final_state: None,
            held: None,
            undo_reason: None,
            fence_attempts: 0,
            fence_lost: None,
            reenter: false,
            sealed_step: None,
            promoted: None,
            route_version: None,
            soak: SoakFacts::NONE,
            rollback_reason: None,
            rehearsal: false,
            cutover_at: None,
            rollback_failed: None,
            rehearsed: None,
            verdict_heeded: false,
            takeover: None,
            written_off: false,
            record: MoveRecord::planned(at),
        }
    }

    /// Who gives the node away in the present direction.
    #[must_use]
    pub const fn giver(&self) -> &ShardId {
        match self.direction {
            Direction::Forward => &self.source,
            Direction::Back => &self.target,
        }
    }

    /// Who gets the node in the present direction.
    #[must_use]
    pub const fn taker(&self) -> &ShardId {
        match self.direction {
            Direction::Forward => &self.target,
            Direction::Back => &self.source,
        }
    }

    /// The phase, in people's words.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match (self.direction, self.stage) {
            (Direction::Back, stage) if !stage.is_over() => Phase::RollingBack,
            (_, stage) => stage.phase(),
        }
    }

    /// Since when it is in its present phase.
    #[must_use]
    pub fn phase_since(&self) -> UnixMillis {
        let entered = self.phase_entered.filter(|(phase, _)| *phase == self.phase());
        entered.map_or(self.stage_since, |(_, at)| at)
    }

    /// True while it goes back.
    #[must_use]
    pub const fn is_back(&self) -> bool {
        matches!(self.direction, Direction::Back)
    }

    /// The way through the table of stages that it is on.
    #[must_use]
    pub fn way(&self) -> Way {
        if self.takeover.is_some() { Way::WithoutWriter } else { self.direction.into() }
    }

    /// True when its batch need not wait for it any more: it is over, or all that is left is that a writer which was gone
    /// gives up what it has when it returns.
    #[must_use]
    pub const fn is_concluded(&self) -> bool {
        self.stage.is_over() || matches!(self.stage, Stage::Deposing)
    }

    /// True while the node and what belongs to it are on their way between two shards: nothing can be set for it meanwhile.
    #[must_use]
    pub const fn changes_hands(&self) -> bool {
        let rests = self.is_soaking() || self.is_concluded();
        !rests && (self.stage.is_cutting_over() || self.is_undoing() || self.is_committed())
    }

    /// Where the move goes on once the former writer that it waits for is written off; `None` while it waits for none.
    #[must_use]
    pub fn written_off_leads_to(&self) -> Option<Stage> {
        self.stage.written_off(self.way())
    }

    /// Where clients are still led although the node is placed elsewhere already, because the placement cannot serve it yet.
    #[must_use]
    pub fn still_routed_to(&self) -> Option<&ShardId> {
        match self.stage {
            Stage::Promoting if self.takeover.is_none() => Some(self.giver()),
            // The writer was given up before it was known to be promoted: no route has ever led to it.
            Stage::TakingStock if self.route_version.is_none() => Some(self.taker()),
            _ => None,
        }
    }

    /// True when the move forward was committed: only a way back leads to the source.
    #[must_use]
    pub const fn is_committed(&self) -> bool {
        self.is_back() || self.stage.is_committed()
    }

    /// True when the target serves the node and the source follows it, with nothing under way.
    #[must_use]
    pub const fn is_soaking(&self) -> bool {
        matches!((self.direction, self.stage), (Direction::Forward, Stage::Soaking))
    }

    /// True while fence, copy or way back is taken back, and after it.
    #[must_use]
    pub const fn is_undoing(&self) -> bool {
        self.stage.is_undo() || matches!((self.direction, self.stage), (Direction::Back, Stage::Resuming))
    }

    /// True when the taker was seen equal at the final state (INV-05).
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.final_state.is_some() && self.verified == self.final_state
    }

    /// True when the node no longer flips with its batch: its undo before the commit is decided, under way or over.
    #[must_use]
    pub const fn has_left(&self) -> bool {
        !self.is_back() && (self.undo_reason.is_some() || self.stage.is_undo())
    }

    /// True when this many damaged objects do not stand in the way of the move (INV-05).
    #[must_use]
    pub const fn tolerates(&self, state: &FinalState) -> bool {
        state.damaged == 0 || self.accept_damaged
    }

    /// True when the move waits for an operator or for its turn to begin anew: nothing runs for it meanwhile.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.held.is_some() || self.reenter || (self.undo_reason.is_some() && !self.is_undoing())
    }
}

impl CertificateState {
    /// The word for people and files.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::TokenCreated => "token",
            Self::Issued { .. } => "issued",
            Self::InUse { .. } => "in_use",
        }
    }
}
