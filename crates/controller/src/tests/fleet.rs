//! A large fleet without servers: a recorded world and what shards would have said of it.

use crate::history::History;
use crate::observed::Observed;
use crate::state::Recorded;
use shardlift_api::v1::{self, NodeMode};
use shardlift_migration::world::{AppliedPlan, Shard};
use shardlift_migration::{Batch, BatchPhase, Event, SoakPolicy, Stage, When, World};
use shardlift_model::{BatchId, ByteCount, Generation, NodeId, ShardId, Step, UnixMillis};
use shardlift_store::Seq;
use std::collections::{BTreeMap, BTreeSet};

/// When everything was planned.
pub(crate) const PLANNED: UnixMillis = UnixMillis(1_700_000_000_000);

/// Nodes and where they go.
type Moves = Vec<(NodeId, ShardId)>;

/// The fleet.
pub(crate) struct Fleet {
    pub(crate) world: World,
    pub(crate) observed: Observed,
}

pub(crate) fn shard(number: usize) -> ShardId {
    format!("shard-{number:03}").parse().unwrap()
}

impl Fleet {
    /// So many nodes, spread over so many shards; ten of each customer, 1 GiB each.
    pub(crate) fn new(nodes: usize, shards: usize) -> Self {
        let mut fleet = Self {
            world: World::new("c1".parse().unwrap(), "backup.example".parse().unwrap()),
            observed: Observed::default(),
        };
        (0..shards).for_each(|number| fleet.add_shard(number));
        (0..nodes).for_each(|number| fleet.add_node(number, &shard(number % shards)));
        fleet
    }

    pub(crate) fn name(number: usize) -> NodeId {
        format!("customer-{:05}/node-{number:06}", number / 10).parse().unwrap()
    }

    fn add_shard(&mut self, number: usize) {
        let name = shard(number);
        let shard = Shard {
            shard: name.clone(),
            control_address: format!("h:{number}"),
            peer_address: "h:1".into(),
            client_address: "h:1".into(),
            capacity: ByteCount(1 << 50),
        };
        self.world.apply(&Event::ShardRecorded { shard });
        let seen = self.observed.shards.entry(name).or_default();
        seen.about =
            Some(v1::DescribeShardResponse { capacity_bytes: 1 << 50, free_bytes: 1 << 49, ..Default::default() });
        seen.listed = true;
    }

    fn add_node(&mut self, number: usize, shard: &ShardId) {
        let node = Self::name(number);
        self.world.apply(&Event::NodeFound {
            customer: node.default_customer(),
            server_name: format!("n{number}.backup.example").parse().unwrap(),
            node: node.clone(),
            shard: shard.clone(),
            generation: Generation(1),
            route_version: number as u64 + 1,
        });
        let status = v1::NodeStatus {
            node: node.to_string(),
            mode: NodeMode::Serving.into(),
            generation: 1,
            objects: 100,
            bytes: 1 << 30,
            ..Default::default()
        };
        self.observed.note_node(shard, &node, status);
    }

    /// A plan: batches with their nodes and where these go.
    pub(crate) fn plan(&mut self, batches: &[(&str, Moves)]) {
        let batch = |(position, (name, nodes)): (usize, &(&str, Moves))| Batch {
            batch: name.parse().unwrap(),
            plan_revision: 1,
            position: position as u32,
            after: BTreeSet::new(),
            nodes: nodes.iter().cloned().collect::<BTreeMap<_, _>>(),
            when: When::Now,
            windows: vec![],
            force_after_ms: None,
            soak: SoakPolicy { min_ms: 600_000, ..SoakPolicy::default() },
            phase: BatchPhase::Planned,
            paused: false,
            started_at: None,
            ready_at: None,
            cutover_at: None,
            committed_at: None,
            verdict: None,
            orders: Default::default(),
        };
        let plan = AppliedPlan { revision: 1, text: String::new(), applied_at: PLANNED };
        let batches = batches.iter().enumerate().map(batch).collect();
        self.world.apply(&Event::PlanApplied { plan, batches, accept_damaged: vec![] });
    }

    /// A batch begins, and these nodes of it copy: so many bytes are at their targets.
    pub(crate) fn copy(&mut self, batch: &str, at: UnixMillis, nodes: &[(NodeId, u64)]) {
        let batch: BatchId = batch.parse().unwrap();
        if self.world.batches[&batch].phase == BatchPhase::Planned {
            self.world.apply(&Event::BatchStarted { batch, at });
        }
        for (node, done) in nodes {
            let moving = self.world.nodes[node].migration.clone().unwrap();
            if moving.stage == Stage::Planned {
                for (step, stage) in [Stage::Offering, Stage::Starting, Stage::Copying].into_iter().enumerate() {
                    let step = Step(step as u64 + 1);
                    self.world.apply(&Event::StageEntered { node: node.clone(), stage, step, at });
                }
            }
            let replica = v1::Replica { bytes_total: 1 << 30, bytes_done: *done, ..Default::default() };
            let status =
                v1::NodeStatus { replica: Some(replica), mode: NodeMode::Incoming.into(), ..Default::default() };
            self.observed.note_node(&moving.target, node, status);
        }
    }

    pub(crate) fn recorded(self) -> (Recorded, Observed) {
        let (world, history) = (self.world, History::default());
        (Recorded { world, revision: Seq(1), history, receipts: BTreeMap::new() }, self.observed)
    }
}
