//! The way of a record through the task: groups, refusals that are counted, and a log that cannot be written.

use super::pen::{Pen, Seal};
use super::*;
use crate::tests::bench::eventually;
use shardlift_audit::{Record, Value, what};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn audit_in(folder: &Path, signed: Arc<AtomicUsize>) -> (Audit, Writing) {
    let sign = move |payload: &[u8]| {
        signed.fetch_add(1, Ordering::Relaxed);
        Ok(String::from_utf8(payload.to_vec()).unwrap())
    };
    let seal = Seal { who: "controller c".to_owned(), sign: Box::new(sign) };
    Audit::start(Pen::open(folder, 1 << 30, &"c1".parse().unwrap(), seal).unwrap(), "controller c".into(), soon())
}

/// Long enough for what a test does in one go.
fn soon() -> Pace {
    let soon = Duration::from_millis(500);
    Pace { checkpoint: soon, retry: soon, refusals: soon }
}

fn records(folder: &Path) -> Vec<Record> {
    let text = fs::read(folder.join(shardlift_audit::segment_name(1))).unwrap();
    text.split_inclusive(|byte| *byte == b'\n')
        .map(|line| Record::read(line.strip_suffix(b"\n").unwrap()).unwrap())
        .collect()
}

fn entry(subject: &str) -> Entry {
    Entry::new("operator alice", "start batch", subject, DONE)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_on_disk_and_many_share_a_sync() {
    let root = tempfile::tempdir().unwrap();
    let (audit, writing) = audit_in(root.path(), Arc::default());
    audit.record(vec![entry("first")]).await.unwrap();
    assert_eq!(records(root.path()).last().unwrap().entry.subject, "first");
    let begun = std::time::Instant::now();
    let all: Vec<_> = (0..4000)
        .map(|n| {
            let audit = audit.clone();
            tokio::spawn(async move { audit.record(vec![entry(&n.to_string())]).await })
        })
        .collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    println!("4000 records in {:?}", begun.elapsed());
    let written = records(root.path());
    assert_eq!(written.iter().filter(|record| record.entry.what == "start batch").count(), 4001);
    assert!(written.windows(2).all(|pair| pair[1].previous == pair[0].hash));
    writing.close().await;
    assert_eq!(records(root.path()).last().unwrap().entry.what, what::CHECKPOINT);
    assert!(audit.record(vec![entry("late")]).await.is_err(), "a log that was closed takes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_does_not_fill_the_disk() {
    let pen = Pen::in_memory(&"c1".parse().unwrap());
    let (audit, writing) = Audit::start(pen, "controller".into(), Pace { refusals: Duration::from_secs(5), ..soon() });
    let refusal = || Fault::new(FaultKind::Unauthenticated, "no\nask somebody");
    for _ in 0..1000 {
        audit.refused(Asker::Stranger, Entry::new("nobody at 1.2.3.4:5", "enrol", "", ""), &refusal()).await;
    }
    audit.refused(Asker::Member, Entry::new("node a", "renew certificate", "a", ""), &refusal()).await;
    let kept = || audit.kept();
    let of = |who: &str| kept().iter().filter(|record| record.entry.who.starts_with(who)).count();
    assert_eq!((of("nobody"), of("node"), of("strangers")), (60, 1, 0));
    let first = &kept()[1];
    assert_eq!((first.entry.outcome.as_str(), first.text(field::WHY)), ("unauthenticated", Some("no")));
    // Nobody has to come by for the others to be told of.
    eventually("the others are counted", || of("strangers") == 1).await;
    let last = kept().pop().unwrap();
    assert_eq!((last.entry.who.as_str(), last.entry.what.as_str()), ("strangers", what::MORE_REFUSED));
    assert_eq!(last.entry.fields[field::COUNT], Value::Number(940));
    writing.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_signed_for_minutes_is_signed_then_and_once() {
    let root = tempfile::tempdir().unwrap();
    let signed = Arc::<AtomicUsize>::default();
    let (audit, writing) = audit_in(root.path(), signed.clone());
    assert_eq!(signed.load(Ordering::Relaxed), 1, "at the start");
    audit.record(vec![entry("a")]).await.unwrap();
    eventually("it is signed", || signed.load(Ordering::Relaxed) == 2).await;
    assert_eq!(records(root.path()).last().unwrap().entry.what, what::CHECKPOINT);
    audit.record(vec![entry("b")]).await.unwrap();
    writing.close().await;
    assert_eq!(signed.load(Ordering::Relaxed), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_be_written_stops_what_would_have_to_be_in_it() {
    let root = tempfile::tempdir().unwrap();
    let (audit, writing) = audit_in(root.path(), Arc::default());
    audit.admit().unwrap();
    audit.set_failing(true);
    let error = audit.record(vec![entry("a")]).await.unwrap_err();
    assert!(error.to_string().contains("no room"), "{error}");
    let refusal = audit.admit().unwrap_err();
    assert_eq!(refusal.kind(), FaultKind::Unavailable);
    assert!(refusal.public().contains("audit log") && !refusal.public().contains("no room"), "{refusal}");
    assert!(records(root.path()).iter().all(|record| record.entry.subject != "a"));
    audit.set_failing(false);
    // There is room again, and that is noticed without anybody asking.
    eventually("there is room again", || audit.admit().is_ok()).await;
    audit.record(vec![entry("b")]).await.unwrap();
    writing.close().await;
}
