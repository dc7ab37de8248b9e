//! The data of all fake shards in one place, so that what must hold over all of them can be looked at after each command.

use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1::{self, NodeMode, ReplicaPhase};
use shardlift_model::{NodeId, ShardId, Token};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// One node on one shard.
#[derive(Debug, Clone)]
pub(super) struct Copy {
    pub(super) mode: NodeMode,
    pub(super) token: Token,
    pub(super) generation: u64,
    pub(super) seq: u64,
    pub(super) offered_to: Option<String>,
    pub(super) source: Option<ShardId>,
    pub(super) verified: bool,
    pub(super) looks: u32,
    pub(super) seen: Vec<String>,
    pub(super) legacy_ended: bool,
}

impl Copy {
    pub(super) fn serving(seq: u64) -> Self {
        Self {
            mode: NodeMode::Serving,
            token: Token::default(),
            generation: 1,
            seq,
            offered_to: None,
            source: None,
            verified: false,
            looks: 0,
            seen: vec![],
            legacy_ended: false,
        }
    }

    pub(super) fn digest(&self) -> v1::NodeDigest {
        let root = vec![u8::try_from(self.seq % 251).unwrap(); 32];
        v1::NodeDigest { seq: self.seq, root, objects: self.seq, bytes: self.seq * 100, ..Default::default() }
    }
}

#[derive(Debug, Default)]
pub(super) struct Copies {
    pub(super) all: BTreeMap<(ShardId, NodeId), Copy>,
    pub(super) violations: Vec<String>,
    /// Commands carried out, by name.
    pub(super) commands: BTreeMap<&'static str, usize>,
    /// How many of the next commands of a name to refuse, as after a restart of the shard.
    pub(super) refuse_next: BTreeMap<&'static str, usize>,
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

    pub(super) fn command(
        &self,
        name: &'static str,
        (shard, node): (&ShardId, &str),
        token: Option<v1::Token>,
        act: impl FnOnce(&mut Copy) -> Result<(), Fault>,
    ) -> Result<Copy, Fault> {
        let node = shardlift_api::convert::node(node)?;
        let token = shardlift_api::convert::token(token)?;
        self.with(|copies| {
            let copy = copies.all.get_mut(&(shard.clone(), node));
            let copy = copy.ok_or_else(|| Fault::new(FaultKind::NotFound, "no such node here"))?;
            if token < copy.token {
                let text = format!("{token} is lower than {}", copy.token);
                return Err(Fault::new(FaultKind::StaleToken, text));
            }
            copy.token = token;
            if let Some(left) = copies.refuse_next.get_mut(name).filter(|left| **left > 0) {
                *left -= 1;
                // What a restarted source does: it serves again and knows nothing of a fence.
                if copy.mode == NodeMode::Fenced {
                    copy.mode = NodeMode::Serving;
                }
                return Err(Fault::new(FaultKind::Refused, "the shard was restarted"));
            }
            act(copy)?;
            let copy = copy.clone();
            *copies.commands.entry(name).or_default() += 1;
            Ok(copy)
        })
    }
}

impl Copies {
    /// INV-01: at most one shard serves a node. A promoted copy beside a source that could still resume is a second writer.
    pub(super) fn violated(&self) -> Option<String> {
        let mut writers: BTreeMap<&NodeId, Vec<&ShardId>> = BTreeMap::new();
        for ((shard, node), copy) in &self.all {
            if matches!(copy.mode, NodeMode::Serving | NodeMode::Fenced) {
                writers.entry(node).or_default().push(shard);
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
        objects: copy.seq,
        bytes: copy.seq * 100,
        snapshots: 3,
        last_snapshot_unix_ms: 1_700_000_000_000,
        seen_certificates: copy.seen.iter().map(certificate).collect(),
        replica,
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
