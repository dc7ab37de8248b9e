//! Serving clients: `restic backup`, `restic restore` and `restic check --read-data` through router and shard, and with the same restic
//! and servers of others, all over TLS, turn by turn.
//!
//! All store on the same disk; only ours promises that what it acknowledged survives a power cut. Each round is a repository of its
//! own: the tree is backed up into it, then restored and compared, then every byte is read again by the client.

mod servers;

use super::report::Comparison;
use super::{even_out, fill, median};
use crate::{Restic, TestRoot, differences, tool};
use anyhow::{Context as _, Result, ensure};
use servers::{Server, Servers};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Ours has to be at least this fast, as a part of a peer's throughput.
const GOAL: f64 = 0.9;

/// For one run of the largest size on a slow machine.
const RUN_TIME_MAX: Duration = Duration::from_secs(900);

/// What is done with a repository, in this order.
const WORK: [&str; 3] = ["backup", "restore", "check"];

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub struct ServingBench {
    /// What is backed up, in MiB.
    pub mebibytes: u64,
    /// Rounds; each measures everybody, once.
    pub rounds: u32,
}

/// Seconds of each round.
type Times = BTreeMap<(Server, &'static str), Vec<f64>>;

struct Course {
    root: TestRoot,
    tree: PathBuf,
    servers: Servers,
    mebibytes: u64,
}

impl Course {
    async fn lay(bench: ServingBench) -> Result<Self> {
        let restic = tool("bench", "restic").context("restic is needed: apt-get install restic")?;
        let root = TestRoot::new("bench")?;
        let tree = root.path().join("tree");
        fill(&tree, bench.mebibytes)?;
        let servers = Servers::start(restic, root.path(), bench.rounds).await?;
        Ok(Self { root, tree, servers, mebibytes: bench.mebibytes })
    }

    /// One server's turn; the seconds of each kind of work.
    async fn turn(&self, server: Server, round: u32) -> Result<Vec<f64>> {
        let client = self.servers.client(server, round)?.limit(RUN_TIME_MAX);
        if server != Server::Ours {
            client.init().await?;
        }
        let restored = self.root.path().join("restored");
        let mut seconds = Vec::new();
        for work in WORK {
            // What a client reads is in the page cache, for everybody; what it writes finds memory that is free.
            even_out(self.root.path(), self.mebibytes)?;
            seconds.push(self.work(&client, work, &restored).await.context(work)?);
        }
        ensure!(differences(&self.tree, &inside(&restored, &self.tree)?)?.is_empty(), "the restored tree differs");
        std::fs::remove_dir_all(&restored).context("removing what was restored")?;
        Ok(seconds)
    }

    async fn work(&self, client: &Restic, work: &str, restored: &Path) -> Result<f64> {
        let outcome = match work {
            "backup" => client.backup(&self.tree).await?,
            "restore" => client.restore("latest", restored).await?,
            _ => client.check().await?,
        };
        ensure!(outcome.complaints().is_empty(), "restic complains: {}", outcome.stderr);
        Ok(outcome.took.as_secs_f64())
    }

    async fn round(&self, round: u32, times: &mut Times) -> Result<()> {
        let servers = self.servers.all();
        let count = servers.len();
        for turn in 0..count {
            // Whoever goes first finds another disk and another cache: they take turns.
            let server = servers[(turn + round as usize) % count];
            let seconds = self.turn(server, round).await.with_context(|| server.name().to_owned())?;
            let told: Vec<String> = WORK.iter().zip(&seconds).map(|(work, s)| format!("{work} {s:.2} s")).collect();
            println!("round {}: {}: {}", round + 1, server.name(), told.join(", "));
            for (work, seconds) in WORK.into_iter().zip(seconds) {
                times.entry((server, work)).or_default().push(seconds);
            }
        }
        self.servers.clear(round)
    }
}

/// Where restic puts a tree that lay at an absolute path.
fn inside(restored: &Path, tree: &Path) -> Result<PathBuf> {
    Ok(restored.join(tree.strip_prefix("/").context("an absolute path is expected")?))
}

/// Throughput of a client's work, ours against that of each peer that is there, in MiB/s.
///
/// # Errors
/// When a server does not start, or a client fails or restores something else.
pub async fn serving(bench: ServingBench) -> Result<Vec<Comparison>> {
    ensure!(bench.mebibytes > 0 && bench.rounds > 0, "nothing to measure: {bench:?}");
    let course = Course::lay(bench).await?;
    let mut times = Times::new();
    for round in 0..bench.rounds {
        course.round(round, &mut times).await?;
    }
    let peers: Vec<Server> = course.servers.all().into_iter().filter(|server| *server != Server::Ours).collect();
    course.servers.shut_down().await?;
    #[expect(clippy::cast_precision_loss, reason = "a size in MiB is far below 2^52")]
    let mebibytes = bench.mebibytes as f64;
    let mut speed = |server, work| times.get_mut(&(server, work)).map(|seconds| mebibytes / median(seconds));
    let mut rows = Vec::new();
    for work in WORK {
        for peer in &peers {
            let both = speed(Server::Ours, work).zip(speed(*peer, work)).context("somebody was not measured")?;
            let case = format!("restic {work} of {} MiB through router and shard", bench.mebibytes);
            rows.push(Comparison::new(work, &case, both, peer.name(), "MiB/s", GOAL));
        }
    }
    Ok(rows)
}
