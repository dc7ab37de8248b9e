//! What the clients of a batch notice of its flip.
//!
//! [`parked`]: every node has a light client that stores one small object after the other, over HTTPS with the node's
//! certificate, through the router, from before the batch is started until after its soak has begun. The longest that one
//! request took across the flip is how long that node was parked, seen from outside. Every object that was acknowledged is
//! looked for at the target afterwards.
//!
//! [`retries`]: real restic backups run on all nodes of a batch while it flips; each line on their standard error is a client
//! that noticed.

mod clients;
mod ground;
mod machines;
mod story;
mod writer;

use super::report::{ParkedTimes, Retries};
use crate::bench::line::Line;
use crate::{eventually, tool};
use anyhow::{Context as _, Result, ensure};
pub(super) use ground::copy_files;
use ground::{Batch, CUSTOMER, Ground};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use story::Flip;
use tokio::task::JoinSet;
pub(super) use writer::{Lived, Signals, work as store_objects};

/// How long all clients may take to store their first objects.
const WARM_TIME_MAX: Duration = Duration::from_secs(120);

/// Shortest time between two objects of one client.
const PACE_MIN: Duration = Duration::from_millis(20);

/// Clients go on this long after the flip: connections move to the new shard meanwhile.
const AFTER_FLIP: Duration = Duration::from_secs(3);

/// Failures that are told one by one.
const TOLD_MAX: usize = 10;

/// How much to measure.
#[derive(Debug, Clone)]
pub struct FlipBench {
    /// Nodes of each batch whose parked times are measured.
    pub batches: Vec<usize>,
    /// Objects that all clients of a batch store together, per second; one client stores at most 50.
    pub rate: u32,
    /// Nodes that run a real backup through a flip of their own; none of it when 0.
    pub clients: usize,
    /// New bytes in each of these backups, in MiB.
    pub client_mebibytes: usize,
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct FlipFigures {
    /// For each batch.
    pub parked: Vec<ParkedTimes>,
    /// Of the real backups, when there were any.
    pub retries: Option<Retries>,
}

/// Measures the batches one after the other, then the backups, on one cluster.
///
/// # Errors
/// When a part does not start or a batch does not flip.
pub async fn flip(bench: &FlipBench) -> Result<FlipFigures> {
    ensure!(bench.rate > 0 && bench.batches.iter().all(|nodes| *nodes > 0), "nothing to measure: {bench:?}");
    let restic = tool("bench", "restic").context("restic is needed: apt-get install restic")?;
    let named = |(index, nodes): (usize, &usize)| Batch::new(&format!("flip-{index}"), *nodes);
    let mut batches: Vec<Batch> = bench.batches.iter().enumerate().map(named).collect();
    let backups = Batch::new("backups", bench.clients);
    let measured = batches.len();
    if bench.clients > 0 {
        batches.push(backups.clone());
    }
    let ground = Ground::lay(restic, &batches).await?;
    let mut figures = FlipFigures { parked: Vec::new(), retries: None };
    for batch in &batches[..measured] {
        let parked = parked(&ground, batch, bench.rate).await.with_context(|| format!("batch {}", batch.name))?;
        println!("{parked}");
        figures.parked.push(parked);
    }
    if bench.clients > 0 {
        let retries = clients::retries(&ground, &backups, bench.client_mebibytes).await.context("backups")?;
        println!("{retries}");
        figures.retries = Some(retries);
    }
    Ok(figures)
}

async fn parked(ground: &Ground, batch: &Batch, rate: u32) -> Result<ParkedTimes> {
    machines::enrol(&ground.cluster, &batch.nodes).await?;
    let nodes = u32::try_from(batch.nodes.len())?;
    let pace = (Duration::from_secs(1) * nodes / rate).max(PACE_MIN);
    let signals = Arc::new(Signals::default());
    let mut writers = JoinSet::new();
    for (number, node) in (0..nodes).zip(&batch.nodes) {
        let peer = ground.cluster.peer(node, ground.cluster.new_login(node)?)?;
        let line = Line::new(peer.address, &peer.server_name, &peer.ca_pem, peer.owner.certificate_pem.as_deref())?;
        // Not all at the same moment.
        let delay = pace * number / nodes;
        writers.spawn(store_objects(line, node.clone(), pace, delay, Arc::clone(&signals), |_, _| ()));
    }
    let flipped = flip_under_way(ground, batch, &signals).await;
    signals.stop.store(true, Ordering::SeqCst);
    let lived = writers.join_all().await;
    for failure in lived.iter().flat_map(|lived| &lived.failures).take(TOLD_MAX) {
        println!("failed: {failure}");
    }
    figures(ground, &lived, pace, flipped?)
}

async fn flip_under_way(ground: &Ground, batch: &Batch, signals: &Signals) -> Result<Flip> {
    eventually("all clients have begun", WARM_TIME_MAX, || async {
        let warm = signals.warm.load(Ordering::SeqCst);
        ensure!(warm == batch.nodes.len(), "{warm} of {} have", batch.nodes.len());
        Ok(())
    })
    .await?;
    ground.flip(batch, "start").await?;
    tokio::time::sleep(AFTER_FLIP).await;
    story::of_batch(&ground.cluster, CUSTOMER, &batch.name).await
}

/// The value that this part of all values does not exceed; `sorted` is not empty.
pub(super) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank.min(sorted.len()) - 1]
}

fn sorted(values: impl Iterator<Item = f64>) -> Result<Vec<f64>> {
    let mut values: Vec<f64> = values.collect();
    ensure!(!values.is_empty(), "nothing was measured");
    values.sort_by(f64::total_cmp);
    Ok(values)
}

fn figures(ground: &Ground, lived: &[Lived], pace: Duration, flip: Flip) -> Result<ParkedTimes> {
    let across = |lived: &Lived| {
        let through = lived.requests.iter().filter(|r| r.ended_ms() >= flip.began_ms && r.began_ms <= flip.probed_ms);
        through.map(|request| request.took_ms).max_by(f64::total_cmp)
    };
    let longest = lived.iter().map(|one| across(one).with_context(|| format!("{} stored nothing then", one.node)));
    let longest = sorted(longest.collect::<Result<Vec<_>>>()?.into_iter())?;
    let before = lived.iter().flat_map(|lived| &lived.requests).filter(|r| r.ended_ms() < flip.began_ms);
    let before = sorted(before.map(|request| request.took_ms))?;
    let lost = lived.iter().map(|lived| lived.lost(&ground.cluster.repository("shard-b", &lived.node))).sum();
    let (p50_ms, p99_ms) = (percentile(&longest, 50), percentile(&longest, 99));
    let goal_ms = if lived.len() <= 40 { 1000.0 } else { 5000.0 };
    Ok(ParkedTimes {
        bench: "flip".to_owned(),
        nodes: lived.len(),
        p50_ms,
        p99_ms,
        max_ms: percentile(&longest, 100),
        flip_ms: flip.probed_ms - flip.began_ms,
        pace_ms: pace.as_secs_f64() * 1e3,
        before_p50_ms: percentile(&before, 50),
        before_p99_ms: percentile(&before, 99),
        requests: lived.iter().map(|lived| lived.requests.len()).sum(),
        failed: lived.iter().map(|lived| lived.failures.len()).sum(),
        lost,
        goal_ms,
        met: p99_ms < goal_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let values: Vec<f64> = (1..=40).map(f64::from).collect();
        let of = |percent| percentile(&values, percent);
        assert_eq!([of(0), of(50), of(99), of(100)].map(|value| value as u32), [1, 20, 40, 40]);
        assert!((percentile(&[7.0], 50) - 7.0).abs() < 1e-9);
    }
}
