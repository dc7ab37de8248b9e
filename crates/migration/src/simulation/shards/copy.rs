//! One shard's copy of one node, and what each command does to it.

use crate::fixture::state;
use crate::{Command, FinalState, Outcome};
use shardlift_model::{Generation, NodeId, ShardId, Token};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mode {
    #[default]
    Absent,
    Serving,
    Fenced,
    Sealed,
    Incoming,
    Retired,
    Quarantined,
    Discarded,
}

/// The content is a count of changes: equal counts are equal contents, as there is one writer at a time, which is what is
/// checked. For the same reason the count stands for the seq of a journal.
#[derive(Debug, Clone, Default)]
pub(super) struct Copy {
    pub(super) mode: Mode,
    pub(super) token: Token,
    pub(super) generation: Generation,
    pub(super) content: u64,
    /// Mutations that were admitted and not acknowledged yet.
    pub(super) in_flight: u64,
    /// It was the writer from the start, or was promoted since.
    pub(super) may_write: bool,
    /// It was the writer once: it may be the only other good copy.
    pub(super) resumed: bool,
    /// Whom it follows, or followed last.
    pub(super) from: Option<ShardId>,
    /// Its content when it was promoted.
    pub(super) promoted_seq: u64,
    pub(super) last: Option<Outcome>,
    /// What it named when stock was taken of it. It follows nobody any more.
    pub(super) stock: Option<u64>,
    /// It was deposed: its history and that of the present writer have parted.
    pub(super) parted: bool,
    /// Routers pass nobody to it.
    pub(super) severed: bool,
    /// The shard is gone for good.
    pub(super) gone: bool,
}

impl Copy {
    pub(super) fn follows_back(&self) -> bool {
        self.mode == Mode::Incoming && self.resumed && self.stock.is_none()
    }

    /// True while clients come to it through the routers.
    pub(super) const fn is_reached(&self) -> bool {
        !self.severed && !self.gone
    }

    /// True while copies can be made of it.
    pub(super) const fn is_readable(&self) -> bool {
        matches!(self.mode, Mode::Serving | Mode::Fenced | Mode::Sealed) && !self.gone
    }

    fn is_at(&self, expected: &FinalState) -> bool {
        state(self.content) == *expected
    }

    /// The mutant: says that it has the final state, whatever it has.
    pub(super) fn pretend(&mut self, node: &NodeId, token: Token, command: &Command, giver: u64) -> Outcome {
        match command {
            Command::CompleteReplica { expected } => Outcome::Completed { state: *expected },
            Command::Promote { .. } => self.promote(token),
            _ => self.act(node, token, command, giver),
        }
    }

    pub(super) fn act(&mut self, node: &NodeId, token: Token, command: &Command, giver: u64) -> Outcome {
        match command {
            Command::Offer { .. } => Outcome::Done,
            Command::StartReplica { source, .. } => self.start(node, source),
            Command::VerifyReplica if self.mode == Mode::Incoming => Outcome::Done,
            Command::CompleteReplica { expected } if self.mode == Mode::Incoming => {
                self.content = giver.min(expected.seq);
                Outcome::Completed { state: state(self.content) }
            }
            Command::Fence | Command::Seal { .. } | Command::Promote { .. } | Command::Retire { .. } => {
                self.flip(node, token, command)
            }
            Command::EndLegacyCredentials if self.mode == Mode::Serving => Outcome::Done,
            Command::Unfence => match self.mode {
                Mode::Serving | Mode::Fenced | Mode::Sealed => self.become_mode(Mode::Serving),
                Mode::Retired | Mode::Quarantined | Mode::Incoming => {
                    panic!("INV-01: {node}: a copy was told to serve")
                }
                _ => refused(),
            },
            Command::TakeStock => self.take_stock(),
            Command::Depose => self.depose(node, token),
            Command::Detach | Command::Quarantine | Command::Restore | Command::DiscardReplica => {
                self.put_aside(node, command)
            }
            _ => refused(),
        }
    }

    fn become_mode(&mut self, mode: Mode) -> Outcome {
        self.mode = mode;
        Outcome::Done
    }

    fn start(&mut self, node: &NodeId, source: &ShardId) -> Outcome {
        match self.mode {
            Mode::Serving | Mode::Fenced | Mode::Sealed => panic!("INV-12: {node}: the writer was told to be a copy"),
            Mode::Quarantined => refused(),
            Mode::Retired | Mode::Incoming if self.resumed && self.from.as_ref() != Some(source) => refused(),
            Mode::Incoming if self.stock.is_some() => refused(),
            Mode::Retired if !self.resumed && !self.parted => refused(),
            _ => {
                self.from = Some(source.clone());
                if self.parted {
                    // By a listing: nothing of what only it has stays.
                    self.content = 0;
                }
                self.become_mode(Mode::Incoming)
            }
        }
    }

    fn flip(&mut self, node: &NodeId, token: Token, command: &Command) -> Outcome {
        match (command, self.mode) {
            (Command::Fence, Mode::Serving | Mode::Fenced) => {
                self.mode = Mode::Fenced;
                Outcome::Fenced { state: state(self.content) }
            }
            (Command::Seal { expected }, Mode::Fenced | Mode::Sealed) if self.is_at(expected) => {
                self.become_mode(Mode::Sealed)
            }
            (Command::Seal { .. }, _) => Outcome::FenceLost { reason: "the lease is over".to_owned() },
            (Command::Promote { expected, .. }, Mode::Incoming) if self.is_at(expected) => self.promote(token),
            (Command::Promote { .. }, Mode::Serving) if self.generation == token.generation => self.promoted(),
            (Command::Retire { .. }, Mode::Serving | Mode::Fenced) => panic!("INV-01: {node}: the writer was retired"),
            (Command::Retire { target, from_seq }, Mode::Sealed) => {
                assert_eq!(*from_seq, self.content, "INV-02: {node}: it would follow from another change");
                self.from = Some(target.clone());
                self.resumed = true;
                self.may_write = false;
                self.become_mode(Mode::Incoming)
            }
            (Command::Retire { .. }, Mode::Incoming) if self.resumed => Outcome::Done,
            _ => refused(),
        }
    }

    fn promote(&mut self, token: Token) -> Outcome {
        self.mode = Mode::Serving;
        self.may_write = true;
        (self.resumed, self.parted, self.stock) = (false, false, None);
        self.generation = token.generation;
        self.promoted_seq = self.content;
        self.promoted()
    }

    const fn promoted(&self) -> Outcome {
        Outcome::Promoted { seq: self.promoted_seq, snapshots: 0 }
    }

    fn take_stock(&mut self) -> Outcome {
        if self.mode != Mode::Sealed && !(self.mode == Mode::Incoming && self.resumed) {
            return refused();
        }
        let stock = *self.stock.get_or_insert(self.content);
        self.resumed = true;
        self.may_write = false;
        self.mode = Mode::Incoming;
        Outcome::StockTaken { state: state(stock) }
    }

    fn depose(&mut self, node: &NodeId, token: Token) -> Outcome {
        let writes = self.mode == Mode::Serving && self.generation == token.generation;
        assert!(!writes, "INV-07: {node}: the writer was deposed");
        (self.resumed, self.parted, self.may_write, self.in_flight) = (false, true, false, 0);
        self.become_mode(Mode::Retired)
    }

    fn put_aside(&mut self, node: &NodeId, command: &Command) -> Outcome {
        let old = self.mode == Mode::Retired || self.follows_back() || (self.mode == Mode::Incoming && self.parted);
        match (command, self.mode) {
            (_, Mode::Serving | Mode::Fenced | Mode::Sealed) => panic!("INV-07: {node}: the writer was put aside"),
            (Command::DiscardReplica, _) if old => panic!("INV-07: {node}: an old copy was told to discard"),
            (Command::DiscardReplica, Mode::Quarantined) => panic!("INV-07: {node}: an old copy was told to discard"),
            (Command::DiscardReplica, _) => {
                self.content = 0;
                self.become_mode(Mode::Discarded)
            }
            (Command::Detach, _) if old => self.become_mode(Mode::Retired),
            // Of another machine in the place of one that was written off.
            (Command::Detach, Mode::Incoming) => {
                self.parted = true;
                self.become_mode(Mode::Retired)
            }
            (Command::Detach, Mode::Absent | Mode::Discarded) => Outcome::Done,
            (Command::Quarantine, _) if old => self.become_mode(Mode::Quarantined),
            (Command::Quarantine, Mode::Quarantined) => Outcome::Done,
            (Command::Restore, Mode::Quarantined | Mode::Retired) => self.become_mode(Mode::Retired),
            _ => refused(),
        }
    }
}

fn refused() -> Outcome {
    Outcome::Refused { reason: "not in this mode".to_owned() }
}
