//! What goes wrong, once, at one step of the driver: asked for by the crash matrix, done by the fakes.
//!
//! After a crash the whole yard turns the dying controller away until the next one leads, so that nothing of its retries gets
//! through in between.

use super::copy::{Copy, Order};
use shardlift_api::v1;
use shardlift_model::{Generation, NodeId, ShardId, Step, Token};
use std::collections::{BTreeMap, BTreeSet};

/// A command on its way.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) shard: ShardId,
    pub(crate) node: NodeId,
    pub(crate) token: Token,
    pub(crate) order: Order,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mishap {
    /// The controller dies when the step has arrived, before it has an effect.
    CrashBefore,
    /// The controller dies after the effect, before it is told.
    CrashAfter,
    /// The effect takes place, the answer is lost.
    AnswerLost,
    /// The step arrives twice.
    Doubled,
    /// The step arrives again after every later command to its node, and once more at the end.
    Late,
}

impl Mishap {
    pub(crate) const ALL: [Self; 5] =
        [Self::CrashBefore, Self::CrashAfter, Self::AnswerLost, Self::Doubled, Self::Late];

    pub(crate) const fn is_crash(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfter)
    }
}

/// Where it goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spot {
    /// A command to a shard: its word, the shard, and which of the steps with this word there, counted from 1.
    Command(&'static str, ShardId, usize),
    /// The record that places a node under this generation.
    Commit(u64),
    /// The routes that lead to a placement of this generation.
    Routes(u64),
    /// The question whether a placement of this generation is reached.
    Probe(u64),
}

/// A step that was taken, whatever the term.
pub(crate) type Taken = (Generation, Step);

/// The plan, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Mishaps {
    /// Only this node's steps count.
    pub(crate) node: Option<NodeId>,
    pub(crate) plan: Option<(Spot, Mishap)>,
    /// It has happened.
    pub(crate) fired: bool,
    /// The token of the command that it happened to.
    pub(crate) hit: Option<Token>,
    /// The controller is dead, and no other one leads yet.
    pub(crate) down: bool,
    /// Commands of this word are never answered, and have no effect but by a mishap.
    pub(crate) held: Option<&'static str>,
    /// The same until the mishap has happened, everywhere but at this shard.
    pub(crate) held_until_fired: Option<(&'static str, ShardId)>,
    /// Which steps of each word each shard has taken.
    pub(crate) taken: BTreeMap<(&'static str, ShardId), BTreeSet<Taken>>,
    /// The command that arrives late, again and again.
    pub(super) late: Option<Call>,
    /// The routes that do.
    pub(crate) late_routes: Option<v1::ApplyRoutesRequest>,
    /// How often something did.
    pub(crate) arrived_late: usize,
    /// What the shards leave out.
    pub(crate) mutant: Option<Mutant>,
    /// What each copy has carried out, for the mutant.
    done: BTreeSet<(ShardId, NodeId, Token, &'static str)>,
}

/// Shards that leave out one thing that they promise: the matrix must find each out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Whatever arrives is carried out.
    IgnoresTokens,
    /// A command that was carried out is refused when it is repeated.
    RefusesRepetitions,
    /// Routers confirm a route that severs and leave the connections as they are.
    SeversNothing,
}

impl Mishaps {
    /// What happens at this spot now.
    pub(crate) fn meet(&mut self, spot: &Spot) -> Option<Mishap> {
        let (_, mishap) = self.plan.as_ref().filter(|(planned, _)| !self.fired && planned == spot)?;
        self.fired = true;
        self.down |= mishap.is_crash();
        Some(*mishap)
    }

    /// What happens to a command that has arrived. Notes that it did.
    pub(super) fn meet_command(&mut self, call: &Call) -> Option<Mishap> {
        if self.node.as_ref() != Some(&call.node) {
            return None;
        }
        let word = call.order.word();
        let taken = self.taken.entry((word, call.shard.clone())).or_default();
        taken.insert((call.token.generation, call.token.step));
        let spot = Spot::Command(word, call.shard.clone(), taken.len());
        let mishap = self.meet(&spot)?;
        self.hit = Some(call.token);
        Some(mishap)
    }

    /// True for the mutant that knows no repetitions, when this is one. A renewal is there to be repeated.
    pub(super) fn refuses(&mut self, call: &Call) -> bool {
        let is_new = self.done.insert((call.shard.clone(), call.node.clone(), call.token, call.order.word()));
        self.mutant == Some(Mutant::RefusesRepetitions) && !is_new && !matches!(call.order, Order::RenewFence)
    }

    /// True when the yard does not answer this command.
    pub(super) fn holds(&self, call: &Call) -> bool {
        let word = call.order.word();
        let awaited = self.held_until_fired.as_ref().filter(|_| !self.fired);
        let waits = awaited.is_some_and(|(held, but)| *held == word && *but != call.shard);
        self.node.as_ref() == Some(&call.node) && (self.held == Some(word) || waits)
    }
}

/// What a repetition may not change: nothing.
pub(super) fn repeated(word: &str, before: Option<&Copy>, after: Option<&Copy>) -> Option<String> {
    let same = before.map(|copy| Copy { token: Token::default(), ..copy.clone() })
        == after.map(|copy| Copy { token: Token::default(), ..copy.clone() });
    (!same).then(|| format!("INV-03: {word} that came late changed {before:?} to {after:?}"))
}
