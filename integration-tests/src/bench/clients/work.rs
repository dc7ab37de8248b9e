//! Clients at work: backups, and small objects whose times are told.

use super::ground::{Ground, client};
use super::{ClientsBench, OBJECT_PACE};
use crate::Restic;
use crate::Validity;
use crate::bench::flip::{Lived, Signals, percentile, store_objects};
use crate::bench::line::Line;
use crate::conformance::Login;
use anyhow::{Context as _, Result, ensure};
use rand::RngCore as _;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;

/// One backup on a machine with many of them at work.
const RUN_TIME_MAX: Duration = Duration::from_secs(600);

/// How long all clients may take to begin.
const BEGIN_TIME_MAX: Duration = Duration::from_secs(120);

pub(super) fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3)
}

/// What clients felt in some stretch of time.
#[derive(Debug, Default)]
pub(super) struct Felt {
    /// Of each small object, sorted.
    request_ms: Vec<f64>,
    /// Of each whole backup, sorted.
    backup_s: Vec<f64>,
}

impl Felt {
    fn new(mut request_ms: Vec<f64>, mut backup_s: Vec<f64>) -> Self {
        request_ms.sort_by(f64::total_cmp);
        backup_s.sort_by(f64::total_cmp);
        Self { request_ms, backup_s }
    }

    pub(super) fn add(&mut self, other: Self) {
        let requests = self.request_ms.iter().copied().chain(other.request_ms).collect();
        *self = Self::new(requests, self.backup_s.iter().copied().chain(other.backup_s).collect());
    }

    pub(super) fn requests(&self) -> usize {
        self.request_ms.len()
    }

    pub(super) fn request_ms(&self, percent: usize) -> Result<f64> {
        ensure!(!self.request_ms.is_empty(), "no client stored anything");
        Ok(percentile(&self.request_ms, percent))
    }

    /// The median; none when no backup began and ended in this time.
    pub(super) fn backup_s(&self) -> Option<f64> {
        (!self.backup_s.is_empty()).then(|| percentile(&self.backup_s, 50))
    }
}

impl fmt::Display for Felt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.request_ms.is_empty() {
            return f.write_str("no clients");
        }
        let of = |percent| percentile(&self.request_ms, percent);
        let (requests, backups) = (self.request_ms.len(), self.backup_s.len());
        write!(f, "{requests} requests p50 {:.1} ms p99 {:.1} ms, {backups} backups", of(50), of(99))
    }
}

/// When a backup began, and how long it took.
type Run = (f64, f64);

#[derive(Debug, Default)]
struct Shared {
    objects: Mutex<Vec<Run>>,
    backups: Mutex<Vec<Run>>,
}

fn within(runs: &Mutex<Vec<Run>>, began_ms: f64, ended_ms: f64) -> Vec<f64> {
    let runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
    runs.iter().filter(|(began, took)| *began < ended_ms && began + took > began_ms).map(|(_, took)| *took).collect()
}

/// Clients until they are stopped.
pub(super) struct AtWork {
    signals: Arc<Signals>,
    shared: Arc<Shared>,
    objects: JoinSet<Lived>,
    backups: JoinSet<Result<()>>,
}

struct Backups {
    restic: Restic,
    tree: PathBuf,
    mebibytes: usize,
    pace: Duration,
    delay: Duration,
}

impl Backups {
    async fn work(self, signals: &Signals, shared: &Shared) -> Result<()> {
        std::fs::create_dir_all(&self.tree)?;
        tokio::time::sleep(self.delay).await;
        let mut tick = tokio::time::interval(self.pace);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !signals.stop.load(Ordering::SeqCst) {
            tick.tick().await;
            let mut bytes = vec![0; self.mebibytes << 20];
            rand::rng().fill_bytes(&mut bytes);
            std::fs::write(self.tree.join("fresh.bin"), bytes).context("writing what is backed up")?;
            let began_ms = now_ms();
            let outcome = self.restic.backup(&self.tree).await?;
            ensure!(outcome.saved_snapshot().is_some(), "restic names no snapshot: {}", outcome.stderr);
            let took_ms = now_ms() - began_ms;
            shared.backups.lock().unwrap_or_else(PoisonError::into_inner).push((began_ms, took_ms));
        }
        Ok(())
    }
}

impl AtWork {
    /// All clients, each beginning at a moment of its own.
    pub(super) async fn start(ground: &Ground, bench: &ClientsBench) -> Result<Self> {
        let (signals, shared) = (Arc::new(Signals::default()), Arc::new(Shared::default()));
        let (mut objects, mut backups) = (JoinSet::new(), JoinSet::new());
        let pace = Duration::from_secs(bench.backup_seconds.max(1));
        let each = u32::try_from(bench.clients)?;
        for (at, number) in (0_u32..).zip(0..bench.clients) {
            let node = client(number);
            let certificate = ground.cluster.old_ca().client(&format!("object-{number}"), "bench", Validity::Now)?;
            let login = Login::certificate(&std::fs::read_to_string(&certificate.both_path)?);
            let peer = ground.cluster.peer(&node, login)?;
            let line = Line::new(peer.address, &peer.server_name, &peer.ca_pem, peer.owner.certificate_pem.as_deref())?;
            let (observer, delay) = (Arc::clone(&shared), OBJECT_PACE * at / each);
            let note = move |began_ms: f64, took_ms: f64| {
                observer.objects.lock().unwrap_or_else(PoisonError::into_inner).push((began_ms, took_ms));
            };
            objects.spawn(store_objects(line, node.clone(), OBJECT_PACE, delay, Arc::clone(&signals), note));
            let client = Backups {
                restic: ground.cluster.old_client(&ground.restic, &node)?.limit(RUN_TIME_MAX),
                tree: ground.root.path().join("trees").join(number.to_string()),
                mebibytes: bench.client_mebibytes,
                pace,
                delay: pace * at / each,
            };
            let (signals, shared) = (Arc::clone(&signals), Arc::clone(&shared));
            backups.spawn(async move { client.work(&signals, &shared).await });
        }
        let at_work = Self { signals, shared, objects, backups };
        crate::eventually("all clients have begun", BEGIN_TIME_MAX, || async {
            let warm = at_work.signals.warm.load(Ordering::SeqCst);
            ensure!(warm == bench.clients, "{warm} of {} have", bench.clients);
            Ok(())
        })
        .await?;
        Ok(at_work)
    }

    /// Of all that was under way at some moment in between.
    pub(super) fn felt(&self, began_ms: f64, ended_ms: f64) -> Result<Felt> {
        let requests = within(&self.shared.objects, began_ms, ended_ms);
        let backups = within(&self.shared.backups, began_ms, ended_ms);
        Ok(Felt::new(requests, backups.into_iter().map(|took_ms| took_ms / 1e3).collect()))
    }

    /// Ends all of them; a client that failed is an error.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.signals.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.backups.join_next().await {
            ended??;
        }
        while let Some(ended) = self.objects.join_next().await {
            let failures = ended?.failures;
            ensure!(failures.is_empty(), "a client's request failed: {}", failures.join("; "));
        }
        Ok(())
    }
}
