//! A node's client at work: stores one small object after the other and notes how long each took.

use crate::bench::line::Line;
use anyhow::{Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use rand::RngCore as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::MissedTickBehavior;

/// Bytes of one object.
const OBJECT_BYTES: usize = 256;

/// A client whose requests fail is broken: it need not go on.
const FAILURES_MAX: usize = 20;

/// One request, by the clock that the controller's record has too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    /// Milliseconds of the Unix epoch.
    pub(super) began_ms: f64,
    pub(super) took_ms: f64,
}

impl Stored {
    pub(super) fn ended_ms(&self) -> f64 {
        self.began_ms + self.took_ms
    }
}

/// What a client lived through.
#[derive(Debug, Default)]
pub(in crate::bench) struct Lived {
    pub(super) node: String,
    pub(super) requests: Vec<Stored>,
    pub(in crate::bench) failures: Vec<String>,
    /// The objects that were acknowledged.
    names: Vec<String>,
}

impl Lived {
    /// How many acknowledged objects are not in this repository.
    pub(super) fn lost(&self, repository: &Path) -> usize {
        let is_there = |name: &&String| !repository.join("data").join(&name[..2]).join(name).is_file();
        self.names.iter().filter(is_there).count()
    }
}

/// What all clients of a batch share.
#[derive(Debug, Default)]
pub(in crate::bench) struct Signals {
    pub(in crate::bench) stop: AtomicBool,
    /// Clients that have stored their first objects.
    pub(in crate::bench) warm: AtomicUsize,
}

/// Requests of a client before it counts as warm.
const WARM: usize = 3;

fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3)
}

async fn store(line: &mut Line, node: &str) -> Result<String> {
    let mut body = vec![0; OBJECT_BYTES];
    rand::rng().fill_bytes(&mut body);
    let name = hex::encode(digest(&SHA256, &body));
    let (status, answer) = line.ask("POST", &format!("/{node}/data/{name}"), Bytes::from(body)).await?;
    ensure!(status == 200, "status {status}: {}", String::from_utf8_lossy(&answer));
    Ok(name)
}

/// Stores one object each `pace`, the first after `delay`, until told to stop. `note` is told when each began and how long it took.
pub(in crate::bench) async fn work(
    mut line: Line,
    node: String,
    pace: Duration,
    delay: Duration,
    signals: Arc<Signals>,
    note: impl Fn(f64, f64) + Send,
) -> Lived {
    let mut lived = Lived { node, ..Lived::default() };
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + delay, pace);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !signals.stop.load(Ordering::SeqCst) && lived.failures.len() < FAILURES_MAX {
        tick.tick().await;
        let began_ms = now_ms();
        let stored = store(&mut line, &lived.node).await;
        let request = Stored { began_ms, took_ms: now_ms() - began_ms };
        note(request.began_ms, request.took_ms);
        lived.requests.push(request);
        match stored {
            Ok(name) => lived.names.push(name),
            Err(error) => lived.failures.push(format!("{}: {error:#}", lived.node)),
        }
        if lived.requests.len() == WARM {
            signals.warm.fetch_add(1, Ordering::SeqCst);
        }
    }
    lived
}
