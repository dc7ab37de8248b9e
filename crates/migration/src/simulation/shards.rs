//! Shards as the protocol describes them, reduced to what decides who takes writes: mode, highest token, content.

mod copy;

use crate::fixture::state;
use crate::{Command, Effect, Input, Node, Outcome, SoakFact};
use copy::{Copy, Mode};
use shardlift_model::{NodeId, ShardId, Token};
use std::collections::BTreeMap;

/// What is on its way to a shard or a router.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Effect(Effect),
    /// Where each node's clients are led, and whether they are torn away from elsewhere.
    Routes {
        version: u64,
        table: Vec<(NodeId, ShardId, bool)>,
    },
}

/// Shards that leave out what protects clients.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mutants {
    /// Late commands are carried out (INV-03, seen as INV-01).
    pub(super) ignores_tokens: bool,
    /// The final state is named while mutations are in flight (INV-02).
    pub(super) names_before_the_drain: bool,
    /// A copy acknowledges mutations before it is promoted (INV-04).
    pub(super) serves_unpromoted: bool,
    /// A copy that follows back is promoted without the last changes (INV-02).
    pub(super) promotes_what_it_has: bool,
    /// Routers confirm routes without ending what they passed elsewhere (INV-01).
    pub(super) severs_nothing: bool,
}

#[derive(Debug, Default)]
pub(super) struct Shards {
    copies: BTreeMap<(NodeId, ShardId), Copy>,
    acknowledged: BTreeMap<NodeId, u64>,
    /// Mutations that were acknowledged by a copy without the right to.
    unlawful: Vec<(NodeId, ShardId)>,
    /// Of nodes that are taken over: the last change that must not be lost.
    pub(super) accepted: BTreeMap<NodeId, u64>,
    /// Version of the table that the routers hold.
    routes: u64,
    pub(super) mutants: Mutants,
}

impl Shards {
    pub(super) fn holding<'n>(nodes: impl Iterator<Item = &'n Node>) -> Self {
        let mut shards = Self::default();
        for node in nodes {
            let copy = shards.copy(&node.node, &node.shard);
            copy.mode = Mode::Serving;
            copy.may_write = true;
            copy.generation = node.generation;
            shards.acknowledged.insert(node.node.clone(), 0);
        }
        shards
    }

    fn copy(&mut self, node: &NodeId, shard: &ShardId) -> &mut Copy {
        self.copies.entry((node.clone(), shard.clone())).or_default()
    }

    /// INV-01, INV-02, INV-04.
    pub(super) fn check(&self) {
        for (node, acknowledged) in &self.acknowledged {
            let copies = self.copies.iter().filter(|((name, _), _)| name == node);
            let reached = |copy: &Copy| copy.mode == Mode::Serving && copy.is_reached();
            let writers: Vec<_> = copies.filter(|(_, copy)| reached(copy)).collect();
            assert!(writers.len() <= 1, "INV-01: {node}: {writers:?}");
            for (_, writer) in writers {
                assert_eq!(writer.content, *acknowledged, "INV-02: {node}");
            }
        }
        assert!(self.unlawful.is_empty(), "INV-04: {:?}", self.unlawful);
    }

    /// A client's mutation begins at whoever serves the node; it is parked otherwise.
    pub(super) fn begin_write(&mut self, node: &NodeId) {
        let unpromoted = self.mutants.serves_unpromoted;
        let admits = |mode| mode == Mode::Serving || (unpromoted && mode == Mode::Incoming);
        let mut open =
            self.copies.iter_mut().filter(|((name, _), copy)| name == node && admits(copy.mode) && copy.is_reached());
        if let Some((_, copy)) = open.next_back() {
            copy.in_flight += 1;
        }
    }

    /// All mutations of a node that are in flight end, acknowledged.
    pub(super) fn end_writes(&mut self, node: &NodeId) {
        let shards: Vec<ShardId> =
            self.copies.keys().filter(|(name, _)| name == node).map(|(_, shard)| shard.clone()).collect();
        shards.iter().for_each(|shard| self.drain(node, shard));
    }

    fn drain(&mut self, node: &NodeId, shard: &ShardId) {
        let copy = self.copy(node, shard);
        let ended = std::mem::take(&mut copy.in_flight);
        copy.content += ended;
        let lawful = copy.may_write;
        *self.acknowledged.entry(node.clone()).or_default() += ended;
        if ended > 0 && !lawful {
            self.unlawful.push((node.clone(), shard.clone()));
        }
    }

    /// A lease runs out or a giver restarts: it resumes by itself.
    pub(super) fn lose_a_fence(&mut self, roll: u64) {
        let mut fenced: Vec<&mut Copy> =
            self.copies.values_mut().filter(|copy| copy.mode == Mode::Fenced && !copy.gone).collect();
        let count = fenced.len().max(1) as u64;
        if let Some(copy) = fenced.get_mut(usize::try_from(roll % count).unwrap()) {
            copy.mode = Mode::Serving;
        }
    }

    /// Old copies take in one more change of the writer that they follow.
    pub(super) fn follow(&mut self) {
        let following: Vec<(NodeId, ShardId)> = self
            .copies
            .iter()
            .filter(|(_, copy)| copy.follows_back() && !copy.gone)
            .map(|(key, _)| key.clone())
            .collect();
        for (node, shard) in following {
            let Some(writer) = self.content_of_giver(&node, &shard) else { continue };
            let copy = self.copy(&node, &shard);
            copy.content = writer.min(copy.content + 1).max(copy.content);
        }
    }

    pub(super) fn handle(&mut self, request: &Request, fail: bool) -> Vec<Input> {
        let effect = match request {
            Request::Routes { version, table } => return self.route(*version, table),
            Request::Effect(effect) => effect,
        };
        if effect.goes_to().is_some_and(|(node, shard)| self.is_gone(node, shard)) {
            return vec![];
        }
        let outcomes = match effect {
            Effect::Send { node, token, shard, command } if !fail => {
                self.execute(node, *token, shard, command).into_iter().collect()
            }
            Effect::Send { .. } => vec![Outcome::Refused { reason: "disk full".to_owned() }],
            Effect::RenewFence { node, token, shard } => self.renew(node, *token, shard).into_iter().collect(),
            Effect::WatchReplica { node, shard, .. } => self.watch(node, shard, fail),
            Effect::Probe { node, shard, .. } => {
                let copy = self.copy(node, shard);
                let (serving, generation) = (copy.mode == Mode::Serving && !fail, copy.generation);
                vec![Outcome::Probed { shard: shard.clone(), generation, serving }]
            }
            Effect::WatchSoak { node, follower, .. } => return self.soak(node, follower, fail),
            Effect::AskCutover { batch, idle } => {
                let busy = |(node, shard): &(NodeId, ShardId)| self.copy(node, shard).in_flight > 0;
                let idle = !idle.iter().flatten().any(busy);
                return vec![Input::CutoverClear { batch: batch.clone(), idle, routers: !fail }];
            }
            Effect::SyncRouters { .. } => vec![],
            Effect::IssueReceipt { node, generation } if !fail => {
                let receipt = format!("receipt of {node} at {generation}");
                return vec![Input::RecordReceipt { node: node.clone(), generation: *generation, receipt }];
            }
            Effect::IssueReceipt { .. } => vec![],
        };
        let (Some((node, _)), Some(token)) = (effect.goes_to(), effect.token()) else { return vec![] };
        outcomes.into_iter().map(|outcome| Input::Answer { node: node.clone(), token, outcome }).collect()
    }

    /// A table is taken under a higher version only; what was passed elsewhere is ended before it is confirmed.
    fn route(&mut self, version: u64, table: &[(NodeId, ShardId, bool)]) -> Vec<Input> {
        if version > self.routes {
            self.routes = version;
            for ((node, shard), copy) in &mut self.copies {
                let route = table.iter().find(|(name, _, _)| name == node);
                if route.is_some_and(|(_, to, _)| to == shard) {
                    copy.severed = false;
                } else if route.is_some_and(|(_, _, sever)| *sever) && !self.mutants.severs_nothing {
                    (copy.severed, copy.in_flight) = (true, 0);
                }
            }
        }
        vec![Input::RoutesConfirmed { version }]
    }

    /// Gone for good, with all that is in flight.
    pub(super) fn lose(&mut self, node: &NodeId, shard: &ShardId) {
        let copy = self.copy(node, shard);
        (copy.gone, copy.in_flight) = (true, 0);
    }

    pub(super) fn is_gone(&self, node: &NodeId, shard: &ShardId) -> bool {
        self.copies.get(&(node.clone(), shard.clone())).is_some_and(|copy| copy.gone)
    }

    pub(super) fn content(&self, node: &NodeId, shard: &ShardId) -> u64 {
        self.copies.get(&(node.clone(), shard.clone())).map_or(0, |copy| copy.content)
    }

    /// As it was, or as a machine that has never heard of the node.
    pub(super) fn bring_back(&mut self, node: &NodeId, shard: &ShardId, as_it_was: bool) {
        let copy = self.copy(node, shard);
        copy.gone = false;
        if !as_it_was {
            *copy = Copy::default();
        }
    }

    fn soak(&mut self, node: &NodeId, follower: &ShardId, fail: bool) -> Vec<Input> {
        let seen = |fact| Input::SoakSeen { node: node.clone(), fact };
        if fail {
            return vec![seen(SoakFact::Alert { reason: "the follower lost an object".to_owned() })];
        }
        let at = shardlift_model::UnixMillis(1);
        let verified = (self.copy(node, follower).follows_back()).then_some(SoakFact::Verified);
        verified.into_iter().chain([SoakFact::BackupSeen { at }]).map(seen).collect()
    }

    /// INV-03: persists the token before it acts; a lower one is refused, an equal one is a repetition.
    fn execute(&mut self, node: &NodeId, token: Token, shard: &ShardId, command: &Command) -> Option<Outcome> {
        let mutants = self.mutants;
        let copy = self.copy(node, shard);
        if !mutants.ignores_tokens && token < copy.token {
            return Some(Outcome::Refused { reason: format!("stale token {token}") });
        }
        if let Some(last) = copy.last.as_ref().filter(|_| token == copy.token) {
            return Some(last.clone());
        }
        if *command == Command::Fence && !mutants.names_before_the_drain {
            self.drain(node, shard);
        }
        let giver = self.content_of_giver(node, shard);
        let copy = self.copy(node, shard);
        copy.token = token;
        let Some(giver) = giver.or_else(|| (!matches!(command, Command::CompleteReplica { .. })).then_some(0)) else {
            // It waits for a giver that is gone.
            copy.last = None;
            return None;
        };
        let stock = copy.stock;
        let outcome = if mutants.promotes_what_it_has && copy.resumed {
            copy.pretend(node, token, command, giver)
        } else {
            copy.act(node, token, command, giver)
        };
        copy.last = Some(outcome.clone());
        if let (Some(stock), Mode::Serving) = (stock, copy.mode) {
            // What only the former writer had was given up, and no more than that.
            assert!(self.accepted.remove(node).is_some_and(|least| least <= stock), "INV-02: {node}: {stock}");
            self.acknowledged.insert(node.clone(), stock);
        }
        Some(outcome)
    }

    /// What a copy can read: all that some other shard holds as the writer, parked or not.
    /// `None` when there is no such shard, or it is gone.
    fn content_of_giver(&self, node: &NodeId, taker: &ShardId) -> Option<u64> {
        let others = self.copies.iter().filter(|((name, shard), _)| name == node && shard != taker);
        let readable = others.filter(|(_, copy)| copy.is_readable());
        readable.map(|(_, copy)| copy.content).max()
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
        let Some(giver) = self.content_of_giver(node, shard) else { return vec![] };
        let copy = self.copy(node, shard);
        if copy.mode != Mode::Incoming {
            return vec![];
        }
        if fail {
            return vec![Outcome::ReplicaFailed { reason: "broken".to_owned(), damaged_at_source: true }];
        }
        copy.content = giver;
        vec![Outcome::Following { lag: 0 }, Outcome::Verified { state: state(giver) }]
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
        shards.begin_write(&node);
        shards.end_writes(&node);
        shards.copy(&node, &"a".parse().unwrap()).content = 0;
        shards.check();
    }

    #[test]
    #[should_panic(expected = "INV-04")]
    fn a_write_at_an_unpromoted_copy_is_seen() {
        let mut shards = two_shards(Mode::Incoming);
        let node = "n1".parse().unwrap();
        shards.copy(&node, &"b".parse().unwrap()).in_flight = 1;
        shards.copy(&node, &"a".parse().unwrap()).content = 1;
        shards.end_writes(&node);
        shards.check();
    }
}
