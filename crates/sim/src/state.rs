//! One state of the world: small, comparable, hashable. Numbers are bytes; the bound keeps them far from their ends.

use crate::journal::{Change, Content, Final, Journal, OBJECTS};
use crate::network::{Answer, Command};
use crate::stamp::Stamp;
use shardlift_migration::{Direction, Stage, Way};

/// The shard that the move leaves; also its place in [`State::shards`].
pub const SOURCE: u8 = 0;

/// The shard that the move goes to.
pub const TARGET: u8 = 1;

/// The other one of the two shards.
#[must_use]
pub const fn other(shard: u8) -> u8 {
    1 - shard
}

/// A node's durable role on a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Never heard of.
    #[default]
    Absent,
    /// The writer.
    Serving,
    /// All requests parked; only a command leads out.
    Sealed(Final),
    /// A copy that follows the other shard.
    Incoming,
    /// An old copy that stands still.
    Retired,
    /// An old copy, renamed aside.
    Quarantined,
    /// A copy that was given up.
    Discarded,
    /// A copy whose writer is gone: stands still at what it named, and waits to be promoted.
    Stocked(Final),
}

/// What is in memory about a serving node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Gate {
    /// Mutations are admitted.
    #[default]
    Open,
    /// Fenced; mutations may still be in flight.
    Draining,
    /// Fenced and drained: what was there then.
    Drained(Final),
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Replica {
    /// Nothing yet.
    #[default]
    New,
    /// The seq is noted from which the journal will be read; the listing is under way.
    Listing {
        /// That seq.
        from: u8,
    },
    /// The source's journal is applied up to here.
    Following {
        /// Its last applied seq.
        applied: u8,
        /// It was equal when it began: only the journal may take anything from it.
        resumed: bool,
    },
}

/// One shard, as far as the node goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Shard {
    /// Highest token accepted.
    pub token: Stamp,
    /// Highest token ever accepted, whatever was forgotten since. What INV-03 is judged by.
    pub highest: Stamp,
    /// Durable role.
    pub mode: Mode,
    /// Under which generation it was promoted here.
    pub generation: u8,
    /// What is there.
    pub content: Content,
    /// Own journal.
    pub journal: Journal,
    /// The other shard may read.
    pub offered: bool,
    /// Set while it is a copy, and kept after.
    pub replica: Replica,
    /// Requests go to the other shard, under this generation.
    pub forward: Option<u8>,
    /// Own seq at the promotion.
    pub promoted_seq: u8,
    /// In memory: the fence.
    pub gate: Gate,
    /// In memory: what the copy is to reach, and for which command.
    pub wish: Option<(Stamp, Final)>,
    /// Another node's data on the same disk (INV-12).
    pub neighbour: bool,
}

/// The controller's record: all it knows, durable before anything follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record {
    /// Of the present leader.
    pub term: u8,
    /// Of the placement.
    pub generation: u8,
    /// Of the present command.
    pub step: u8,
    /// Where the move stands.
    pub stage: Stage,
    /// Which way it goes.
    pub direction: Direction,
    /// The committed placement.
    pub writer: u8,
    /// As the giver named it.
    pub last: Option<Final>,
    /// As the taker reached it.
    pub verified: Option<Final>,
    /// What the taker said when it was promoted.
    pub promoted: Option<u8>,
    /// Fences lost in this cutover.
    pub fences_lost: u8,
    /// The way back is only rehearsed.
    pub rehearsal: bool,
    /// Ways back begun so far.
    pub ways_back: u8,
    /// Restores from quarantine so far.
    pub restores: u8,
    /// Of the present routes.
    pub route_version: u8,
    /// The target was the writer once: its copy is kept.
    pub old_copy: bool,
    /// Moves planned anew so far.
    pub plans: u8,
    /// Of a takeover: the writer's last change that an operator wants to keep.
    pub accepted: Option<u8>,
    /// A takeover that waits for an operator: its new writer has less than was accepted.
    pub held: bool,
    /// Takeovers begun so far.
    pub takeovers: u8,
    /// The former writer is not waited for any more.
    pub written_off: bool,
}

/// What the router holds. Durable before it is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Router {
    /// Of the table.
    pub version: u8,
    /// Where the node's clients are led.
    pub shard: u8,
    /// Generation of that placement.
    pub generation: u8,
}

/// A client's request, from arrival to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    /// Where it is.
    pub shard: u8,
    /// The shard to which the client's connection leads. Another one only when it was forwarded and routes matter.
    pub via: u8,
    /// Let in, to be carried out; otherwise parked.
    pub admitted: bool,
    /// The client's connection was ended: it may be carried out, but nobody is told.
    pub severed: bool,
    /// What it asks for.
    pub change: Change,
}

/// What clients were told about an object: the reference that INV-02 is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Told {
    /// Put acknowledged, or there from the start.
    Present,
    /// Delete acknowledged, or never there.
    Absent,
    /// Asked for and not answered (yet).
    Nothing,
}

/// What must never happen and shows in a step only. Judged at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seen {
    /// A shard carried out a command with a token below its highest.
    pub stale_command: bool,
    /// A router's version did not grow with its table.
    pub older_routes: bool,
    /// A stage was entered that the table does not allow.
    pub outside_table: bool,
    /// A placement was committed under a generation that does not grow.
    pub old_generation: bool,
    /// A takeover was committed that lost more than its operator had accepted.
    pub lost_more: bool,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The store.
    pub record: Record,
    /// Source and target.
    pub shards: [Shard; 2],
    /// The router.
    pub router: Router,
    /// On their way, in order.
    pub requests: Vec<Request>,
    /// By object.
    pub told: [Told; OBJECTS as usize],
    /// Client operations begun.
    pub operations: u8,
    /// Commands that can still be delivered, in order.
    pub commands: Vec<Command>,
    /// Answers that can still be delivered, in order.
    pub answers: Vec<Answer>,
    /// What a deposed leader had recorded last; kept only where the store lets it record.
    pub deposed: Option<Box<Record>>,
    /// An object that vanished at the writer without a delete.
    pub vanished: Option<u8>,
    /// Clients have connections to this shard, or can open them.
    pub reach: [bool; 2],
    /// The target is gone for good. What it had is kept to judge by; nobody can read it.
    pub gone: bool,
    /// Violations that show in a step.
    pub seen: Seen,
}

impl State {
    /// The source serves, with a past; the move is planned.
    #[must_use]
    pub fn initial() -> Self {
        let mut journal = Journal::default();
        // Seqs of the two shards must not agree by chance.
        for put in [true, false] {
            journal.append(Change { object: 1, put });
        }
        journal.append(Change { object: 0, put: true });
        let absent = Shard { neighbour: true, ..Shard::default() };
        let serving = Shard { mode: Mode::Serving, generation: 1, content: 1, journal, ..absent };
        let record = Record {
            term: 1,
            generation: 1,
            step: 0,
            stage: Stage::Planned,
            direction: Direction::Forward,
            writer: SOURCE,
            last: None,
            verified: None,
            promoted: None,
            fences_lost: 0,
            rehearsal: false,
            ways_back: 0,
            restores: 0,
            route_version: 1,
            old_copy: false,
            plans: 0,
            accepted: None,
            held: false,
            takeovers: 0,
            written_off: false,
        };
        Self {
            record,
            shards: [serving, absent],
            router: Router { version: 1, shard: SOURCE, generation: 1 },
            requests: Vec::new(),
            told: [Told::Present, Told::Absent],
            operations: 0,
            commands: Vec::new(),
            answers: Vec::new(),
            deposed: None,
            vanished: None,
            reach: [true, true],
            gone: false,
            seen: Seen::default(),
        }
    }

    /// One of the shards.
    #[must_use]
    pub const fn shard(&self, shard: u8) -> &Shard {
        &self.shards[shard as usize]
    }

    /// True when this shard is gone for good.
    #[must_use]
    pub const fn is_gone(&self, shard: u8) -> bool {
        self.gone && shard == TARGET
    }

    /// One of the shards, to be changed.
    pub const fn shard_mut(&mut self, shard: u8) -> &mut Shard {
        &mut self.shards[shard as usize]
    }
}

impl Record {
    /// The token of the present stage's command.
    #[must_use]
    pub const fn token(&self) -> Stamp {
        Stamp { term: self.term, generation: self.generation, step: self.step }
    }

    /// The way through the table that the move is on.
    #[must_use]
    pub fn way(&self) -> Way {
        if self.accepted.is_some() { Way::WithoutWriter } else { self.direction.into() }
    }

    /// Who gives the node away in the present direction.
    #[must_use]
    pub const fn giver(&self) -> u8 {
        match self.direction {
            Direction::Forward => SOURCE,
            Direction::Back => TARGET,
        }
    }

    /// Who gets it.
    #[must_use]
    pub const fn taker(&self) -> u8 {
        other(self.giver())
    }
}

impl Shard {
    /// True while it may acknowledge a mutation that arrives now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.mode == Mode::Serving && self.gate == Gate::Open
    }

    /// Seq and content as they are.
    #[must_use]
    pub const fn now(&self) -> Final {
        Final { seq: self.journal.seq(), content: self.content }
    }

    /// Makes a change, journaled when it changes anything.
    pub fn change(&mut self, change: Change) {
        let content = change.on(self.content);
        if content != self.content {
            self.content = content;
            self.journal.append(change);
        }
    }
}
