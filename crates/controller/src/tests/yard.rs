//! The data of all fake shards in one place, so that what must hold over all of them can be looked at after each command.

mod copy;
mod mishaps;

pub(super) use copy::{Copy, Found, Order};
pub(super) use mishaps::{Call, Mishap, Mishaps, Mutant, Spot, Taken};

use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1::{self, NodeMode, ReplicaPhase};
use shardlift_model::{Activity, NodeId, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

#[derive(Debug, Default)]
pub(super) struct Copies {
    pub(super) all: BTreeMap<(ShardId, NodeId), Copy>,
    pub(super) violations: Vec<String>,
    /// Commands carried out, by name.
    pub(super) commands: BTreeMap<&'static str, usize>,
    /// How many of the next commands of a name to refuse, as after a restart of the shard.
    pub(super) refuse_next: BTreeMap<&'static str, usize>,
    /// What clients were told is stored, for the nodes that have clients.
    pub(super) acknowledged: BTreeMap<NodeId, u64>,
    pub(super) mishaps: Mishaps,
    /// Deep verifies that are begun do not end.
    pub(super) slow_readers: bool,
    /// What shards allow, each with the term that set it.
    pub(super) limits: BTreeMap<ShardId, (u64, v1::LimitsStatus)>,
    /// What nodes do, as their shards count it.
    pub(super) activities: BTreeMap<(ShardId, NodeId), Activity>,
    /// What shards say that they bear, in bytes per second.
    pub(super) load_capacities: BTreeMap<ShardId, u64>,
    /// Shards that answer nobody.
    pub(super) gone: BTreeSet<ShardId>,
    /// Below this generation, no router passes clients of a node to anybody any more.
    pub(super) severed: BTreeMap<NodeId, u64>,
}

/// Shared by all fake parts.
#[derive(Debug, Clone, Default)]
pub(super) struct Yard(Arc<Mutex<Copies>>);

impl Yard {
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Copies) -> T) -> T {
        let mut copies = self.0.lock().unwrap();
        let result = act(&mut copies);
        let found = copies.violated();
        copies.violations.extend(found);
        result
    }

    /// An error when the shard is gone.
    pub(super) fn reach(&self, shard: &ShardId) -> Result<(), Fault> {
        self.with(|copies| if copies.gone.contains(shard) { Err(lost()) } else { Ok(()) })
    }

    /// A command arrives; what comes back is the copy after it.
    pub(super) fn command(
        &self,
        (shard, node): (&ShardId, &str),
        token: Option<v1::Token>,
        order: Order,
    ) -> Result<Copy, Fault> {
        let node = shardlift_api::convert::node(node)?;
        let token = shardlift_api::convert::token(token)?;
        self.with(|copies| copies.arrive(&Call { shard: shard.clone(), node, token, order }))
    }
}

fn lost() -> Fault {
    Fault::new(FaultKind::Unavailable, "the connection broke")
}

impl Copies {
    fn arrive(&mut self, call: &Call) -> Result<Copy, Fault> {
        if self.mishaps.down || self.gone.contains(&call.shard) {
            return Err(lost());
        }
        let held = self.mishaps.holds(call);
        let answer = match self.mishaps.meet_command(call) {
            Some(Mishap::CrashBefore) => return Err(lost()),
            Some(Mishap::CrashAfter | Mishap::AnswerLost) => {
                if let Err(fault) = self.execute(call) {
                    self.violations.push(format!("{} had no effect: {}", call.order.word(), fault.public()));
                }
                return Err(lost());
            }
            Some(Mishap::Doubled) => {
                let first = self.execute(call).map_err(|fault| fault.public().to_owned());
                let second = self.execute(call);
                if first != second.as_ref().map(Clone::clone).map_err(|fault| fault.public().to_owned()) {
                    self.violations.push(format!("{} means something else the second time", call.order.word()));
                }
                second
            }
            Some(Mishap::Late) => {
                let answer = self.execute(call);
                self.mishaps.late = Some(call.clone());
                answer
            }
            None if held => return Err(lost()),
            None => self.execute(call),
        };
        if answer.is_ok() && self.mishaps.late.as_ref().is_some_and(|late| late.token < call.token) {
            self.arrive_late();
        }
        if held { Err(lost()) } else { answer }
    }

    /// What is late arrives once more. With a higher token at its shard it is refused, and it changes nothing in any case.
    pub(super) fn arrive_late(&mut self) {
        let Some(late) = self.mishaps.late.clone() else { return };
        self.mishaps.arrived_late += 1;
        let key = (late.shard.clone(), late.node.clone());
        let before = self.all.get(&key).cloned();
        let stale = before.as_ref().is_some_and(|copy| copy.token > late.token);
        let answer = self.execute(&late);
        // Of shards that know no tokens it is not the answer that counts but what it changes.
        if stale && answer.is_ok() && self.mishaps.mutant != Some(Mutant::IgnoresTokens) {
            self.violations.push(format!("INV-03: {} was carried out late", late.order.word()));
        }
        self.violations.extend(mishaps::repeated(late.order.word(), before.as_ref(), self.all.get(&key)));
        self.violations.extend(self.violated());
    }

    /// The token, then the act: both or, for what is refused, the token alone.
    fn execute(&mut self, call: &Call) -> Result<Copy, Fault> {
        let Call { shard, node, token, order } = call;
        let key = (shard.clone(), node.clone());
        if let Order::StartReplica { source } = order {
            let offered = self.all.get(&(source.clone(), node.clone())).and_then(|copy| copy.offered_to.clone());
            if offered.as_deref() != Some(shard.as_str()) {
                return Err(Fault::new(FaultKind::Refused, "the source has not offered it"));
            }
        }
        let source = self.all.get(&key).and_then(|copy| copy.source.clone());
        let giver = source
            .filter(|source| !self.gone.contains(source))
            .and_then(|source| self.all.get(&(source, node.clone())).cloned());
        if order.creates() {
            self.all.entry(key.clone()).or_insert_with(Copy::unknown);
        }
        let copy = self.all.get_mut(&key);
        let copy = copy.ok_or_else(|| Fault::new(FaultKind::NotFound, "no such node here"))?;
        if *token < copy.token && self.mishaps.mutant != Some(Mutant::IgnoresTokens) {
            let text = format!("{token} is lower than {}", copy.token);
            return Err(Fault::new(FaultKind::StaleToken, text));
        }
        copy.token = copy.token.max(*token);
        if self.mishaps.refuses(call) {
            return Err(Fault::new(FaultKind::Refused, "it was done before"));
        }
        if let Some(left) = self.refuse_next.get_mut(order.word()).filter(|left| **left > 0) {
            *left -= 1;
            // What a restarted source does: it serves again and knows nothing of a fence.
            if copy.mode == NodeMode::Fenced {
                copy.mode = NodeMode::Serving;
            }
            return Err(Fault::new(FaultKind::Refused, "the shard was restarted"));
        }
        let read_before = copy.deep_verify;
        copy.act(order, token.generation.0, giver.as_ref())?;
        if self.slow_readers
            && copy.deep_verify != read_before
            && let Some((_, _, found)) = &mut copy.deep_verify
        {
            *found = None;
        }
        let copy = copy.clone();
        *self.commands.entry(order.word()).or_default() += 1;
        Ok(copy)
    }

    /// A client stores something at the one shard that serves its node.
    pub(super) fn write(&mut self, node: &NodeId, changes: u64) {
        let mut copies = self.all.iter_mut().filter(|((_, name), _)| name == node).map(|(_, copy)| copy);
        let writer = copies.find(|copy| copy.mode == NodeMode::Serving).unwrap();
        writer.seq += changes;
        self.acknowledged.insert(node.clone(), writer.seq);
    }

    /// Somebody gives up what clients were told after this change.
    pub(super) fn accept_loss(&mut self, node: &NodeId, after_seq: u64) {
        if let Some(acknowledged) = self.acknowledged.get_mut(node) {
            *acknowledged = after_seq.min(*acknowledged);
        }
    }

    /// INV-01: at most one shard serves a node to clients that come through a router. A promoted copy beside a source that could
    /// still resume is a second writer; one beside a shard to which no router passes anybody any more is not.
    /// INV-02: whoever serves it has all that clients were told is stored.
    pub(super) fn violated(&self) -> Option<String> {
        let mut writers: BTreeMap<&NodeId, Vec<&ShardId>> = BTreeMap::new();
        for ((shard, node), copy) in &self.all {
            let reached = copy.generation >= self.severed.get(node).copied().unwrap_or(0);
            if matches!(copy.mode, NodeMode::Serving | NodeMode::Fenced) && reached {
                writers.entry(node).or_default().push(shard);
                let wanted = self.acknowledged.get(node).copied().unwrap_or(0);
                if copy.seq < wanted {
                    return Some(format!("INV-02: {shard} serves {node} at {}, acknowledged are {wanted}", copy.seq));
                }
            }
        }
        let two = writers.into_iter().find(|(_, shards)| shards.len() > 1);
        two.map(|(node, shards)| format!("INV-01: {node} has writers {shards:?}"))
    }
}

pub(super) fn status(node: &NodeId, copy: &Copy, source: Option<&Copy>) -> v1::NodeStatus {
    let replica = copy.source.as_ref().filter(|_| copy.mode == NodeMode::Incoming).map(|from| {
        let source_seq = source.map_or(0, |source| source.seq);
        let phase = if copy.looks < 2 { ReplicaPhase::Seeding } else { ReplicaPhase::Following };
        let verified = copy.verified.then(|| v1::Verified { digest: Some(copy.digest()), ..Default::default() });
        v1::Replica {
            phase: phase.into(),
            source: from.to_string(),
            objects_total: source_seq,
            objects_done: copy.seq,
            bytes_total: source_seq * 100,
            bytes_done: copy.seq * 100,
            applied_seq: copy.seq,
            source_seq,
            verified,
            ..Default::default()
        }
    });
    let deep_verify = copy.deep_verify.map(|(token, run, found)| {
        let v1::NodeDigest { objects, bytes, .. } = copy.digest();
        let Found { damaged, missing } = found.unwrap_or_default();
        let wrong = usize::try_from(damaged + missing).unwrap();
        v1::DeepVerify {
            token: Some(token.into()),
            run,
            objects_total: objects,
            objects_read: if found.is_some() { objects } else { objects / 2 },
            bytes_total: bytes,
            bytes_read: if found.is_some() { bytes } else { bytes / 2 },
            bytes_per_second: if found.is_some() { 0 } else { 3 << 20 },
            damaged,
            missing,
            names: (0..wrong).map(|n| format!("data/{n:064}")).collect(),
            begun_unix_ms: 1,
            ended_unix_ms: found.map_or(0, |_| 2),
            ..Default::default()
        }
    });
    let certificate = |serial: &String| v1::SeenCertificate {
        issuer: "issuing-1".into(),
        serial: serial.clone(),
        first_seen_unix_ms: 1,
        last_seen_unix_ms: 1,
    };
    v1::NodeStatus {
        node: node.to_string(),
        mode: copy.mode.into(),
        generation: copy.generation,
        token: Some(copy.token.into()),
        seq: copy.seq,
        promoted_seq: copy.promoted_seq,
        objects: copy.seq,
        bytes: copy.seq * 100,
        snapshots: 3,
        last_snapshot_unix_ms: 1_700_000_000_000,
        seen_certificates: copy.seen.iter().map(certificate).collect(),
        settings: Some(copy.settings.clone()),
        replica,
        deep_verify,
        ..Default::default()
    }
}

#[test]
fn two_writers_are_noticed() {
    let yard = Yard::default();
    let node: NodeId = "a".parse().unwrap();
    yard.with(|copies| copies.all.insert(("s".parse().unwrap(), node.clone()), Copy::serving(1)));
    assert!(yard.with(|copies| copies.violations.clone()).is_empty());
    yard.with(|copies| copies.all.insert(("t".parse().unwrap(), node.clone()), Copy::serving(1)));
    assert!(!yard.with(|copies| copies.violations.clone()).is_empty());
}

#[test]
fn a_writer_that_was_given_up_is_one_until_the_routers_have_severed_it() {
    let yard = Yard::default();
    let node: NodeId = "a".parse().unwrap();
    let writer = |generation| Copy { generation, ..Copy::serving(1) };
    yard.with(|copies| copies.all.insert(("t".parse().unwrap(), node.clone()), writer(2)));
    yard.with(|copies| copies.severed.insert(node.clone(), 3));
    yard.with(|copies| copies.all.insert(("s".parse().unwrap(), node.clone()), writer(3)));
    assert!(yard.with(|copies| copies.violations.clone()).is_empty());
    yard.with(|copies| copies.severed.clear());
    assert!(yard.with(|copies| copies.violations[0].starts_with("INV-01")));
}

#[test]
fn only_what_was_given_up_may_be_lost() {
    let yard = Yard::default();
    let node: NodeId = "a".parse().unwrap();
    yard.with(|copies| copies.all.insert(("s".parse().unwrap(), node.clone()), Copy::serving(1)));
    yard.with(|copies| copies.write(&node, 4));
    yard.with(|copies| {
        copies.accept_loss(&node, 3);
        copies.all.values_mut().for_each(|copy| copy.seq = 3);
    });
    assert!(yard.with(|copies| copies.violations.clone()).is_empty());
    yard.with(|copies| copies.all.values_mut().for_each(|copy| copy.seq = 2));
    assert!(yard.with(|copies| copies.violations[0].starts_with("INV-02")));
}

#[test]
fn a_writer_without_what_clients_stored_is_noticed() {
    let yard = Yard::default();
    let node: NodeId = "a".parse().unwrap();
    yard.with(|copies| copies.all.insert(("s".parse().unwrap(), node.clone()), Copy::serving(1)));
    yard.with(|copies| copies.write(&node, 4));
    assert!(yard.with(|copies| copies.violations.clone()).is_empty());
    yard.with(|copies| copies.all.values_mut().for_each(|copy| copy.seq = 4));
    assert!(yard.with(|copies| copies.violations[0].starts_with("INV-02")));
}
