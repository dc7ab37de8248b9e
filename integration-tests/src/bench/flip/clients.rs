//! Real restic on every node of a batch, backing up without a pause while the batch flips.

use super::ground::{Batch, CUSTOMER, Ground};
use super::{machines, story};
use crate::bench::report::Retries;
use crate::{Restic, eventually};
use anyhow::{Context as _, Result, ensure};
use rand::RngCore as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// One backup, and the check of its snapshot, on a machine with many of them at work.
const RUN_TIME_MAX: Duration = Duration::from_secs(600);

/// How long all may take to begin their first backup.
const BEGIN_TIME_MAX: Duration = Duration::from_secs(300);

/// Lines of clients that are told one by one.
const TOLD_MAX: usize = 10;

#[derive(Debug)]
struct Run {
    began_ms: f64,
    ended_ms: f64,
    snapshot: String,
    complaints: Vec<String>,
}

struct Client {
    restic: Restic,
    node: String,
    tree: PathBuf,
    mebibytes: usize,
}

fn now_ms() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3)
}

/// New content, so that every backup has something to send.
fn refresh(tree: &Path, mebibytes: usize) -> Result<()> {
    std::fs::create_dir_all(tree)?;
    let mut bytes = vec![0; mebibytes << 20];
    rand::rng().fill_bytes(&mut bytes);
    std::fs::write(tree.join("fresh.bin"), bytes).context("writing what is backed up")
}

impl Client {
    async fn work(&self, stop: &AtomicBool) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            refresh(&self.tree, self.mebibytes)?;
            let began_ms = now_ms()?;
            let outcome = self.restic.backup(&self.tree).await.with_context(|| self.node.clone())?;
            let complaints = outcome.complaints().into_iter().map(|line| format!("{}: {line}", self.node)).collect();
            let snapshot = outcome.saved_snapshot().context("restic names no snapshot")?;
            runs.push(Run { began_ms, ended_ms: now_ms()?, snapshot, complaints });
        }
        Ok(runs)
    }

    /// How many snapshots that were acknowledged are not listed.
    async fn lost(&self, runs: &[Run]) -> Result<usize> {
        let kept = self.restic.snapshots().await?;
        Ok(runs.iter().filter(|run| !kept.iter().any(|kept| kept.id.starts_with(&run.snapshot))).count())
    }
}

/// Comes back when every client has been seen in the middle of a backup: with its lock in the repository.
async fn all_at_work(ground: &Ground, batch: &Batch) -> Result<()> {
    let idle = Mutex::new(batch.nodes.clone());
    eventually("every client is at work", BEGIN_TIME_MAX, || async {
        let mut idle = idle.lock().await;
        // A folder that is not there yet has no lock in it.
        let locks = |node: &String| std::fs::read_dir(ground.cluster.repository("source", node).join("locks"));
        idle.retain(|node| locks(node).map_or(true, |mut locks| locks.next().is_none()));
        ensure!(idle.is_empty(), "{} of {} are not", idle.len(), batch.nodes.len());
        Ok(())
    })
    .await
}

/// Backs up on all nodes of the batch until it has flipped and each backup that saw the flip has ended.
pub(super) async fn retries(ground: &Ground, batch: &Batch, mebibytes: usize) -> Result<Retries> {
    machines::enrol(&ground.cluster, &batch.nodes).await?;
    ground.prepare(batch).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for node in &batch.nodes {
        let restic = ground.cluster.new_client(&ground.restic, node)?.limit(RUN_TIME_MAX);
        let (node, tree) = (node.clone(), ground.root.path().join("trees").join(node));
        let (client, stop) = (Client { restic, node, tree, mebibytes }, Arc::clone(&stop));
        clients.spawn(async move {
            let runs = client.work(&stop).await?;
            Ok::<_, anyhow::Error>((client, runs))
        });
    }
    let flipped = async {
        all_at_work(ground, batch).await?;
        ground.flip(batch, "resume").await
    };
    let flipped = flipped.await;
    stop.store(true, Ordering::SeqCst);
    let lived = clients.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    flipped?;
    let flip = story::of_batch(&ground.cluster, CUSTOMER, &batch.name).await?;
    let runs = || lived.iter().flat_map(|(_, runs)| runs);
    for line in runs().flat_map(|run| &run.complaints).take(TOLD_MAX) {
        println!("noticed: {line}");
    }
    let mut lost = 0;
    for (client, runs) in &lived {
        lost += client.lost(runs).await?;
    }
    let lines = runs().map(|run| run.complaints.len()).sum();
    Ok(Retries {
        bench: "retries".to_owned(),
        clients: lived.len(),
        runs: runs().count(),
        through: runs().filter(|run| run.began_ms < flip.began_ms && run.ended_ms > flip.probed_ms).count(),
        lines,
        lost,
        goal: 0,
        met: lines == 0,
    })
}
