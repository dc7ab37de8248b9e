//! One node on one shard, and what each command does to it: the rules of a shard without its data.
//!
//! The seq stands for the content: there is one writer at a time, so equal counts of changes are equal contents. Every rule
//! finds its own work done when it runs again.

use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1::{self, NodeMode};
use shardlift_model::{ShardId, Token};

/// One node on one shard.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Copy {
    pub(crate) mode: NodeMode,
    pub(crate) token: Token,
    pub(crate) generation: u64,
    pub(crate) seq: u64,
    /// The own seq when it became the writer.
    pub(crate) promoted_seq: u64,
    pub(crate) offered_to: Option<String>,
    /// Whom it follows, or followed last.
    pub(crate) source: Option<ShardId>,
    /// Where requests are forwarded to.
    pub(crate) forwards_to: Option<ShardId>,
    /// It was the writer and was equal to its source when it gave the node away: an old copy.
    pub(crate) resumed: bool,
    /// It follows nobody any more and has said what it has.
    pub(crate) stocked: bool,
    /// It was given up as the writer: what it has parted from what the others have.
    pub(crate) deposed: bool,
    pub(crate) verified: bool,
    /// The token and number of its last deep verify, with what that has found; one that has not ended when there is none.
    pub(crate) deep_verify: Option<(Token, u64, Option<Found>)>,
    pub(crate) looks: u32,
    pub(crate) seen: Vec<String>,
    pub(crate) legacy_ended: bool,
    pub(crate) settings: v1::NodeSettings,
}

/// What a deep verify has found.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Found {
    pub(crate) damaged: u64,
    pub(crate) missing: u64,
}

/// What a shard is told.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    Offer { target: String },
    StartReplica { source: ShardId },
    VerifyReplica,
    DeepVerify { run: u64 },
    Fence,
    RenewFence,
    Unfence,
    CompleteReplica { expected: v1::NodeDigest },
    Seal { expected: v1::NodeDigest },
    Promote { expected: v1::NodeDigest, follower: String },
    Retire { target: ShardId, from_seq: u64 },
    Detach,
    TakeStock,
    Depose,
    Quarantine,
    Restore,
    EndLegacyCredentials,
    DiscardReplica,
    Set { settings: v1::NodeSettings },
}

impl Order {
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Offer { .. } => "offer",
            Self::StartReplica { .. } => "start_replica",
            Self::VerifyReplica => "verify_replica",
            Self::DeepVerify { .. } => "deep_verify",
            Self::Fence => "fence",
            Self::RenewFence => "renew_fence",
            Self::Unfence => "unfence",
            Self::CompleteReplica { .. } => "complete_replica",
            Self::Seal { .. } => "seal",
            Self::Promote { .. } => "promote",
            Self::Retire { .. } => "retire",
            Self::Detach => "detach",
            Self::TakeStock => "take_stock",
            Self::Depose => "depose",
            Self::Quarantine => "quarantine",
            Self::Restore => "restore",
            Self::EndLegacyCredentials => "end_legacy_credentials",
            Self::DiscardReplica => "discard_replica",
            Self::Set { .. } => "set_node",
        }
    }

    /// Commands that make the node known to a shard that does not know it.
    pub(crate) const fn creates(&self) -> bool {
        matches!(self, Self::StartReplica { .. } | Self::DiscardReplica)
    }
}

fn refused(text: &str) -> Fault {
    Fault::new(FaultKind::Refused, text)
}

impl Copy {
    pub(crate) fn serving(seq: u64) -> Self {
        Self { mode: NodeMode::Serving, generation: 1, seq, ..Self::unknown() }
    }

    /// Before the first command that makes it.
    pub(crate) fn unknown() -> Self {
        Self {
            mode: NodeMode::Discarded,
            token: Token::default(),
            generation: 0,
            seq: 0,
            promoted_seq: 0,
            offered_to: None,
            source: None,
            forwards_to: None,
            resumed: false,
            stocked: false,
            deposed: false,
            verified: false,
            deep_verify: None,
            looks: 0,
            seen: vec![],
            legacy_ended: false,
            settings: v1::NodeSettings::default(),
        }
    }

    pub(crate) fn digest(&self) -> v1::NodeDigest {
        let root = vec![u8::try_from(self.seq % 251).unwrap(); 32];
        v1::NodeDigest { seq: self.seq, root, objects: self.seq, bytes: self.seq * 100, ..Default::default() }
    }

    /// True for a former writer that follows the new one.
    const fn follows(&self) -> bool {
        matches!(self.mode, NodeMode::Incoming) && self.resumed
    }

    /// `giver` is what the copy can read of its source.
    pub(super) fn act(&mut self, order: &Order, generation: u64, giver: Option<&Self>) -> Result<(), Fault> {
        match order {
            Order::Offer { target } => self.offered_to = Some(target.clone()),
            Order::StartReplica { source } => self.start(source)?,
            Order::VerifyReplica if self.mode == NodeMode::Incoming => self.verified = true,
            Order::CompleteReplica { expected } if self.mode == NodeMode::Incoming => {
                let giver = giver.ok_or_else(|| refused("the source does not answer"))?;
                self.seq = giver.seq.min(expected.seq);
                self.seen.clone_from(&giver.seen);
                self.settings.clone_from(&giver.settings);
            }
            Order::DeepVerify { run } => self.read_again(*run)?,
            Order::EndLegacyCredentials if self.mode == NodeMode::Serving => self.legacy_ended = true,
            Order::VerifyReplica | Order::CompleteReplica { .. } => return Err(refused("it is no incoming copy")),
            Order::EndLegacyCredentials => return Err(refused("it is not served here")),
            Order::Fence | Order::RenewFence | Order::Unfence | Order::Seal { .. } => self.park(order)?,
            Order::Promote { expected, follower } => self.promote(expected, follower, generation)?,
            Order::Retire { target, from_seq } => self.retire(target, *from_seq)?,
            Order::Set { settings } => self.settings.clone_from(settings),
            Order::TakeStock => self.take_stock()?,
            Order::Depose => self.depose()?,
            Order::Detach | Order::Quarantine | Order::Restore | Order::DiscardReplica => self.put_aside(order)?,
        }
        Ok(())
    }

    /// It reads fast and finds nothing wrong.
    fn read_again(&mut self, run: u64) -> Result<(), Fault> {
        if matches!(self.mode, NodeMode::Discarded | NodeMode::Quarantined) {
            return Err(refused("its objects are not in their place"));
        }
        let place = |token: Token, run: u64| (token.place(), run);
        if self.deep_verify.is_none_or(|(token, last, _)| place(token, last) < place(self.token, run)) {
            self.deep_verify = Some((self.token, run, Some(Found::default())));
        }
        Ok(())
    }

    fn start(&mut self, source: &ShardId) -> Result<(), Fault> {
        match self.mode {
            NodeMode::Incoming | NodeMode::Retired if !self.deposed && self.source.as_ref() != Some(source) => {
                return Err(refused("it follows another shard"));
            }
            // What it had is no base for anything: it lists.
            NodeMode::Retired if self.deposed => {
                *self = Self { token: self.token, generation: self.generation, ..Self::unknown() };
            }
            NodeMode::Retired if !self.resumed => return Err(refused("nobody knows where it was equal")),
            NodeMode::Incoming | NodeMode::Retired => {}
            NodeMode::Discarded => *self = Self { token: self.token, ..Self::unknown() },
            _ => return Err(refused("it is here in another role")),
        }
        self.mode = NodeMode::Incoming;
        self.source = Some(source.clone());
        self.verified = false;
        Ok(())
    }

    fn park(&mut self, order: &Order) -> Result<(), Fault> {
        match (order, self.mode) {
            (Order::Fence, NodeMode::Serving | NodeMode::Fenced) => self.mode = NodeMode::Fenced,
            (Order::Fence | Order::RenewFence, NodeMode::Sealed) | (Order::RenewFence, NodeMode::Fenced) => {}
            (Order::Unfence, NodeMode::Serving | NodeMode::Fenced | NodeMode::Sealed) => self.mode = NodeMode::Serving,
            (Order::Seal { expected }, NodeMode::Fenced | NodeMode::Sealed) if *expected == self.digest() => {
                self.mode = NodeMode::Sealed;
            }
            (Order::Seal { .. }, NodeMode::Fenced | NodeMode::Sealed) => return Err(refused("the digest differs")),
            _ => return Err(refused("there is no fence")),
        }
        Ok(())
    }

    fn promote(&mut self, expected: &v1::NodeDigest, follower: &str, generation: u64) -> Result<(), Fault> {
        match self.mode {
            NodeMode::Serving if self.generation == generation => return Ok(()),
            NodeMode::Incoming if *expected == self.digest() => {}
            NodeMode::Incoming => return Err(refused("the digest differs")),
            _ => return Err(refused("it is no incoming copy")),
        }
        self.mode = NodeMode::Serving;
        self.generation = generation;
        self.promoted_seq = self.seq;
        self.offered_to = Some(follower.to_owned());
        self.source = None;
        self.forwards_to = None;
        self.resumed = false;
        self.stocked = false;
        Ok(())
    }

    /// A former writer that follows, or that gave its right to resume away and was never told whom to follow.
    fn take_stock(&mut self) -> Result<(), Fault> {
        if !self.follows() && self.mode != NodeMode::Sealed {
            return Err(refused("it is no copy that could be whole"));
        }
        self.mode = NodeMode::Incoming;
        self.resumed = true;
        self.stocked = true;
        self.forwards_to = None;
        Ok(())
    }

    fn depose(&mut self) -> Result<(), Fault> {
        match self.mode {
            NodeMode::Serving | NodeMode::Fenced | NodeMode::Sealed => {}
            NodeMode::Retired if self.deposed => return Ok(()),
            NodeMode::Incoming | NodeMode::Retired => {}
            _ => return Err(refused("not with a copy in this mode")),
        }
        self.mode = NodeMode::Retired;
        self.source = None;
        self.forwards_to = None;
        self.offered_to = None;
        self.resumed = false;
        self.deposed = true;
        Ok(())
    }

    fn retire(&mut self, target: &ShardId, from_seq: u64) -> Result<(), Fault> {
        match self.mode {
            NodeMode::Incoming if self.resumed && self.source.as_ref() == Some(target) => return Ok(()),
            NodeMode::Sealed if from_seq == self.seq => {}
            NodeMode::Sealed => return Err(refused("it was never equal there")),
            _ => return Err(refused("it is not sealed")),
        }
        self.mode = NodeMode::Incoming;
        self.source = Some(target.clone());
        self.forwards_to = Some(target.clone());
        self.offered_to = None;
        self.resumed = true;
        // It goes on from where it was equal.
        self.looks = 2;
        self.verified = false;
        Ok(())
    }

    fn put_aside(&mut self, order: &Order) -> Result<(), Fault> {
        let old = self.follows() || self.mode == NodeMode::Retired;
        match (order, self.mode) {
            (Order::Detach, _) if old => self.mode = NodeMode::Retired,
            // A first copy stays as it is, and would begin anew.
            (Order::Detach, NodeMode::Incoming) => (self.mode, self.deposed) = (NodeMode::Retired, true),
            (Order::Quarantine, _) if old || self.mode == NodeMode::Quarantined => {
                self.mode = NodeMode::Quarantined;
                self.forwards_to = None;
                self.offered_to = None;
            }
            (Order::Restore, NodeMode::Quarantined | NodeMode::Retired) => self.mode = NodeMode::Retired,
            (Order::DiscardReplica, NodeMode::Incoming | NodeMode::Discarded) if !self.resumed => {
                *self = Self { token: self.token, ..Self::unknown() };
            }
            _ => return Err(refused("not with a copy in this mode")),
        }
        Ok(())
    }
}
