//! A world for tests that is driven as the controller drives it, with every invariant checked at every event.

use crate::decide::{Refusal, decide};
use crate::invariants::{check_effects, check_step, check_world};
use crate::world::{Router, Shard};
use crate::{Effect, Event, FinalState, Input, Migration, Outcome, SoakPolicy, Stage, When, World, advance, effects};
use shardlift_model::{BatchId, ByteCount, Generation, NodeId, Sha256, Term, UnixMillis};
use shardlift_planner::{Plan, PlanBatch};
use std::collections::{BTreeMap, BTreeSet};

/// A world, its journal and its clock.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) journal: Vec<Event>,
    pub(crate) now: UnixMillis,
    /// The controller dies after so many more events.
    pub(crate) dies_in: Option<usize>,
}

pub(crate) fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub(crate) fn batch(name: &str) -> BatchId {
    name.parse().unwrap()
}

pub(crate) fn state(seq: u64) -> FinalState {
    let mut root = [0; 32];
    root[..8].copy_from_slice(&seq.to_be_bytes());
    FinalState { seq, root: Sha256(root), objects: seq, bytes: seq * 10, damaged: 0 }
}

pub(crate) fn empty_world() -> World {
    World::new("c1".parse().unwrap(), "backup.example".parse().unwrap())
}

pub(crate) fn shard(name: &str, port: u16) -> Shard {
    let address = |offset: u16| format!("127.0.0.1:{}", port + offset);
    let (control_address, peer_address, client_address) = (address(0), address(0), address(1));
    Shard { shard: name.parse().unwrap(), control_address, peer_address, client_address, capacity: ByteCount(1 << 40) }
}

pub(crate) fn router() -> Router {
    Router { router: "r1".parse().unwrap(), control_address: "127.0.0.1:9000".to_owned() }
}

/// A plan whose batches are (name, after, nodes); targets take turns.
pub(crate) fn plan(revision: u64, based_on: u64, batches: &[(&str, &[&str], &[&str])]) -> Plan {
    let targets = ["b", "c"];
    let batches = batches.iter().map(|(name, after, nodes)| PlanBatch {
        name: batch(name),
        after: after.iter().map(|name| batch(name)).collect(),
        nodes: nodes.iter().zip(targets.iter().cycle()).map(|(n, t)| (node(n), t.parse().unwrap())).collect(),
        when: When::Now,
        windows: Vec::new(),
        force_after_ms: None,
        soak: SoakPolicy::default(),
    });
    Plan::new(revision, based_on, "a".parse().unwrap(), BTreeSet::new(), batches.collect()).unwrap()
}

impl Bench {
    /// Shards a, b, c, a router, and the nodes of the batches on a; the plan is applied, nothing is started.
    pub(crate) fn planned(batches: &[(&str, &[&str], &[&str])]) -> Self {
        Self::planned_with(batches, |_| ())
    }

    /// The same, with changes to the batches of the plan.
    pub(crate) fn planned_with(batches: &[(&str, &[&str], &[&str])], change: impl FnMut(&mut PlanBatch)) -> Self {
        let mut bench = Self { world: empty_world(), journal: Vec::new(), now: UnixMillis(1_000_000), dies_in: None };
        bench.lead();
        for (name, port) in [("a", 1000), ("b", 2000), ("c", 3000)] {
            bench.input(Input::RecordShard { shard: shard(name, port) }).unwrap();
        }
        bench.input(Input::RecordRouter { router: router() }).unwrap();
        for name in batches.iter().flat_map(|(_, _, nodes)| nodes.iter()) {
            let (shard, generation) = ("a".parse().unwrap(), Generation(3));
            let listed = Input::NodeListed { node: node(name), shard, generation, customer: None, server_name: None };
            bench.input(listed).unwrap();
        }
        let plan = plan(1, 0, batches);
        let mut batches = plan.batches().to_vec();
        batches.iter_mut().for_each(change);
        bench.apply_plan(Plan::new(1, 0, plan.source().clone(), BTreeSet::new(), batches).unwrap()).unwrap();
        bench
    }

    /// One started batch "one" with its nodes' certificates in use.
    pub(crate) fn started(nodes: &[&str]) -> Self {
        let mut bench = Self::planned(&[("one", &[], nodes)]);
        bench.certify_all();
        bench.input(Input::StartBatch { batch: batch("one") }).unwrap();
        bench
    }

    pub(crate) fn apply_plan(&mut self, plan: Plan) -> Result<(), Refusal> {
        let reviewed_revision = plan.revision();
        self.input(Input::ApplyPlan { plan, text: String::new(), reviewed_revision })
    }

    pub(crate) fn lead(&mut self) {
        let term = Term(self.world.term.0 + 1);
        self.input(Input::Lead { term }).unwrap();
    }

    pub(crate) fn certify_all(&mut self) {
        let nodes: Vec<NodeId> = self.world.nodes.keys().cloned().collect();
        for (number, node) in (0_u8..).zip(nodes) {
            let token = Sha256([number; 32]);
            let expires_at = UnixMillis(self.now.0 + 1000);
            self.input(Input::GrantEnrolment { node: node.clone(), token, expires_at }).unwrap();
            let serial = format!("a{number:02x}");
            self.input(Input::Enrol { token, public_key: token, serial, not_after: UnixMillis(u64::MAX) }).unwrap();
            self.input(Input::CertificateSeen { node, serial: format!("a{number:02x}") }).unwrap();
        }
    }

    /// Whatever the journal ends with: every node gets and uses a certificate.
    pub(crate) fn certify_missing(&mut self) {
        let nodes: Vec<NodeId> = self.world.nodes.keys().cloned().collect();
        for (number, node) in (100_u8..).zip(nodes) {
            let token = Sha256([number; 32]);
            if self.world.nodes[&node].serials.is_empty() {
                let expires_at = UnixMillis(self.now.0 + 1000);
                self.input(Input::GrantEnrolment { node: node.clone(), token, expires_at }).unwrap();
                let serial = format!("a{number:02x}");
                self.input(Input::Enrol { token, public_key: token, serial, not_after: UnixMillis(u64::MAX) }).unwrap();
            }
            let serial = self.world.nodes[&node].serials.last().cloned().unwrap();
            self.input(Input::CertificateSeen { node, serial }).unwrap();
        }
    }

    /// As the controller: decide, record, advance until nothing follows.
    pub(crate) fn input(&mut self, input: Input) -> Result<(), Refusal> {
        let before = self.world.clone();
        let decided = decide(&self.world, &input, self.now);
        assert_eq!(before, self.world, "decide changed the world");
        decided?.iter().for_each(|event| self.record(event));
        self.advance();
        Ok(())
    }

    pub(crate) fn advance(&mut self) {
        for _ in 0..1000 {
            let events = advance(&self.world, self.now);
            if events.is_empty() || self.is_dead() {
                return;
            }
            events.iter().for_each(|event| self.record(event));
        }
        panic!("advance never ends");
    }

    pub(crate) const fn is_dead(&self) -> bool {
        matches!(self.dies_in, Some(0))
    }

    /// The next controller reads what is stored and takes over.
    pub(crate) fn restart(&mut self) {
        self.dies_in = None;
        assert_eq!(Self::replay(&self.journal), self.world);
        self.lead();
    }

    pub(crate) fn record(&mut self, event: &Event) {
        match &mut self.dies_in {
            Some(0) => return,
            Some(left) => *left -= 1,
            None => {}
        }
        let before = self.world.clone();
        before.legal(event).unwrap_or_else(|illegal| panic!("{event:?}: {illegal}"));
        self.world.apply(event);
        let mut found = check_step(&before, event, &self.world);
        found.extend(check_world(&self.world));
        found.extend(check_effects(&self.world, &effects(&self.world)));
        assert!(found.is_empty(), "after {event:?}: {found:?}");
        self.journal.push(event.clone());
    }

    pub(crate) fn moving(&self, name: &str) -> &Migration {
        self.world.nodes[&node(name)].migration.as_ref().unwrap()
    }

    pub(crate) fn stage(&self, name: &str) -> Stage {
        self.moving(name).stage
    }

    /// Answers the present stage of a node.
    pub(crate) fn answer(&mut self, name: &str, outcome: Outcome) {
        let token = self.world.token(&self.world.nodes[&node(name)]);
        self.input(Input::Answer { node: node(name), token, outcome }).unwrap();
    }

    /// The answer that leads on; `None` where the move does not wait for one.
    pub(crate) fn good_answer(&self, name: &str) -> Option<Outcome> {
        let known = &self.world.nodes[&node(name)];
        let moving = known.migration.as_ref()?;
        Some(match moving.stage {
            Stage::Copying | Stage::CatchingUp => Outcome::Following { lag: 0 },
            Stage::Verifying => Outcome::Verified { state: state(5) },
            Stage::Fencing => Outcome::Fenced { state: state(if moving.is_back() { 9 } else { 7 }) },
            Stage::Completing => Outcome::Completed { state: moving.final_state? },
            Stage::TakingStock => Outcome::StockTaken { state: state(8) },
            Stage::Promoting => Outcome::Promoted { seq: 3, snapshots: 1 },
            Stage::Probing => {
                let (shard, generation) = (moving.taker().clone(), known.generation);
                Outcome::Probed { shard, generation, serving: true }
            }
            Stage::Planned
            | Stage::AwaitingCertificate
            | Stage::Ready
            | Stage::Sealed
            | Stage::Routing
            | Stage::Redirecting
            | Stage::Soaking
            | Stage::Released
            | Stage::Aborted
            | Stage::RolledBack => return None,
            _ => Outcome::Done,
        })
    }

    /// Gives a node good answers until it comes to a stage, or rests.
    pub(crate) fn drive(&mut self, name: &str, to: Stage) {
        for _ in 0..100 {
            if self.stage(name) == to {
                return;
            }
            match self.good_answer(name) {
                Some(outcome) => self.answer(name, outcome),
                None if matches!(self.stage(name), Stage::Routing | Stage::Redirecting) => {
                    let version = self.world.route_version;
                    self.input(Input::RoutesConfirmed { version }).unwrap();
                }
                None if self.stage(name) == Stage::Soaking => {
                    let batch = self.moving(name).batch.clone();
                    self.input(Input::ReleaseBatch { batch, force: false }).unwrap();
                }
                None if self.stage(name) == Stage::Ready && self.clear_cutovers() => {}
                None => break,
            }
        }
        assert_eq!(self.stage(name), to);
    }

    /// Says that the time is right to whatever asks; false when nothing does.
    pub(crate) fn clear_cutovers(&mut self) -> bool {
        let asking = self.effects().into_iter().filter_map(|effect| match effect {
            Effect::AskCutover { batch, .. } => Some(batch),
            _ => None,
        });
        let asking: Vec<BatchId> = asking.collect();
        for batch in asking.clone() {
            self.input(Input::CutoverClear { batch, idle: true, routers: true }).unwrap();
        }
        !asking.is_empty()
    }

    pub(crate) fn roll_back(&mut self, name: &str) {
        self.input(Input::RollBackNode { node: node(name), reason: "it is slow".to_owned() }).unwrap();
    }

    /// A bench with one node "n1" that goes back and has come to a stage of that.
    pub(crate) fn back_at(stage: Stage) -> Self {
        let mut bench = Self::at(Stage::Soaking);
        bench.roll_back("n1");
        if matches!(stage, Stage::Unfencing | Stage::Resuming) {
            bench.now = UnixMillis(bench.now.0 + 30_001);
            bench.input(Input::Tick).unwrap();
        }
        bench.drive("n1", stage);
        bench
    }

    pub(crate) fn take_over(&mut self, name: &str, after_seq: u64) -> Result<(), Refusal> {
        self.input(Input::TakeOver { node: node(name), after_seq, reason: "b burnt".to_owned() })
    }

    /// A bench with one node "n1" whose target is gone, and whose takeover has come to a stage.
    pub(crate) fn taken_over_at(stage: Stage) -> Self {
        let mut bench = Self::at(Stage::Soaking);
        bench.take_over("n1", 8).unwrap();
        bench.drive("n1", stage);
        bench
    }

    /// A bench with one node "n1" that has come to a stage in the usual way.
    pub(crate) fn at(stage: Stage) -> Self {
        let mut bench = match stage {
            Stage::Planned => return Self::planned(&[("one", &[], &["n1"])]),
            Stage::AwaitingCertificate => {
                let mut bench = Self::planned(&[("one", &[], &["n1"])]);
                bench.input(Input::StartBatch { batch: batch("one") }).unwrap();
                bench
            }
            // A second node that is not done yet keeps the batch from going on.
            Stage::Ready => Self::started(&["n1", "n2"]),
            Stage::Sealed => Self::started(&["n1", "n2"]),
            Stage::Detaching | Stage::RolledBack => return Self::back_at(stage),
            Stage::TakingStock | Stage::Redirecting | Stage::Deposing => return Self::taken_over_at(stage),
            _ => Self::started(&["n1"]),
        };
        match stage {
            Stage::Sealed => {
                bench.drive("n1", Stage::Ready);
                bench.drive("n2", Stage::Fencing);
            }
            Stage::Unfencing | Stage::Discarding | Stage::Aborted => {
                bench.drive("n1", Stage::Fencing);
                bench.input(Input::AbortNode { node: node("n1"), reason: String::new() }).unwrap();
            }
            Stage::Restoring | Stage::Resuming => {
                bench.drive("n1", Stage::Released);
                bench.input(Input::RestoreNode { node: node("n1") }).unwrap();
            }
            _ => {}
        }
        bench.drive("n1", stage);
        bench
    }

    pub(crate) fn effects(&self) -> Vec<Effect> {
        effects(&self.world)
    }

    /// What a fresh controller has after reading the journal as it is stored.
    pub(crate) fn replay(events: &[Event]) -> World {
        let mut world = empty_world();
        for event in events {
            let stored = serde_json::to_vec(event).unwrap();
            let read: Event = serde_json::from_slice(&stored).unwrap();
            assert_eq!(read, *event);
            world.legal(&read).unwrap_or_else(|illegal| panic!("{read:?}: {illegal}"));
            world.apply(&read);
        }
        world
    }

    pub(crate) fn stages(&self) -> BTreeMap<&str, Stage> {
        let of = |known: &'_ crate::Node| known.migration.as_ref().map(|moving| moving.stage);
        self.world.nodes.values().filter_map(|n| Some((n.node.as_str(), of(n)?))).collect()
    }
}
