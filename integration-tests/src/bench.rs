//! Figures: side by side with what one would use instead, on the same machine, in the same run; and of the live move.
//!
//! [`backup`] measures `restic backup` through router and shard against the same restic to `rclone serve restic`, both
//! over TLS with a client certificate, alternating, and compares medians. Both servers store on the same disk; only ours
//! promises that what it acknowledged survives a power cut. [`flip`] measures what clients notice of a flip, [`clients`] what
//! they feel of a move. [`moving`] measures the data plane: the same trees moved by Shardlift and by others. All figures are printed and appended to a report.

mod clients;
mod flip;
mod line;
mod moving;
mod report;

pub use clients::{ClientsBench, clients};
pub use flip::{FlipBench, FlipFigures, flip};
pub use moving::{Cache, Machine, MoveBench, MoveConditions, MoveFigure, MoveGoal, MoveLimit, MoveRow, moving};
pub use report::{ClientsFirst, Comparison, ParkedTimes, Retries, append};

use crate::cluster::{Cluster, ClusterOptions};
use crate::{ConnectProxy, Outcome, Rclone, RcloneOptions, Restic, TestRoot, Validity, tool};
use anyhow::{Context as _, Result, ensure};
use rand::{RngCore as _, SeedableRng as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Ours has to be at least this fast, as a part of the peer's throughput.
const GOAL: f64 = 0.9;

/// Size of one of the files that are backed up, in MiB.
const FILE_MIB: u64 = 64;

/// For one backup of the largest size on a slow machine.
const RUN_TIME_MAX: Duration = Duration::from_secs(900);

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub struct BackupBench {
    /// What is backed up, in MiB.
    pub mebibytes: u64,
    /// Rounds; each measures both, once.
    pub rounds: u32,
}

/// Fills a folder with bytes that neither compress nor repeat.
fn fill(folder: &Path, mebibytes: u64) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut rng = rand::rngs::StdRng::seed_from_u64(42);
    let mut buffer = vec![0; 1 << 20];
    for number in 0..mebibytes.div_ceil(FILE_MIB) {
        let mut file = std::fs::File::create(folder.join(format!("file-{number}.bin")))?;
        for _ in 0..FILE_MIB.min(mebibytes - number * FILE_MIB) {
            rng.fill_bytes(&mut buffer);
            file.write_all(&buffer).context("writing what is backed up")?;
        }
    }
    Ok(())
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    let middle = seconds.len() / 2;
    if seconds.len().is_multiple_of(2) { f64::midpoint(seconds[middle - 1], seconds[middle]) } else { seconds[middle] }
}

/// Makes the same start for whoever is measured next: as much memory for the page cache as the run will need is touched and free
/// (in a virtual machine the first touch is dear), and the disk has nothing left to do from before.
fn even_out(root: &Path, mebibytes: u64) -> Result<()> {
    let path = root.join("ballast");
    let mut file = std::fs::File::create(&path).context("making the ballast")?;
    let buffer = vec![1; 1 << 20];
    for _ in 0..mebibytes {
        file.write_all(&buffer).context("writing the ballast")?;
    }
    drop(file);
    std::fs::remove_file(&path).context("removing the ballast")?;
    rustix::fs::sync();
    Ok(())
}

/// One measured backup into a repository that was just made.
async fn measured(client: &Restic, tree: &Path) -> Result<f64> {
    let outcome: Outcome = client.backup(tree).await?;
    ensure!(outcome.complaints().is_empty(), "restic complains: {}", outcome.stderr);
    Ok(outcome.took.as_secs_f64())
}

struct Course {
    root: TestRoot,
    restic: PathBuf,
    tree: PathBuf,
    cluster: Cluster,
    rclone: Rclone,
    rclone_proxy: ConnectProxy,
    mebibytes: u64,
}

impl Course {
    async fn lay(bench: BackupBench) -> Result<Self> {
        let restic = tool("bench", "restic").context("restic is needed: apt-get install restic")?;
        let rclone = tool("bench", "rclone").context("rclone is needed: apt-get install rclone")?;
        let root = TestRoot::new("bench")?;
        let tree = root.path().join("tree");
        fill(&tree, bench.mebibytes)?;
        // One account's repositories, made by its client, reached through the router at a node that is there already.
        let data = root.folder("shard-data")?;
        for round in 0..bench.rounds {
            Self::seed(&restic, &root, &data, round).await?;
        }
        let whole_disk = toml::Table::from_iter([("capacity_bytes".to_owned(), toml::Value::Integer(i64::MAX))]);
        let options = ClusterOptions {
            source_data: Some(data),
            targets: Vec::new(),
            shard_settings: [("source".to_owned(), whole_disk)].into(),
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(root.path(), options).await?;
        cluster.wait_nodes(u64::from(bench.rounds)).await?;
        let server = cluster.old_ca().server("rclone-server")?;
        let options = RcloneOptions {
            tls: Some((server.certificate_path, server.key_path)),
            client_ca: Some(cluster.old_ca().certificate_path().to_owned()),
            ..RcloneOptions::default()
        };
        let data = root.folder("rclone-data")?;
        let rclone = Rclone::start(&rclone, "rclone", root.path(), &data, &options).await?;
        let rclone_proxy = ConnectProxy::start(Some(rclone.address())).await?;
        Ok(Self { root, restic, tree, cluster, rclone, rclone_proxy, mebibytes: bench.mebibytes })
    }

    fn node(round: u32) -> String {
        format!("bench/round-{round}")
    }

    /// The router knows nodes that exist, so each round's repository is made beforehand, empty.
    async fn seed(restic: &Path, root: &TestRoot, data: &Path, round: u32) -> Result<()> {
        std::fs::create_dir_all(data.join("bench"))?;
        let home = root.path().join("seed-home");
        Restic::new(restic, &home, &data.to_string_lossy(), &Self::node(round))?.init().await.map(drop)
    }

    fn client(&self, round: u32, name: &str, proxy: &ConnectProxy) -> Result<Restic> {
        let node = Self::node(round);
        let home = self.root.path().join(format!("{name}-home-{round}"));
        let certificate = self.cluster.old_ca().client(&format!("{name}-{round}"), "bench", Validity::Now)?;
        let base = format!("https://{}", self.cluster.server_name(&node));
        let client = Restic::new(&self.restic, &home, &base, &node)?.proxy(&proxy.url()).limit(RUN_TIME_MAX);
        Ok(client.cacert(self.cluster.old_ca().certificate_path()).client_certificate(&certificate.both_path))
    }

    async fn ours(&self, round: u32) -> Result<f64> {
        even_out(self.root.path(), self.mebibytes)?;
        measured(&self.client(round, "ours", self.cluster.proxy())?, &self.tree).await
    }

    async fn peer(&self, round: u32) -> Result<f64> {
        let client = self.client(round, "peer", &self.rclone_proxy)?;
        client.init().await?;
        even_out(self.root.path(), self.mebibytes)?;
        measured(&client, &self.tree).await
    }

    /// Room for the next round, made between rounds: the disk goes on with freed blocks for a while, at the cost of whoever is
    /// measured then. Ours stays, because a shard's files are not anybody else's to remove.
    fn clear(&self, round: u32) -> Result<()> {
        let repository = self.root.path().join("rclone-data").join(Self::node(round));
        std::fs::remove_dir_all(&repository).with_context(|| format!("removing {}", repository.display()))
    }
}

/// Throughput of `restic backup`, ours against `rclone serve restic`, in MiB/s.
///
/// # Errors
/// When a server does not start or a backup fails.
pub async fn backup(bench: BackupBench) -> Result<Comparison> {
    ensure!(bench.mebibytes > 0 && bench.rounds > 0, "nothing to measure: {bench:?}");
    let mut course = Course::lay(bench).await?;
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for round in 0..bench.rounds {
        // Whoever goes first finds another disk and another cache: they take turns.
        if round.is_multiple_of(2) {
            ours.push(course.ours(round).await?);
            peer.push(course.peer(round).await?);
        } else {
            peer.push(course.peer(round).await?);
            ours.push(course.ours(round).await?);
        }
        course.clear(round)?;
        let (a, b) = (ours[ours.len() - 1], peer[peer.len() - 1]);
        println!("round {}: shardlift {a:.2} s, rclone {b:.2} s", round + 1);
    }
    course.cluster.shut_down().await?;
    course.rclone.process().terminate(Duration::from_secs(10)).await?;
    #[expect(clippy::cast_precision_loss, reason = "a size in MiB is far below 2^52")]
    let mebibytes = bench.mebibytes as f64;
    Ok(Comparison::new(
        "backup",
        &format!("restic backup of {} MiB through router and shard", bench.mebibytes),
        (mebibytes / median(&mut ours), mebibytes / median(&mut peer)),
        "rclone serve restic",
        "MiB/s",
        GOAL,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_two() {
        assert!((median(&mut [3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&mut [4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }
}
