//! A batch from plan to soak: in one go, and with a controller that dies at every append.

use super::bench::{Bench, Running, SHARDS, eventually};
use shardlift_api::v1::operator_server::Operator as _;
use shardlift_api::v1::{self, NodeMode};
use shardlift_migration::{BatchPhase, CertificateState, Stage};
use shardlift_model::{BatchId, Generation, NodeId};
use shardlift_store::faulty::{Fault, FaultPlan, FaultyStore};
use shardlift_store::{MemoryStore, Store as _};
use std::sync::Arc;
use tonic::{Request, Status};

const NODES: [&str; 3] = ["acme/web-1", "acme/web-2", "globex"];

fn store() -> MemoryStore {
    MemoryStore::new("c1".parse().unwrap())
}

fn batches(running: &Running) -> Vec<BatchId> {
    running.world(|world| crate::operator::in_order(world).map(|batch| batch.batch.clone()).collect())
}

fn phase(running: &Running, batch: &BatchId) -> BatchPhase {
    running.world(|world| world.batches[batch].phase)
}

fn all_soak(running: &Running) -> bool {
    running.world(|world| {
        !world.batches.is_empty() && world.batches.values().all(|batch| batch.phase == BatchPhase::Soaking)
    })
}

/// What must be true when the moves are done, whatever happened on the way.
fn assert_moved(bench: &Bench, running: &Running) {
    bench.assert_sound();
    for name in NODES {
        let node: NodeId = name.parse().unwrap();
        let known = running.world(|world| world.nodes[&node].clone());
        assert_ne!(known.shard.as_str(), "source", "{name}");
        assert_eq!(known.generation, Generation(2), "{name}");
        assert_eq!(known.migration.as_ref().unwrap().stage, Stage::Soaking, "{name}");
        bench.yard.with(|copies| {
            let at = |shard: &str| copies.all.get(&(shard.parse().unwrap(), node.clone())).cloned();
            let (source, target) = (at("source").unwrap(), at(known.shard.as_str()).unwrap());
            assert_eq!((source.mode, target.mode), (NodeMode::Incoming, NodeMode::Serving), "{name}");
            assert_eq!((target.seq, target.generation), (source.seq, 2), "{name}");
            assert_eq!(source.source, Some(known.shard.clone()), "{name}: the way back");
            let copies_of = SHARDS.iter().filter_map(|shard| at(shard)).filter(|copy| copy.mode == NodeMode::Serving);
            assert_eq!(copies_of.count(), 1, "{name}");
        });
        let route = bench.table.lock().unwrap().routes[known.server_name.as_str()].clone();
        assert_eq!(route.shard, known.shard.as_str(), "{name}");
    }
    let version = running.world(|world| world.route_version);
    assert_eq!(bench.table.lock().unwrap().version, version);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_of_three_nodes_moves_batch_by_batch_and_is_released() {
    let bench = Bench::new(&NODES).await;
    let running = bench.lead(Arc::new(store())).await;
    running.add_parts(&bench, 3).await.unwrap();
    running.apply_plan().await.unwrap();
    for batch in batches(&running) {
        let request = v1::BatchRequest { batch: batch.to_string() };
        running.operator.start_batch(Request::new(request)).await.unwrap();
        let names: Vec<NodeId> = running.world(|world| world.batches[&batch].nodes.keys().cloned().collect());
        let waits = |stage| {
            running.world(|world| names.iter().all(|n| world.nodes[n].migration.as_ref().unwrap().stage == stage))
        };
        eventually("the certificate is the gate", || waits(Stage::AwaitingCertificate)).await;
        for node in &names {
            running.enrol(&bench, node.as_str()).await.unwrap();
        }
        eventually("the batch soaks", || phase(&running, &batch) == BatchPhase::Soaking).await;
    }
    assert_moved(&bench, &running);
    for batch in batches(&running) {
        let request = v1::ReleaseBatchRequest { batch: batch.to_string(), force: false };
        running.operator.release_batch(Request::new(request)).await.unwrap();
        eventually("the batch is released", || phase(&running, &batch) == BatchPhase::Released).await;
        let ended = || {
            running.world(|world| {
                let nodes = &world.batches[&batch].nodes;
                nodes.keys().all(|node| world.nodes[node].migration.as_ref().unwrap().stage == Stage::Released)
            })
        };
        eventually("old credentials have ended", ended).await;
    }
    let status = running.operator.get_status(Request::new(v1::GetStatusRequest {})).await.unwrap().into_inner();
    assert_eq!(status.alerts, Vec::<String>::new());
    assert_eq!(status.nodes, 3);
    running.end().await.unwrap();
    bench.end().await;
}

/// One step of an operator who repeats what was not acknowledged.
async fn push(bench: &Bench, running: &Running) -> Result<(), Status> {
    if running.world(|world| world.shards.len() < 3 || world.routers.is_empty() || world.nodes.len() < 3) {
        return running.add_parts(bench, 3).await;
    }
    if running.world(|world| world.plan.is_none()) {
        running.apply_plan().await?;
        return Ok(());
    }
    for batch in batches(running) {
        if phase(running, &batch) == BatchPhase::Planned {
            running.operator.start_batch(Request::new(v1::BatchRequest { batch: batch.to_string() })).await?;
        }
    }
    for node in NODES {
        let certificate = running.world(|world| world.nodes[&node.parse().unwrap()].certificate.clone());
        match certificate {
            CertificateState::None | CertificateState::TokenCreated => running.enrol(bench, node).await?,
            // The answer was lost with the controller; the client would ask again, here it was issued and is used.
            CertificateState::Issued { serial } => bench.use_certificate(node, &serial),
            CertificateState::InUse { .. } => {}
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_dies_at_every_append_comes_to_the_same_end() {
    let bench = Bench::new(&NODES).await;
    let journal = store();
    let mut lives = 0;
    loop {
        lives += 1;
        assert!(lives < 400, "no end after {lives} lives");
        // Campaign and leadership go through, then one more append; the next one is done without being acknowledged, or torn.
        let last = if lives % 2 == 0 { Fault::FailAfter } else { Fault::Torn };
        let faults = [Fault::None, Fault::None, Fault::None, last];
        let running = bench.lead(Arc::new(FaultyStore::new(journal.clone(), FaultPlan::script(faults)))).await;
        let mut pushed = Ok(());
        for _ in 0..200 {
            if running.has_ended() || all_soak(&running) {
                break;
            }
            if pushed.is_ok() {
                pushed = push(&bench, &running).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        bench.assert_sound();
        if all_soak(&running) && !running.has_ended() {
            assert_moved(&bench, &running);
            // A last append may still be under way; whether it fails is of no concern any more.
            let _ended = running.end().await;
            break;
        }
        let _failed_by_plan = running.end().await;
    }
    println!("{lives} lives, {} records", journal.last().unwrap());
    assert!(lives > 10, "the faults did not bite: {lives} lives");
    let running = bench.lead(Arc::new(journal)).await;
    assert_moved(&bench, &running);
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_of_unknown_outcome_is_never_acknowledged_and_ends_the_loop() {
    for (fault, is_recorded) in [(Fault::FailAfter, true), (Fault::Torn, false)] {
        let bench = Bench::new(&NODES).await;
        let journal = store();
        let faults = [Fault::None, Fault::None, fault];
        let running = bench.lead(Arc::new(FaultyStore::new(journal.clone(), FaultPlan::script(faults)))).await;
        let control_address = bench.addresses["source"].clone();
        let request = v1::AddShardRequest { shard: "source".into(), control_address };
        let refusal = running.operator.add_shard(Request::new(request)).await.unwrap_err();
        assert_eq!(refusal.code(), tonic::Code::Unavailable, "{refusal:?}");
        assert!(running.world(|world| world.shards.is_empty()), "nothing shows before it is durable");
        eventually("the loop has ended", || running.has_ended()).await;
        assert!(running.end().await.is_err());
        let running = bench.lead(Arc::new(journal)).await;
        assert_eq!(running.world(|world| world.shards.len() == 1), is_recorded, "{fault:?}");
        running.end().await.unwrap();
        bench.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_controller_ends_the_first() {
    let bench = Bench::new(&NODES).await;
    let journal = store();
    let first = bench.lead(Arc::new(journal.clone())).await;
    eventually("the first one leads", || first.world(|world| world.term.0 == 1)).await;
    let second = bench.lead(Arc::new(journal)).await;
    let refused = first.add_parts(&bench, 3).await;
    assert!(refused.is_err() && first.world(|world| world.shards.is_empty()));
    assert!(first.end().await.is_err());
    second.add_parts(&bench, 3).await.unwrap();
    second.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_does_not_fit_together_is_refused_with_its_number() {
    let bench = Bench::new(&[]).await;
    let journal = store();
    bench.lead(Arc::new(journal.clone())).await.end().await.unwrap();
    let last = journal.last().unwrap();
    let term = journal.campaign().unwrap();
    let event = shardlift_migration::Event::BatchReleased { batch: "b".parse().unwrap(), at: crate::clock::now() };
    let entry = crate::journal::Entry { at: crate::clock::now(), event };
    journal.append(term, last, &[entry.to_record().unwrap()]).unwrap();
    let empty = shardlift_migration::World::new("c1".parse().unwrap(), "backup.example".parse().unwrap());
    let metrics = crate::metrics::Metrics::new();
    let (audit, _writing) = crate::audit::Audit::in_memory(&empty.cluster);
    let (own, pace) = (bench.controller.clone(), super::bench::pace());
    let prepared = crate::lead::prepare(Arc::new(journal), empty, own, pace, metrics, audit).await;
    let text = shardlift_api::fault::chain(&prepared.unwrap_err());
    assert!(text.contains(&format!("record {}", last.next())), "{text}");
    bench.end().await;
}

/// Starts all batches and lets all nodes use their certificates.
async fn start_all(bench: &Bench, running: &Running) {
    running.add_parts(bench, 3).await.unwrap();
    running.apply_plan().await.unwrap();
    push(bench, running).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_that_is_lost_is_set_again() {
    for command in ["complete_replica", "seal"] {
        let bench = Bench::new(&NODES).await;
        bench.yard.with(|copies| copies.refuse_next.insert(command, 1));
        let running = bench.lead(Arc::new(store())).await;
        start_all(&bench, &running).await;
        eventually("all batches soak", || all_soak(&running)).await;
        assert_moved(&bench, &running);
        let fences = bench.yard.with(|copies| copies.commands["fence"]);
        assert!(fences > NODES.len(), "{command}: {fences} fences");
        running.end().await.unwrap();
        bench.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_fence_does_not_hold_leaves_its_batch_and_is_served_by_its_source() {
    let bench = Bench::new(&NODES).await;
    bench.yard.with(|copies| copies.refuse_next.insert("seal", 1000));
    let running = bench.lead(Arc::new(store())).await;
    start_all(&bench, &running).await;
    let first = batches(&running)[0].clone();
    eventually("the batch is given up", || phase(&running, &first) == BatchPhase::Aborted).await;
    let node = running.world(|world| world.batches[&first].nodes.keys().next().unwrap().clone());
    let stage = || running.world(|world| world.nodes[&node].migration.as_ref().unwrap().stage);
    eventually("the move is undone", || stage() == Stage::Aborted).await;
    bench.assert_sound();
    assert_eq!(running.world(|world| world.nodes[&node].shard.to_string()), "source");
    let key = ("source".parse().unwrap(), node.clone());
    assert_eq!(bench.yard.with(|copies| copies.all[&key].mode), NodeMode::Serving);
    running.end().await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_read_of_their_own_nodes_only() {
    let bench = Bench::new(&NODES).await;
    let running = bench.lead(Arc::new(store())).await;
    start_all(&bench, &running).await;
    eventually("all batches soak", || all_soak(&running)).await;
    let view = running.context.shared.both(crate::publish::snapshot);
    assert!(view.worklog.len() > 20 && view.nodes.values().all(|node| node.state == "moved"));
    for (customer, others) in [("acme", &["globex"][..]), ("globex", &["acme", "web-1", "web-2"][..])] {
        let own = view.worklog.iter().filter(|entry| {
            entry.customers.is_empty() || entry.customers.iter().any(|concerned| concerned.as_str() == customer)
        });
        let texts: Vec<&str> = own.map(|entry| entry.text.as_str()).collect();
        assert!(texts.iter().any(|text| text.contains(customer)), "{texts:?}");
        for text in texts {
            assert!(!others.iter().any(|other| text.contains(other)), "INV-10: {customer} reads {text:?}");
        }
    }
    let request = v1::ExplainNodeRequest { node: "globex".into() };
    let told = running.operator.explain_node(Request::new(request)).await.unwrap().into_inner();
    assert!(told.history.iter().any(|line| line.contains("was verified equal")), "{:?}", told.history);
    running.end().await.unwrap();
    bench.end().await;
}
