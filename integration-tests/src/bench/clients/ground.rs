//! The cluster: repositories that clients back up to, and nodes with data that leave again and again: each time they are taken back
//! before the flip, and their copies go, so that every move starts from nothing.

use super::ClientsBench;
use crate::bench::flip::copy_files;
use crate::cluster::{Cluster, ClusterOptions};
use crate::{Restic, TestRoot, eventually};
use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use rand::{RngCore as _, SeedableRng as _};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Nobody of these clients' account knows the others.
const ACCOUNT: &str = "bench";

/// Bytes of an object of a node that leaves: of the size of a pack.
const OBJECT_BYTES: u64 = 16 << 20;

/// What a shard may hold: more than all of it.
const CAPACITY_BYTES: i64 = 1 << 40;

/// How long a move may take.
const MOVE_TIME_MAX: Duration = Duration::from_secs(1800);

/// Between two looks at a move: each costs the machine something.
const LOOK_PAUSE: Duration = Duration::from_millis(400);

pub(super) struct Ground {
    // Dropped before its folder goes.
    pub(super) cluster: Cluster,
    pub(super) root: TestRoot,
    pub(super) restic: PathBuf,
    nodes: usize,
    revision: u32,
}

pub(super) fn client(number: usize) -> String {
    format!("{ACCOUNT}/client-{number}")
}

fn leaving(number: usize) -> String {
    format!("{ACCOUNT}/leaves-{number}")
}

/// Adds objects that neither compress nor repeat.
fn fill(repository: &Path, mebibytes: u64, seed: u64) -> Result<()> {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let mut left = mebibytes << 20;
    while left > 0 {
        let mut object = vec![0; usize::try_from(left.min(OBJECT_BYTES))?];
        rng.fill_bytes(&mut object);
        let name = hex::encode(digest(&SHA256, &object));
        let folder = repository.join("data").join(&name[..2]);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(&name), &object).context("writing what is moved")?;
        left -= object.len() as u64;
    }
    Ok(())
}

/// One batch of all nodes that leave.
fn plan(batch: &str, revision: u32, nodes: usize) -> Result<String> {
    let mut text = format!("version = 1\nrevision = {revision}\nbased_on = {}\nsource = \"source\"\n", revision - 1);
    writeln!(text, "headroom_percent = 1\n[[batch]]\nname = \"{batch}\"\nafter = []\n[batch.nodes]")?;
    for number in 0..nodes {
        writeln!(text, "\"{}\" = \"shard-b\"", leaving(number))?;
    }
    Ok(text)
}

impl Ground {
    /// Nothing moves yet, but all nodes are known.
    pub(super) async fn lay(restic: PathBuf, bench: &ClientsBench) -> Result<Self> {
        let root = TestRoot::new("bench-clients")?;
        let (data, template, tree) = (root.folder("old-data")?, root.folder("template")?, root.folder("tree")?);
        let local = Restic::new(&restic, &root.path().join("home"), &template.to_string_lossy(), "repository")?;
        local.init().await?;
        std::fs::write(tree.join("letter.txt"), "a letter that is worth keeping")?;
        local.backup(&tree).await?;
        let template = template.join("repository");
        for number in 0..bench.clients {
            copy_files(&template, &data.join(client(number)))?;
        }
        for number in 0..bench.nodes {
            let repository = data.join(leaving(number));
            copy_files(&template, &repository)?;
            fill(&repository, bench.mebibytes, number as u64)?;
        }
        let roomy = toml::Table::from_iter([("capacity_bytes".to_owned(), toml::Value::Integer(CAPACITY_BYTES))]);
        let options = ClusterOptions {
            source_data: Some(data),
            targets: vec!["shard-b".to_owned()],
            limits: vec![("seeding_nodes_max", 64)],
            shard_settings: ["source", "shard-b"].map(|shard| (shard.to_owned(), roomy.clone())).into(),
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(root.path(), options).await?;
        cluster.wait_nodes((bench.clients + bench.nodes) as u64).await?;
        Ok(Self { cluster, root, restic, nodes: bench.nodes, revision: 0 })
    }

    /// A batch of all nodes that leave.
    async fn plan(&mut self, batch: &str) -> Result<()> {
        self.revision += 1;
        let file = self.root.file("plan.toml", plan(batch, self.revision, self.nodes)?)?.to_string_lossy().into_owned();
        let (cli, revision) = (self.cluster.cli(), self.revision.to_string());
        let applied = async || cli.must(&["plan", "apply", file.as_str(), "--revision", &revision]).await;
        eventually("the plan is taken", Duration::from_secs(60), applied).await
    }

    async fn batch(&self, batch: &str) -> Result<Vec<Value>> {
        let view = self.cluster.cli().json(&["batch", "status", batch]).await?;
        let nodes = view["nodes"].as_array().cloned().context("a batch without nodes")?;
        let held = nodes.iter().find(|node| node["held_because"].as_str().is_some_and(|held| !held.is_empty()));
        ensure!(held.is_none() && nodes.len() == self.nodes, "{view}");
        Ok(nodes)
    }

    /// Moves all nodes that leave and comes back when every one of them follows. Returns how long it took, and why the source's pace
    /// was what it was.
    pub(super) async fn copy(&mut self, batch: &str) -> Result<(Duration, Vec<String>)> {
        self.plan(batch).await?;
        let cli = self.cluster.cli();
        let began = Instant::now();
        cli.must(&["batch", "start", batch]).await?;
        let mut reasons: Vec<String> = Vec::new();
        let copying = async {
            loop {
                let nodes = self.batch(batch).await?;
                let begins = |node: &Value| matches!(node["phase"].as_str(), None | Some("planned" | "seeding"));
                if !nodes.iter().any(begins) {
                    return Ok((began.elapsed(), reasons));
                }
                let pace = cli.json(&["shard", "limits", "source"]).await?;
                let pace = pace["pace"].as_str().context("a shard without a pace")?.to_owned();
                if reasons.last() != Some(&pace) {
                    reasons.push(pace);
                }
                tokio::time::sleep(LOOK_PAUSE).await;
            }
        };
        let copied = tokio::time::timeout(MOVE_TIME_MAX, copying).await;
        copied.with_context(|| format!("it takes longer than {MOVE_TIME_MAX:?}"))?
    }

    /// Takes all nodes back before they change hands; comes back when nothing of the copies is left.
    pub(super) async fn take_back(&self) -> Result<()> {
        for number in 0..self.nodes {
            self.cluster.cli().must(&["node", "abort", &leaving(number)]).await?;
        }
        let copies = self.cluster.data("shard-b").join(ACCOUNT);
        eventually("the copies are gone", MOVE_TIME_MAX, || async {
            let left = (0..self.nodes).filter(|number| self.cluster.repository("shard-b", &leaving(*number)).exists());
            ensure!(left.count() == 0, "some are left in {}", copies.display());
            Ok(())
        })
        .await
    }

    /// At both shards, while they run.
    pub(super) async fn clients_first(&self, switch: &str) -> Result<()> {
        for shard in ["source", "shard-b"] {
            self.cluster.cli().must(&["shard", "limits", shard, "--clients-first", switch]).await?;
        }
        Ok(())
    }

    pub(super) async fn end(mut self) -> Result<()> {
        self.cluster.shut_down().await
    }
}
