//! The receipt of a completed move: refused before, made once, the same bytes in every later life of the controller.

use super::bench::{Bench, Running, eventually};
use shardlift_api::v1;
use shardlift_api::v1::operator_server::Operator as _;
use shardlift_migration::BatchPhase;
use shardlift_model::{BatchId, NodeId};
use shardlift_pki::certificates_in;
use shardlift_receipt::{Receipt, verify};
use shardlift_store::faulty::{Fault, FaultPlan, FaultyStore};
use shardlift_store::{MemoryStore, Seq, Store as _};
use std::sync::Arc;
use tonic::{Code, Request, Status};

const NODE: &str = "acme/web-1";

fn store() -> MemoryStore {
    MemoryStore::new("c1".parse().unwrap())
}

async fn ask(running: &Running, batch: &str) -> Result<v1::ReceiptFile, Status> {
    let request = v1::GetReceiptRequest { node: NODE.to_owned(), batch: batch.to_owned() };
    running.operator.get_receipt(Request::new(request)).await.map(tonic::Response::into_inner)
}

async fn listed(running: &Running, batch: &BatchId) -> v1::ReceiptLine {
    let request = v1::ListReceiptsRequest { batch: batch.to_string() };
    let lines = running.operator.list_receipts(Request::new(request)).await.unwrap().into_inner().receipts;
    assert_eq!(lines.len(), 1);
    lines[0].clone()
}

fn is_due(running: &Running) -> bool {
    running.world(|world| !world.nodes[&NODE.parse::<NodeId>().unwrap()].receipts_due.is_empty())
}

fn has_receipt(running: &Running) -> bool {
    running.world(|world| !world.nodes[&NODE.parse::<NodeId>().unwrap()].receipts.is_empty())
}

/// What a journal held when the controller died just before the receipt, whether or not this one came to make it.
fn before_the_receipt(journal: &MemoryStore) -> MemoryStore {
    let records = journal.read(Seq::ZERO, 10_000).unwrap().into_iter().map(|(_, record)| record);
    let kept: Vec<_> =
        records.take_while(|record| !String::from_utf8_lossy(record).contains("receipt_issued")).collect();
    let cut = store();
    let term = cut.campaign_above(journal.term().unwrap()).unwrap();
    cut.append(term, Seq::ZERO, &kept).unwrap();
    cut
}

/// One node, moved up to its soak, which has shown what it has to.
async fn soaking(bench: &Bench, running: &Running) -> BatchId {
    running.add_parts(bench, 1).await.unwrap();
    let refused = ask(running, "").await.unwrap_err();
    assert!(refused.message().contains("has never moved"), "{refused:?}");
    running.apply_plan().await.unwrap();
    let batch = running.world(|world| world.batches.keys().next().unwrap().clone());
    let request = v1::BatchRequest { batch: batch.to_string() };
    running.operator.start_batch(Request::new(request)).await.unwrap();
    running.enrol(bench, NODE).await.unwrap();
    eventually("the batch soaks", || running.world(|world| world.batches[&batch].phase == BatchPhase::Soaking)).await;
    let seen = || {
        running.world(|world| {
            let node = &world.nodes[&NODE.parse::<NodeId>().unwrap()];
            node.migration.as_ref().unwrap().soak.histories.len() == 2
        })
    };
    eventually("both shards have said what went along", seen).await;
    batch
}

async fn release(running: &Running, batch: &BatchId) {
    let request = v1::ReleaseBatchRequest { batch: batch.to_string(), force: true };
    running.operator.release_batch(Request::new(request)).await.unwrap();
}

fn checked(bench: &Bench, file: &v1::ReceiptFile) -> Receipt {
    let ca = std::fs::read_to_string(bench.ca.dir.path().join("ca.pem")).unwrap();
    verify(&file.receipt, &certificates_in(&ca).unwrap()).unwrap().receipt
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_is_refused_before_the_soak_has_ended_and_says_what_was_recorded_after_it() {
    let bench = Bench::new(&[NODE]).await;
    let journal = store();
    let running = bench.lead(Arc::new(journal.clone())).await;
    let batch = soaking(&bench, &running).await;
    let refused = ask(&running, "").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert!(refused.message().contains("is soaking; a receipt is made when its soak has ended"), "{refused:?}");
    assert!(listed(&running, &batch).await.missing.contains("is soaking"));
    release(&running, &batch).await;
    eventually("the receipt is made", || has_receipt(&running)).await;
    let file = ask(&running, "").await.unwrap();
    let facts = checked(&bench, &file).facts;
    let known = running.world(|world| world.nodes[&NODE.parse::<NodeId>().unwrap()].clone());
    assert_eq!((facts.node.as_str(), facts.place.source.as_str()), (NODE, "source"));
    assert_eq!((&facts.place.target, facts.place.generation), (&known.shard, known.generation.0));
    assert_eq!((facts.place.plan_revision, &facts.place.batch), (Some(1), &batch));
    assert_eq!(facts.target.state.as_ref(), Some(&facts.source));
    assert_eq!(facts.source.seq, 10);
    assert_eq!(facts.certificates.new.map(|one| Some(one.serial)), Some(known.serials.last().cloned()));
    let times = facts.times;
    let all = [times.planned_unix_ms, times.sealed_unix_ms, times.committed_unix_ms, times.released_unix_ms];
    assert!(all.iter().all(Option::is_some) && all.is_sorted(), "{all:?}");
    assert_eq!(facts.soak.forced, Some(true));
    assert_eq!(facts.history.source.unwrap().sessions, Some(2));
    assert_eq!(facts.history.target.unwrap().credentials, Some(1));
    let line = listed(&running, &batch).await;
    assert_eq!((line.generation, line.missing.as_str()), (2, ""));
    assert_eq!(ask(&running, batch.as_str()).await.unwrap(), file);
    for (node, batch, code) in [
        ("../etc/passwd", "", Code::InvalidArgument),
        (NODE, "../x", Code::InvalidArgument),
        ("nobody", "", Code::NotFound),
        (NODE, "another", Code::FailedPrecondition),
    ] {
        let request = v1::GetReceiptRequest { node: node.into(), batch: batch.into() };
        let refused = running.operator.get_receipt(Request::new(request)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{node} {batch}: {refused:?}");
    }
    running.die().await;
    let running = bench.lead(Arc::new(journal.clone())).await;
    assert_eq!(ask(&running, "").await.unwrap(), file, "the same bytes in the next life");
    running.end().await.unwrap();
    let made = journal.read(Seq::ZERO, 10_000).unwrap();
    let made = made.iter().filter(|(_, record)| String::from_utf8_lossy(record).contains("receipt_issued"));
    assert_eq!(made.count(), 1, "it was made once");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_dies_around_the_receipt_makes_one_and_no_second() {
    let bench = Bench::new(&[NODE]).await;
    let journal = store();
    let running = bench.lead(Arc::new(journal.clone())).await;
    let batch = soaking(&bench, &running).await;
    release(&running, &batch).await;
    running.die().await;
    let journal = before_the_receipt(&journal);
    let mut shown: Option<v1::ReceiptFile> = None;
    let mut lives = 0;
    for last in [Fault::Torn, Fault::FailAfter].into_iter().cycle() {
        lives += 1;
        assert!(lives < 60, "no receipt after {lives} lives");
        // Campaign and leadership go through; the next append is torn, or done without being acknowledged.
        let faults = FaultPlan::script([Fault::None, Fault::None, last]);
        let running = bench.lead(Arc::new(FaultyStore::new(journal.clone(), faults))).await;
        for _ in 0..100 {
            if running.has_ended() || has_receipt(&running) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        if has_receipt(&running)
            && let Ok(file) = ask(&running, "").await
        {
            checked(&bench, &file);
            shown = Some(file);
        }
        let _failed_by_plan = running.end().await;
        if shown.is_some() {
            break;
        }
    }
    let running = bench.lead(Arc::new(journal.clone())).await;
    assert_eq!(Some(ask(&running, "").await.unwrap()), shown);
    assert!(!is_due(&running) && lives > 1, "the faults did not bite: {lives} lives");
    running.end().await.unwrap();
    bench.end().await;
}
