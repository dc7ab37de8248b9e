//! kill -9 of a writing process at random instants: what it was told is done must be there afterwards.

use super::*;
use crate::engine::Deleted;
use rand::Rng as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

const FOLDER: &str = "SHARDLIFT_TEST_WRITER";
const WRITER: &str = "the_writing_process";
const PULLER: &str = "the_pulling_process";
const ROUNDS: u64 = 12;

/// The process that is killed: only does something when it is started by the test below.
#[test]
fn the_writing_process() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = open(Path::new(&folder)).await;
        let node = node("acme/web");
        engine.create_node(&node).await.unwrap();
        println!("@ready");
        let writers = (0..6_u64).map(|writer| {
            let (engine, node) = (Arc::clone(&engine), node.clone());
            tokio::spawn(async move { write_for_ever(writer, &engine, &node).await })
        });
        futures::future::join_all(writers).await;
    });
}

/// Says what it is about to do and, once it was acknowledged, that it is done.
async fn write_for_ever(writer: u64, engine: &Arc<Engine>, node: &NodeId) {
    let run = std::process::id();
    for n in 0_u64.. {
        let kind = [ObjectKind::Data, ObjectKind::Index, ObjectKind::Locks, ObjectKind::Snapshots][(n % 4) as usize];
        let data = format!("{run} {writer} {n}").repeat(if n % 5 == 0 { 20_000 } else { 3 });
        let key = put(engine, node, kind, data.as_bytes()).await;
        println!("@put {key}");
        if n % 3 == 0 {
            println!("@deleting {key}");
            assert_eq!(engine.delete(node, key).await.unwrap(), Deleted::Deleted);
            println!("@deleted {key}");
        }
    }
}

/// The process that is killed while it stores groups of pulled objects: only does something when it is started by the test below.
#[test]
fn the_pulling_process() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = open(Path::new(&folder)).await;
        let node = node("acme/web");
        let token = shardlift_model::Token::new(1, 1, 1);
        engine.start_incoming(&node, token, "a".parse().unwrap(), "a:1".to_owned(), false).await.unwrap();
        println!("@ready");
        for n in 0_u64.. {
            pull_group(n, &engine, &node).await;
        }
    });
}

/// One by one and together, in turn.
async fn pull_group(n: u64, engine: &Arc<Engine>, node: &NodeId) {
    let objects = if n.is_multiple_of(3) { 5 } else { 200 };
    let data = |object: u64| {
        format!("{} {n} {object}", std::process::id()).repeat(if object.is_multiple_of(7) { 2_000 } else { 3 })
    };
    let group: Vec<_> = (0..objects)
        .map(|object| data(object).into_bytes())
        .map(|data| (record(ObjectKind::Data, &data), Bytes::from(data)))
        .collect();
    for stored in engine.put_replica_batch(node, group, false).await.unwrap() {
        println!("@put {}", stored.unwrap().key);
    }
}

fn parse(text: &str) -> ObjectKey {
    let (kind, name) = text.split_once('/').unwrap();
    ObjectKey::new(ObjectKind::from_word(kind).unwrap(), name).unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Here,
    Gone,
    /// A delete was under way: both are right.
    Open,
}

/// Runs a process for a while, kills it, and adds what it said to `told`.
fn run_and_kill(process: &str, folder: &Path, after: Duration, told: &mut BTreeMap<ObjectKey, Told>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("engine::tests::crash::{process}"), "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.by_ref().map_while(Result::ok).any(|line| line.ends_with("@ready"));
    assert!(ready, "the writer did not start");
    let killer = std::thread::spawn(move || {
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    });
    for line in lines.map_while(Result::ok) {
        let Some((what, key)) = line.split_once(' ') else { continue };
        if key.len() < 64 {
            continue;
        }
        match what {
            "@put" => told.insert(parse(key), Told::Here),
            "@deleting" => told.insert(parse(key), Told::Open),
            "@deleted" => told.insert(parse(key), Told::Gone),
            _ => None,
        };
    }
    killer.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_puts_and_deletes_survive_kill_9_at_any_instant() {
    survive(WRITER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_pulled_objects_survive_kill_9_at_any_instant_or_were_never_counted() {
    survive(PULLER).await;
}

async fn survive(process: &str) {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut told = BTreeMap::new();
    for round in 0..ROUNDS {
        let after = Duration::from_millis(random.random_range(5..250));
        run_and_kill(process, dir.path(), after, &mut told);
        // INV-02, INV-11: what was acknowledged is there.
        let engine = open(dir.path()).await;
        let node = node("acme/web");
        assert!(temps(dir.path()).is_empty(), "round {round}");
        let snapshot = engine.node(&node).unwrap();
        assert_eq!((snapshot.missing, snapshot.damaged), (0, 0), "round {round}");
        let page = engine.page_objects(&node, None, usize::MAX, true).await.unwrap();
        let present: BTreeMap<_, _> = page.objects.iter().map(|record| (record.key, *record)).collect();
        for (key, told) in &told {
            match told {
                Told::Here => assert!(present.contains_key(key), "round {round}: {key} was acknowledged and is gone"),
                Told::Gone => assert!(!present.contains_key(key), "round {round}: {key} was deleted and is back"),
                Told::Open => {}
            }
        }
        let (changes, last) = engine.changes(&node, 0, usize::MAX).await.unwrap();
        assert!(changes.iter().map(|change| change.seq).eq(1..=last), "round {round}: the journal has gaps");
        let found = reread(&engine, &node).await;
        assert!(found.mismatched.is_empty(), "round {round}: {:?}", found.mismatched);
        engine.close().await.unwrap();
    }
    println!("{ROUNDS} kills, {} objects acknowledged", told.len());
    assert!(told.len() > 50, "the process hardly wrote");
}
