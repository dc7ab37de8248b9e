//! Shards as the protocol describes them, reduced to what decides who takes writes: mode, highest token, content.

use crate::fixture::state;
use crate::{Command, Effect, FinalState, Input, Node, Outcome};
use shardlift_model::{Generation, NodeId, ShardId, Token};
use std::collections::BTreeMap;

/// What is on its way to a shard or a router.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Effect(Effect),
    Routes(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Absent,
    Serving,
    Fenced,
    Sealed,
    Incoming,
    Retired,
    Discarded,
}

/// One shard's copy of one node. The content is a count of writes: equal counts are equal contents, as there is one
/// writer at a time, which is what is checked.
#[derive(Debug, Clone)]
struct Copy {
    mode: Mode,
    token: Token,
    generation: Generation,
    content: u64,
    last: Option<Outcome>,
}

#[derive(Debug, Default)]
pub(super) struct Shards {
    copies: BTreeMap<(NodeId, ShardId), Copy>,
    acknowledged: BTreeMap<NodeId, u64>,
    /// The mutant: late commands are carried out.
    pub(super) ignores_tokens: bool,
}

impl Shards {
    pub(super) fn holding<'n>(nodes: impl Iterator<Item = &'n Node>) -> Self {
        let mut shards = Self::default();
        for node in nodes {
            let copy = shards.copy(&node.node, &node.shard);
            copy.mode = Mode::Serving;
            copy.generation = node.generation;
            shards.acknowledged.insert(node.node.clone(), 0);
        }
        shards
    }

    fn copy(&mut self, node: &NodeId, shard: &ShardId) -> &mut Copy {
        self.copies.entry((node.clone(), shard.clone())).or_insert(Copy {
            mode: Mode::Absent,
            token: Token::default(),
            generation: Generation(0),
            content: 0,
            last: None,
        })
    }

    /// INV-01, INV-02.
    pub(super) fn check(&self) {
        for (node, acknowledged) in &self.acknowledged {
            let copies = self.copies.iter().filter(|((name, _), _)| name == node);
            let writers: Vec<_> = copies.filter(|(_, copy)| copy.mode == Mode::Serving).collect();
            assert!(writers.len() <= 1, "INV-01: {node}: {writers:?}");
            for (_, writer) in writers {
                assert_eq!(writer.content, *acknowledged, "INV-02: {node}");
            }
        }
    }

    /// A client's write: acknowledged by whoever serves the node, parked otherwise.
    pub(super) fn write(&mut self, node: &NodeId) {
        let writer = self.copies.iter_mut().find(|((name, _), copy)| name == node && copy.mode == Mode::Serving);
        if let Some((_, copy)) = writer {
            copy.content += 1;
            *self.acknowledged.get_mut(node).unwrap() += 1;
        }
    }

    /// A lease runs out or a source restarts: it resumes by itself.
    pub(super) fn lose_a_fence(&mut self, roll: u64) {
        let mut fenced: Vec<&mut Copy> = self.copies.values_mut().filter(|copy| copy.mode == Mode::Fenced).collect();
        let count = fenced.len().max(1) as u64;
        if let Some(copy) = fenced.get_mut(usize::try_from(roll % count).unwrap()) {
            copy.mode = Mode::Serving;
        }
    }

    pub(super) fn handle(&mut self, request: &Request, fail: bool) -> Vec<Input> {
        let effect = match request {
            Request::Routes(version) => return vec![Input::RoutesConfirmed { version: *version }],
            Request::Effect(effect) => effect,
        };
        let outcomes = match effect {
            Effect::Send { node, token, shard, command } if !fail => vec![self.execute(node, *token, shard, command)],
            Effect::Send { .. } => vec![Outcome::Refused { reason: "disk full".to_owned() }],
            Effect::RenewFence { node, token, shard } => self.renew(node, *token, shard).into_iter().collect(),
            Effect::WatchReplica { node, shard, .. } => self.watch(node, shard, fail),
            Effect::Probe { node, shard, .. } => {
                let copy = self.copy(node, shard);
                let (serving, generation) = (copy.mode == Mode::Serving && !fail, copy.generation);
                vec![Outcome::Probed { shard: shard.clone(), generation, serving }]
            }
            Effect::SyncRouters { .. } => vec![],
        };
        let (Some((node, _)), Some(token)) = (effect.goes_to(), token_of(effect)) else { return vec![] };
        outcomes.into_iter().map(|outcome| Input::Answer { node: node.clone(), token, outcome }).collect()
    }

    /// INV-03: persists the token before it acts; a lower one is refused, an equal one is a repetition.
    fn execute(&mut self, node: &NodeId, token: Token, shard: &ShardId, command: &Command) -> Outcome {
        let source = self.content_of_source(node, shard);
        let heeds_tokens = !self.ignores_tokens;
        let copy = self.copy(node, shard);
        if heeds_tokens && token < copy.token {
            return Outcome::Refused { reason: format!("stale token {token}") };
        }
        if let Some(last) = copy.last.as_ref().filter(|_| token == copy.token) {
            return last.clone();
        }
        copy.token = token;
        let outcome = copy.act(node, token, command, source);
        copy.last = Some(outcome.clone());
        outcome
    }

    /// What a target can read: all that some other shard holds as the writer, parked or not.
    fn content_of_source(&self, node: &NodeId, target: &ShardId) -> u64 {
        let others = self.copies.iter().filter(|((name, shard), _)| name == node && shard != target);
        let readable = others.filter(|(_, copy)| matches!(copy.mode, Mode::Serving | Mode::Fenced | Mode::Sealed));
        readable.map(|(_, copy)| copy.content).max().unwrap_or(0)
    }

    fn renew(&mut self, node: &NodeId, token: Token, shard: &ShardId) -> Option<Outcome> {
        let copy = self.copy(node, shard);
        let lost = || Some(Outcome::FenceLost { reason: "no fence".to_owned() });
        match copy.mode {
            _ if token < copy.token => lost(),
            Mode::Fenced | Mode::Sealed => None,
            _ => lost(),
        }
    }

    /// One report of each kind: the stage takes what it waits for and ignores the rest.
    fn watch(&mut self, node: &NodeId, shard: &ShardId, fail: bool) -> Vec<Outcome> {
        let source = self.content_of_source(node, shard);
        let copy = self.copy(node, shard);
        if copy.mode != Mode::Incoming {
            return vec![];
        }
        if fail {
            return vec![Outcome::ReplicaFailed { reason: "broken".to_owned(), damaged_at_source: true }];
        }
        copy.content = source;
        vec![Outcome::Following { lag: 0 }, Outcome::Verified { state: state(source) }]
    }
}

const fn token_of(effect: &Effect) -> Option<Token> {
    match effect {
        Effect::Send { token, .. }
        | Effect::RenewFence { token, .. }
        | Effect::WatchReplica { token, .. }
        | Effect::Probe { token, .. } => Some(*token),
        Effect::SyncRouters { .. } => None,
    }
}

impl Copy {
    fn act(&mut self, node: &NodeId, token: Token, command: &Command, source: u64) -> Outcome {
        let refused = |why: &str| Outcome::Refused { reason: why.to_owned() };
        match (command, self.mode) {
            (Command::Offer { .. }, _) => Outcome::Done,
            (Command::StartReplica { .. }, Mode::Serving | Mode::Fenced | Mode::Sealed) => {
                panic!("INV-12: {node}: the writer was told to be a copy")
            }
            (Command::StartReplica { .. }, _) => {
                self.mode = Mode::Incoming;
                Outcome::Done
            }
            (Command::VerifyReplica, Mode::Incoming) => Outcome::Done,
            (Command::Fence, Mode::Serving | Mode::Fenced) => {
                self.mode = Mode::Fenced;
                Outcome::Fenced { state: state(self.content) }
            }
            (Command::CompleteReplica { expected }, Mode::Incoming) => {
                self.content = source.min(expected.seq);
                Outcome::Completed { state: state(self.content) }
            }
            (Command::Seal { expected }, Mode::Fenced) if self.is_at(expected) => {
                self.mode = Mode::Sealed;
                Outcome::Done
            }
            (Command::Seal { expected }, Mode::Sealed) if self.is_at(expected) => Outcome::Done,
            (Command::Seal { .. }, _) => Outcome::FenceLost { reason: "the lease is over".to_owned() },
            (Command::Promote { expected }, Mode::Incoming) if self.is_at(expected) => {
                self.mode = Mode::Serving;
                self.generation = token.generation;
                Outcome::Done
            }
            (Command::Promote { .. }, Mode::Serving) if self.generation == token.generation => Outcome::Done,
            (Command::Retire { .. }, Mode::Serving | Mode::Fenced) => panic!("INV-01: {node}: the writer was retired"),
            (Command::Retire { .. }, Mode::Sealed | Mode::Retired) => {
                self.mode = Mode::Retired;
                Outcome::Done
            }
            (Command::EndLegacyCredentials, Mode::Serving) => Outcome::Done,
            (Command::Unfence, Mode::Serving | Mode::Fenced | Mode::Sealed) => {
                self.mode = Mode::Serving;
                Outcome::Done
            }
            (Command::Unfence, Mode::Retired) => panic!("INV-01: {node}: a retired source was told to serve"),
            (Command::DiscardReplica, Mode::Serving | Mode::Fenced | Mode::Sealed) => {
                panic!("INV-07: {node}: the writer was told to discard")
            }
            (Command::DiscardReplica, _) => {
                self.mode = Mode::Discarded;
                self.content = 0;
                Outcome::Done
            }
            _ => refused("not in this mode"),
        }
    }

    fn is_at(&self, expected: &FinalState) -> bool {
        state(self.content) == *expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_shards(second: Mode) -> Shards {
        let bench = crate::fixture::Bench::planned(&[("one", &[], &["n1"])]);
        let mut shards = Shards::holding(bench.world.nodes.values());
        shards.copy(&"n1".parse().unwrap(), &"b".parse().unwrap()).mode = second;
        shards
    }

    #[test]
    #[should_panic(expected = "INV-01")]
    fn two_writers_are_seen() {
        two_shards(Mode::Serving).check();
    }

    #[test]
    #[should_panic(expected = "INV-02")]
    fn a_lost_write_is_seen() {
        let mut shards = two_shards(Mode::Absent);
        shards.check();
        let node = "n1".parse().unwrap();
        shards.write(&node);
        shards.copy(&node, &"a".parse().unwrap()).content = 0;
        shards.check();
    }
}
