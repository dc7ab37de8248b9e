//! The target is gone for good: what is said of it, what is refused, and how its source takes over without it.

use super::bench::{Bench, Running, SHARDS, eventually};
use super::yard::Copy;
use shardlift_api::fault::FaultKind;
use shardlift_api::v1::operator_server::Operator as _;
use shardlift_api::v1::{self, NodeMode};
use shardlift_migration::{BatchPhase, Direction, Stage};
use shardlift_model::{Generation, NodeId, ShardId};
use shardlift_store::MemoryStore;
use std::sync::Arc;
use tonic::{Request, Status};

const NODE: &str = "acme/web-1";

fn node() -> NodeId {
    NODE.parse().unwrap()
}

fn source() -> ShardId {
    "source".parse().unwrap()
}

/// A plan that moves the node to this shard.
async fn plan(running: &Running, target: &str) {
    let request =
        v1::MakePlanRequest { source: "source".into(), targets: vec![target.to_owned()], ..Default::default() };
    // A shard that was not looked at yet is none to a planner.
    let mut made = running.operator.make_plan(Request::new(request.clone())).await;
    for _ in 0..500 {
        if made.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        made = running.operator.make_plan(Request::new(request.clone())).await;
    }
    let toml = made.unwrap().into_inner().toml;
    let check = running.operator.check_plan(Request::new(v1::CheckPlanRequest { toml: toml.clone() })).await.unwrap();
    let request = v1::ApplyPlanRequest { toml, revision: check.into_inner().revision, ..Default::default() };
    running.operator.apply_plan(Request::new(request)).await.unwrap();
}

struct Scene {
    bench: Bench,
    running: Running,
    target: ShardId,
}

impl Scene {
    /// A node whose batch is on its way; nothing has been committed yet.
    async fn begun() -> Self {
        let bench = Bench::new(&[NODE]).await;
        let running = bench.lead(Arc::new(MemoryStore::new("c1".parse().unwrap()))).await;
        running.add_parts(&bench, 1).await.unwrap();
        plan(&running, SHARDS[1]).await;
        let target = running.world(|world| world.nodes[&node()].migration.as_ref().unwrap().target.clone());
        Self { bench, running, target }
    }

    async fn start(&self) {
        let batch = self.running.world(|world| world.nodes[&node()].migration.as_ref().unwrap().batch.to_string());
        self.running.operator.start_batch(Request::new(v1::BatchRequest { batch })).await.unwrap();
    }

    async fn soaking() -> Self {
        let scene = Self::begun().await;
        scene.start().await;
        scene.running.enrol(&scene.bench, NODE).await.unwrap();
        scene.reaches(Stage::Soaking).await;
        eventually("its batch soaks", || scene.batch_phase() == BatchPhase::Soaking).await;
        scene
    }

    async fn reaches(&self, stage: Stage) {
        eventually(&format!("it is {stage}"), || self.stage() == stage).await;
    }

    fn stage(&self) -> Stage {
        self.running.world(|world| world.nodes[&node()].migration.as_ref().unwrap().stage)
    }

    fn batch_phase(&self) -> BatchPhase {
        self.running.world(|world| {
            let batch = &world.nodes[&node()].migration.as_ref().unwrap().batch;
            world.batches[batch].phase
        })
    }

    fn copy(&self, shard: &ShardId) -> Copy {
        self.bench.yard.with(|copies| copies.all[&(shard.clone(), node())].clone())
    }

    /// Clients store something; the follower has it when this returns, and the controller has heard of it.
    async fn write(&self, changes: u64) -> u64 {
        self.bench.yard.with(|copies| copies.write(&node(), changes));
        let seq = self.copy(&self.target).seq;
        let heard = || {
            self.running.context.shared.observed(|observed| {
                observed.heard.get(&node()).and_then(|heard| heard.last()).is_some_and(|look| look.seq == seq)
            })
        };
        eventually("it is followed and heard of", || self.copy(&source()).seq == seq && heard()).await;
        seq
    }

    /// The target falls silent with changes that nobody else has.
    async fn lose(&self, changes: u64) {
        self.bench.yard.with(|copies| {
            copies.gone.insert(self.target.clone());
            if changes > 0 {
                copies.write(&node(), changes);
            }
        });
    }

    fn returns(&self) {
        self.bench.yard.with(|copies| copies.gone.remove(&self.target));
    }

    async fn roll_back(&self, accepted: Option<u64>, rehearse: bool) -> Result<v1::FleetNode, Status> {
        let accepted_loss = accepted.map(|after_seq| v1::AcceptedLoss { after_seq });
        let request =
            v1::RollBackNodeRequest { node: NODE.into(), reason: "disk burnt".into(), rehearse, accepted_loss };
        self.running.operator.roll_back_node(Request::new(request)).await.map(tonic::Response::into_inner)
    }

    /// What stands before it, in words.
    async fn refusal(&self, accepted: Option<u64>, rehearse: bool) -> String {
        let before = self.running.world(Clone::clone);
        let status = self.roll_back(accepted, rehearse).await.unwrap_err();
        assert_eq!(FaultKind::from(&status), FaultKind::Refused, "{status}");
        assert_eq!(self.running.world(Clone::clone), before, "a refusal changes nothing");
        status.message().to_owned()
    }

    async fn accept(&self, after_seq: u64) -> v1::FleetNode {
        self.bench.yard.with(|copies| copies.accept_loss(&node(), after_seq));
        self.roll_back(Some(after_seq), false).await.unwrap()
    }

    async fn preview(&self) -> v1::LossPreview {
        let request = v1::PreviewLossRequest { node: NODE.into() };
        self.running.operator.preview_loss(Request::new(request)).await.unwrap().into_inner()
    }

    async fn diagnosed(&self) -> v1::DiagnoseResponse {
        self.running.operator.diagnose(Request::new(v1::DiagnoseRequest::default())).await.unwrap().into_inner()
    }

    async fn shown(&self) -> v1::FleetNode {
        let request = v1::ShowNodeRequest { node: NODE.into() };
        self.running.operator.show_node(Request::new(request)).await.unwrap().into_inner()
    }

    fn summary(&self) -> (String, String) {
        let view = self.running.context.shared.both(crate::publish::snapshot);
        (view.nodes[&node()].state.to_owned(), view.nodes[&node()].summary.clone())
    }

    async fn end(self) {
        self.bench.assert_sound();
        self.running.end().await.unwrap();
        self.bench.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_answers_is_not_given_up() {
    let scene = Scene::soaking().await;
    let seq = scene.write(5).await;
    let refused = scene.refusal(Some(seq), false).await;
    assert!(refused.contains("answers: nothing has to be lost"), "{refused}");
    assert!(refused.contains(&format!("`shardlift node rollback {NODE}`")), "{refused}");
    let preview = scene.preview().await;
    assert!(preview.writer_answers && preview.problem.contains("answers"), "{preview:?}");
    let both = scene.roll_back(Some(seq), true).await.unwrap_err();
    assert_eq!(FaultKind::from(&both), FaultKind::Invalid, "{both}");
    // A short silence, as of a restart, is waited for.
    scene.lose(0).await;
    let (rolled_back, ()) = tokio::join!(scene.roll_back(None, false), async {
        tokio::time::sleep(scene.running.context.pace.silence / 4).await;
        scene.returns();
    });
    rolled_back.unwrap();
    scene.reaches(Stage::RolledBack).await;
    assert_eq!(scene.shown().await.loss, "");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_takes_over_from_a_target_that_is_gone_and_the_target_gives_up_when_it_returns() {
    let scene = Scene::soaking().await;
    let seq = scene.write(5).await;
    scene.lose(2).await;
    let command = format!("`shardlift node rollback {NODE} --accept-loss {seq}`");
    for rehearse in [false, true] {
        let refused = scene.refusal(None, rehearse).await;
        let gone = format!(
            "{}, which serves {NODE}, does not answer; source has all of its changes up to {seq}",
            scene.target
        );
        assert!(refused.starts_with(&gone) && refused.contains(&command), "{refused}");
    }
    let refused = scene.refusal(Some(seq + 1), false).await;
    assert!(refused.contains(&format!("up to {seq} only")) && refused.contains(&command), "{refused}");
    let preview = scene.preview().await;
    assert_eq!((preview.writer_answers, preview.followed_seq, preview.heard_seq), (false, seq, seq));
    assert_eq!((preview.problem.as_str(), preview.heard_at_unix_ms > 0), ("", true));

    scene.accept(seq).await;
    scene.reaches(Stage::Deposing).await;
    eventually("its batch is back", || scene.batch_phase() == BatchPhase::RolledBack).await;
    let known = scene.running.world(|world| world.nodes[&node()].clone());
    assert_eq!((known.shard, known.generation), (source(), Generation(3)));
    assert_eq!((scene.copy(&source()).mode, scene.copy(&source()).seq), (NodeMode::Serving, seq));
    let shown = scene.shown().await;
    assert!(shown.way_back.is_none() && shown.phase == "rolling_back", "{shown:?}");
    assert!(
        shown.loss.starts_with(&format!("what {} stored after its change {seq}, at 2", scene.target)),
        "{}",
        shown.loss
    );
    assert!(shown.loss.ends_with("disk burnt"), "{}", shown.loss);
    let (state, summary) = scene.summary();
    assert_eq!(state, "not_affected");
    assert!(summary.contains("served by source again. Backups stored between 2"), "{summary}");
    assert!(!summary.contains("burnt"), "{summary}");
    let diagnosed = scene.diagnosed().await;
    assert_eq!((diagnosed.findings, diagnosed.unchecked.len()), (vec![], 1));
    // Asked again, it changes nothing; also with another number.
    let before = scene.running.world(Clone::clone);
    for again in [seq, 0, seq + 9] {
        scene.roll_back(Some(again), false).await.unwrap();
    }
    assert_eq!(scene.running.world(Clone::clone), before);
    assert!(scene.preview().await.problem.contains("already"));

    scene.returns();
    scene.reaches(Stage::RolledBack).await;
    assert_eq!((scene.copy(&scene.target).mode, scene.copy(&scene.target).seq), (NodeMode::Retired, seq + 2));
    let diagnosed = scene.diagnosed().await;
    assert_eq!((diagnosed.findings, diagnosed.unchecked), (vec![], vec![]));
    assert!(scene.shown().await.loss.contains("disk burnt"));

    // The same way once more: what was lost is not brought back by it.
    scene.bench.yard.with(|copies| copies.write(&node(), 1));
    let target = scene.target.clone();
    plan(&scene.running, target.as_str()).await;
    scene.start().await;
    scene.reaches(Stage::Soaking).await;
    assert_eq!((scene.copy(&target).mode, scene.copy(&target).seq), (NodeMode::Serving, seq + 1));
    let known = scene.running.world(|world| world.nodes[&node()].clone());
    let route = scene.bench.table.lock().unwrap().routes[known.server_name.as_str()].clone();
    assert_eq!((route.shard, route.sever), (target.to_string(), false));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_dies_before_its_promotion_is_given_up_with_nothing() {
    let scene = Scene::begun().await;
    scene.bench.yard.with(|copies| {
        copies.mishaps.node = Some(node());
        copies.mishaps.held = Some("promote");
    });
    scene.start().await;
    scene.running.enrol(&scene.bench, NODE).await.unwrap();
    scene.reaches(Stage::Promoting).await;
    scene.lose(0).await;
    let sealed = scene.copy(&source());
    assert_eq!(sealed.mode, NodeMode::Sealed);
    let preview = scene.preview().await;
    assert_eq!((preview.followed_seq, preview.heard_seq, preview.problem.as_str()), (sealed.seq, sealed.seq, ""));
    scene.bench.yard.with(|copies| copies.mishaps.held = None);
    scene.accept(sealed.seq).await;
    scene.reaches(Stage::Deposing).await;
    assert_eq!((scene.copy(&source()).mode, scene.copy(&source()).seq), (NodeMode::Serving, sealed.seq));
    // It was never the writer, and gives the node up all the same.
    scene.returns();
    scene.reaches(Stage::RolledBack).await;
    assert_eq!(scene.copy(&scene.target).mode, NodeMode::Retired);
    let diagnosed = scene.diagnosed().await;
    assert_eq!(diagnosed.findings, vec![]);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_will_never_return_is_written_off_once_clients_are_served() {
    let scene = Scene::soaking().await;
    let seq = scene.write(3).await;
    let write_off = || {
        let request = v1::WriteOffWriterRequest { node: NODE.into() };
        scene.running.operator.write_off_writer(Request::new(request))
    };
    assert_eq!(FaultKind::from(&write_off().await.unwrap_err()), FaultKind::Refused, "it serves the node");
    scene.lose(2).await;
    scene.accept(seq).await;
    scene.reaches(Stage::Deposing).await;
    write_off().await.unwrap();
    scene.reaches(Stage::RolledBack).await;
    write_off().await.unwrap();
    // It is found all the same, and still serves whoever would reach it.
    let was = scene.copy(&scene.target);
    scene.returns();
    let mut found = scene.diagnosed().await.findings;
    if scene.copy(&scene.target).mode == NodeMode::Retired {
        // A command that was on its way when the waiting ended has deposed it after all; the next one that returns meets none.
        scene.bench.yard.with(|copies| copies.all.insert((scene.target.clone(), node()), was));
        found = scene.diagnosed().await.findings;
    }
    assert!(found.iter().any(|finding| finding.what.contains("could take writes")), "{found:?}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_returns_when_nobody_waits_for_it_is_named_by_the_doctor() {
    let scene = Scene::soaking().await;
    let seq = scene.write(3).await;
    scene.lose(0).await;
    let was = scene.copy(&scene.target);
    scene.accept(seq).await;
    scene.reaches(Stage::Deposing).await;
    // It comes back without its data, which counts as done; later its old disk is found.
    scene.bench.yard.with(|copies| copies.all.remove(&(scene.target.clone(), node())));
    scene.returns();
    scene.reaches(Stage::RolledBack).await;
    assert_eq!(scene.diagnosed().await.findings, vec![]);
    scene.bench.yard.with(|copies| copies.all.insert((scene.target.clone(), node()), was));
    let found = scene.diagnosed().await.findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].what.contains("could take writes") && found[0].repair.contains("was given up"), "{found:?}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_rehearses_the_way_back_of_one_node_if_its_target_answers() {
    let scene = Scene::soaking().await;
    scene.write(1).await;
    let batch = scene.running.world(|world| world.nodes[&node()].migration.as_ref().unwrap().batch.to_string());
    let rehearse = |batch: &str| {
        let request = v1::RollBackBatchRequest { batch: batch.to_owned(), rehearse: true, ..Default::default() };
        scene.running.operator.roll_back_batch(Request::new(request))
    };
    let unknown = rehearse("nobody").await.unwrap_err();
    assert_eq!(FaultKind::from(&unknown), FaultKind::NotFound, "{unknown}");
    scene.lose(0).await;
    let refused = rehearse(&batch).await.unwrap_err();
    assert!(refused.message().contains("does not answer"), "{refused}");
    scene.returns();
    rehearse(&batch).await.unwrap();
    let rehearsed = || {
        scene.running.world(|world| {
            let moving = world.nodes[&node()].migration.as_ref().unwrap();
            moving.rehearsed.is_some() && moving.stage == Stage::Soaking && moving.direction == Direction::Forward
        })
    };
    eventually("the way back is rehearsed", rehearsed).await;
    scene.end().await;
}
