//! A batch whose targets are gone in part: what is refused as a whole, what goes back how, what is set for its nodes afterwards,
//! and who is waited for no longer.

use super::bench::{Bench, Running, SHARDS, eventually};
use super::yard::Copy;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1::operator_server::Operator as _;
use shardlift_api::v1::{self, NodeMode};
use shardlift_migration::{BatchPhase, Input, Stage, When};
use shardlift_model::{NodeId, ShardId};
use shardlift_planner::{Plan, PlanBatch, SoakPolicy};
use shardlift_store::MemoryStore;
use std::collections::BTreeSet;
use std::sync::Arc;
use tonic::{Request, Status};

const BATCH: &str = "one";

/// The node with the target that stays.
const SAFE: &str = "globex";

/// The others, and where they go.
const LOST: [&str; 2] = ["acme/web-1", "acme/web-2"];

const NODES: [&str; 3] = [LOST[0], LOST[1], SAFE];

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn shard(name: &str) -> ShardId {
    name.parse().unwrap()
}

struct Scene {
    bench: Bench,
    running: Running,
}

impl Scene {
    /// One batch to two targets, served by them.
    async fn soaking() -> Self {
        let bench = Bench::new(&NODES).await;
        let running = bench.lead(Arc::new(MemoryStore::new("c1".parse().unwrap()))).await;
        running.add_parts(&bench, NODES.len()).await.unwrap();
        let target = |name: &&str| (node(name), shard(if *name == SAFE { SHARDS[2] } else { SHARDS[1] }));
        let batch = PlanBatch {
            name: BATCH.parse().unwrap(),
            after: BTreeSet::new(),
            nodes: NODES.iter().map(target).collect(),
            when: When::Now,
            windows: vec![],
            force_after_ms: None,
            soak: SoakPolicy { min_ms: 3_600_000, ..SoakPolicy::default() },
        };
        let plan = Plan::new(1, 0, shard("source"), BTreeSet::new(), vec![batch]).unwrap();
        let input = Input::ApplyPlan { plan, text: String::new(), reviewed_revision: 1 };
        running.context.inputs.submit(input).await.map_err(|unheard| Status::from(Fault::from(unheard))).unwrap();
        running.operator.start_batch(Request::new(v1::BatchRequest { batch: BATCH.into() })).await.unwrap();
        for name in NODES {
            running.enrol(&bench, name).await.unwrap();
        }
        let scene = Self { bench, running };
        scene.comes_to(BatchPhase::Soaking).await;
        scene
    }

    async fn comes_to(&self, phase: BatchPhase) {
        let batch = BATCH.parse().unwrap();
        eventually(&format!("the batch is {}", phase.as_str()), || {
            self.running.world(|world| world.batches[&batch].phase) == phase
        })
        .await;
    }

    async fn reaches(&self, name: &str, stage: Stage) {
        eventually(&format!("{name} is {stage}"), || self.stage(name) == stage).await;
    }

    fn stage(&self, name: &str) -> Stage {
        self.running.world(|world| world.nodes[&node(name)].migration.as_ref().unwrap().stage)
    }

    fn copy(&self, at: &str, name: &str) -> Copy {
        self.bench.yard.with(|copies| copies.all[&(shard(at), node(name))].clone())
    }

    /// Clients of all nodes store something, which is followed; what the nodes of the first target store next is there alone, and
    /// heard of, when that falls silent.
    async fn lose(&self, changes: u64) {
        for name in NODES {
            self.bench.yard.with(|copies| copies.write(&node(name), 4));
            let seq = self.seq(name);
            eventually("it is followed", || self.copy("source", name).seq == seq).await;
        }
        self.bench.yard.with(|copies| {
            copies.gone.insert(shard(SHARDS[1]));
            LOST.iter().filter(|_| changes > 0).for_each(|name| copies.write(&node(name), changes));
        });
    }

    fn returns(&self) {
        self.bench.yard.with(|copies| copies.gone.remove(&shard(SHARDS[1])));
    }

    fn seq(&self, name: &str) -> u64 {
        self.copy(if name == SAFE { SHARDS[2] } else { SHARDS[1] }, name).seq
    }

    /// What the old copies of the nodes with a lost target have.
    fn kept(&self) -> [u64; 2] {
        LOST.map(|name| self.copy("source", name).seq)
    }

    async fn roll_back(&self, losses: &[(&str, u64)]) -> Result<v1::BatchView, Status> {
        let loss = |(node, after_seq): &(&str, u64)| v1::NodeLoss { node: (*node).into(), after_seq: *after_seq };
        let accepted_losses = losses.iter().map(loss).collect();
        let (batch, reason) = (BATCH.to_owned(), "disk burnt".to_owned());
        let request = v1::RollBackBatchRequest { batch, reason, rehearse: false, accepted_losses };
        self.running.operator.roll_back_batch(Request::new(request)).await.map(tonic::Response::into_inner)
    }

    async fn refusal(&self, losses: &[(&str, u64)]) -> String {
        let before = self.running.world(Clone::clone);
        let status = self.roll_back(losses).await.unwrap_err();
        assert_eq!(FaultKind::from(&status), FaultKind::Refused, "{status}");
        assert_eq!(self.running.world(Clone::clone), before, "a refusal begins nothing");
        status.message().to_owned()
    }

    fn accept(&self, losses: &[(&str, u64)]) {
        self.bench.yard.with(|copies| losses.iter().for_each(|(name, seq)| copies.accept_loss(&node(name), *seq)));
    }

    async fn preview(&self) -> v1::BatchLossPreview {
        let request = v1::PreviewBatchLossRequest { batch: BATCH.into() };
        self.running.operator.preview_batch_loss(Request::new(request)).await.unwrap().into_inner()
    }

    async fn findings(&self) -> Vec<v1::Finding> {
        let request = Request::new(v1::DiagnoseRequest::default());
        self.running.operator.diagnose(request).await.unwrap().into_inner().findings
    }

    async fn status(&self) -> v1::BatchView {
        let listed = self.running.operator.list_batches(Request::new(v1::ListBatchesRequest::default())).await.unwrap();
        listed.into_inner().batches.remove(0)
    }

    async fn set(&self, name: &str, request: v1::ChangeSettingsRequest) -> Result<v1::FleetNode, Status> {
        let request = v1::ChangeSettingsRequest { node: name.into(), ..request };
        self.running.operator.change_settings(Request::new(request)).await.map(tonic::Response::into_inner)
    }

    async fn write_off(&self, name: &str) -> Result<v1::FleetNode, Status> {
        let request = v1::WriteOffWriterRequest { node: name.into() };
        self.running.operator.write_off_writer(Request::new(request)).await.map(tonic::Response::into_inner)
    }

    async fn end(self) {
        self.bench.assert_sound();
        self.running.end().await.unwrap();
        self.bench.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_with_a_target_that_is_gone_is_refused_until_all_of_the_loss_is_accepted() {
    let scene = Scene::soaking().await;
    let answering = scene.preview().await;
    assert!(answering.problem.contains("answers: nothing has to be lost"), "{answering:?}");
    scene.lose(2).await;
    let kept = scene.kept();
    let refused = scene.refusal(&[]).await;
    assert!(refused.starts_with("without shard-b, 2 nodes of batch one cannot go back without loss"), "{refused}");
    for (name, kept) in LOST.iter().zip(kept) {
        let line =
            format!("{name}: shard-b, which serves it, does not answer; source has all of its changes up to {kept}");
        assert!(refused.contains(&line), "{refused}");
    }
    assert!(refused.contains("without loss go back: globex"), "{refused}");
    assert!(refused.contains("`shardlift batch rollback one --accept-loss`"), "{refused}");
    let refused = scene.refusal(&[(LOST[0], kept[0])]).await;
    assert!(refused.contains("1 node of batch one") && !refused.contains(&format!("{}: ", LOST[0])), "{refused}");
    let refused = scene.refusal(&[(LOST[0], kept[0]), (LOST[1], kept[1] + 1)]).await;
    assert!(refused.contains(&format!("given up were only those after {}", kept[1] + 1)), "{refused}");
    let stranger = scene.roll_back(&[(LOST[0], 0), (LOST[1], 0), ("initech", 0)]).await.unwrap_err();
    assert_eq!(FaultKind::from(&stranger), FaultKind::Invalid, "{stranger}");
    let request = v1::RollBackBatchRequest { batch: BATCH.into(), rehearse: true, ..Default::default() };
    let accepted_losses = vec![v1::NodeLoss { node: SAFE.into(), after_seq: 1 }];
    let both = v1::RollBackBatchRequest { accepted_losses, ..request };
    let both = scene.running.operator.roll_back_batch(Request::new(both)).await.unwrap_err();
    assert_eq!(FaultKind::from(&both), FaultKind::Invalid, "{both}");

    let preview = scene.preview().await;
    assert_eq!((preview.problem.as_str(), preview.nodes.len()), ("", 3));
    for shown in &preview.nodes {
        let is_lost = LOST.contains(&shown.node.as_str());
        assert_eq!((shown.writer_answers, shown.problem.as_str()), (!is_lost, ""), "{shown:?}");
    }
    let named: Vec<(&str, u64)> = preview.nodes.iter().map(|shown| (shown.node.as_str(), shown.followed_seq)).collect();
    scene.accept(&[(LOST[0], kept[0]), (LOST[1], kept[1])]);
    scene.roll_back(&named).await.unwrap();
    LOST.iter().zip(kept).for_each(|(name, seq)| assert!(named.contains(&(*name, seq)), "{named:?}"));
    for name in LOST {
        scene.reaches(name, Stage::Deposing).await;
    }
    scene.reaches(SAFE, Stage::RolledBack).await;
    scene.comes_to(BatchPhase::RolledBack).await;
    assert_eq!(scene.kept(), kept);
    assert_eq!(scene.copy("source", SAFE).seq, scene.seq(SAFE), "it lost nothing");
    let status = scene.status().await;
    let lost: Vec<_> =
        status.nodes.iter().filter(|node| !node.loss.is_empty()).map(|node| node.node.as_str()).collect();
    assert_eq!(lost, LOST);
    assert!(status.waiting_for.iter().any(|why| why.contains("give up what it has when it returns")), "{status:?}");
    // The answer may have been lost: asked again, it changes nothing.
    let before = scene.running.world(Clone::clone);
    for again in [&named[..], &[], &[(LOST[0], 0)]] {
        scene.roll_back(again).await.unwrap();
    }
    assert_eq!(scene.running.world(Clone::clone), before);
    assert!(scene.preview().await.problem.contains("are back or on their way"));

    scene.returns();
    for name in LOST {
        scene.reaches(name, Stage::RolledBack).await;
        assert_eq!(scene.copy(SHARDS[1], name).mode, NodeMode::Retired);
    }
    assert_eq!(scene.findings().await, vec![]);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_which_every_shard_answers_goes_back_with_all_of_its_changes_whatever_is_accepted() {
    let scene = Scene::soaking().await;
    scene.lose(0).await;
    scene.returns();
    scene.roll_back(&[(LOST[0], 0), (SAFE, 0)]).await.unwrap();
    scene.comes_to(BatchPhase::RolledBack).await;
    for name in NODES {
        scene.reaches(name, Stage::RolledBack).await;
        assert_eq!(scene.copy("source", name).seq, scene.seq(name));
    }
    assert!(scene.status().await.nodes.iter().all(|node| node.loss.is_empty()));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_set_at_the_target_is_in_force_at_the_source_however_the_node_goes_back() {
    let scene = Scene::soaking().await;
    let hold = v1::NewHold { id: "case-17".into(), reason: "court".into() };
    for name in [LOST[0], SAFE] {
        let request = v1::ChangeSettingsRequest {
            quota_bytes: Some(1 << 30),
            append_only: Some(true),
            holds: vec![hold.clone()],
            ..Default::default()
        };
        let set = scene.set(name, request).await.unwrap();
        assert_eq!((set.quota_bytes, set.append_only, set.holds.len()), (1 << 30, true, 1));
    }
    let long = v1::NewHold { id: "x".into(), reason: "r".repeat(20_000) };
    let refused = scene.set(SAFE, v1::ChangeSettingsRequest { holds: vec![long], ..Default::default() }).await;
    assert_eq!(FaultKind::from(&refused.unwrap_err()), FaultKind::Refused, "more than can be recorded");
    assert_eq!(scene.copy("source", LOST[0]).settings, v1::NodeSettings::default(), "the old copy does not hear of it");
    scene.lose(1).await;
    let kept = scene.kept();
    let losses = [(LOST[0], kept[0]), (LOST[1], kept[1])];
    scene.accept(&losses);
    // Before the promotion: no client ever finds the node without its holds.
    scene.bench.yard.with(|copies| {
        copies.mishaps.node = Some(node(LOST[0]));
        copies.mishaps.held = Some("promote");
    });
    scene.roll_back(&losses).await.unwrap();
    scene.reaches(LOST[0], Stage::Promoting).await;
    let settings = |name: &str| {
        let found = scene.copy("source", name).settings;
        (found.quota_bytes, found.append_only, found.holds.into_iter().map(|hold| hold.reason).collect::<Vec<_>>())
    };
    let set = || (1_u64 << 30, true, vec!["court".to_owned()]);
    eventually("it has what was set", || settings(LOST[0]) == set()).await;
    assert_eq!(scene.copy("source", LOST[0]).mode, NodeMode::Incoming);
    let moving = scene.set(LOST[0], v1::ChangeSettingsRequest { quota_bytes: Some(1), ..Default::default() }).await;
    assert_eq!(FaultKind::from(&moving.unwrap_err()), FaultKind::Refused, "it changes hands");
    scene.bench.yard.with(|copies| copies.mishaps.held = None);
    scene.reaches(LOST[0], Stage::Deposing).await;
    scene.reaches(SAFE, Stage::RolledBack).await;
    assert_eq!((settings(LOST[0]), settings(SAFE)), (set(), set()));
    assert_eq!(settings(LOST[1]), (0, false, vec![]), "nothing was ever set for it");
    // Long before the target returns, if it does.
    let request = v1::ChangeSettingsRequest { ended_holds: vec!["case-17".into()], ..Default::default() };
    assert!(scene.set(LOST[0], request).await.unwrap().holds.is_empty());
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_dies_after_the_commit_of_a_way_back_is_written_off_and_named_if_it_serves() {
    for held in ["retire", "detach"] {
        let scene = Scene::soaking().await;
        scene.bench.yard.with(|copies| {
            copies.mishaps.node = Some(node(LOST[0]));
            copies.mishaps.held = Some(held);
        });
        scene.roll_back(&[]).await.unwrap();
        let stage = if held == "retire" { Stage::Retiring } else { Stage::Detaching };
        scene.reaches(LOST[0], stage).await;
        let answers = scene.write_off(LOST[0]).await.unwrap_err();
        assert_eq!(FaultKind::from(&answers), FaultKind::Refused, "{answers}");
        assert!(answers.message().contains("shard-b, which acme/web-1 went back from, answers"), "{answers}");
        scene.reaches(LOST[1], Stage::RolledBack).await;
        scene.bench.yard.with(|copies| copies.gone.insert(shard(SHARDS[1])));
        let request = v1::ExplainNodeRequest { node: LOST[0].into() };
        let told = scene.running.operator.explain_node(Request::new(request)).await.unwrap().into_inner();
        assert!(told.unblock.iter().any(|what| what.contains("`shardlift node write-off acme/web-1`")), "{told:?}");
        let was = scene.copy(SHARDS[1], LOST[0]);
        for _ in 0..2 {
            scene.write_off(LOST[0]).await.unwrap();
        }
        scene.reaches(LOST[0], Stage::RolledBack).await;
        scene.comes_to(BatchPhase::RolledBack).await;
        assert_eq!(scene.copy("source", LOST[0]).mode, NodeMode::Serving);
        assert!(scene.status().await.nodes.iter().all(|node| node.loss.is_empty()), "nothing was lost");
        scene.bench.yard.with(|copies| copies.mishaps.held = None);
        scene.returns();
        // As it was when it fell silent: it parks or forwards, and takes no writes.
        assert!(matches!(was.mode, NodeMode::Sealed | NodeMode::Incoming), "{was:?}");
        assert_eq!(scene.findings().await, vec![]);
        scene.bench.assert_sound();
        // From an old backup of its disk.
        let older = Copy { mode: NodeMode::Serving, ..was };
        scene.bench.yard.with(|copies| copies.all.insert((shard(SHARDS[1]), node(LOST[0])), older));
        let found = scene.findings().await;
        assert!(found.iter().any(|finding| finding.what.contains("could take writes")), "{found:?}");
        assert!(found.iter().any(|finding| finding.repair.contains("was given up")), "{found:?}");
        scene.running.end().await.unwrap();
        scene.bench.end().await;
    }
}
