//! The cluster that flips are measured on: tiny repositories, made once by restic and copied, one batch for each measurement.

use crate::cluster::{Cluster, ClusterOptions};
use crate::{Restic, TestRoot, eventually};
use anyhow::{Context as _, Result, ensure};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The account of all nodes, and so their customer.
pub(super) const CUSTOMER: &str = "bench";

/// What a shard may hold: more than all backups come to.
const CAPACITY_BYTES: i64 = 64 << 30;

/// How long a batch may take from its start to its soak.
const BATCH_TIME_MAX: Duration = Duration::from_secs(900);

/// Between two looks at a batch: each costs the machine something.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// A batch and its nodes.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) name: String,
    pub(super) nodes: Vec<String>,
}

impl Batch {
    pub(super) fn new(name: &str, count: usize) -> Self {
        let nodes = (0..count).map(|number| format!("{CUSTOMER}/{name}-n{number}")).collect();
        Self { name: name.to_owned(), nodes }
    }
}

pub(super) struct Ground {
    // Dropped before its folder goes.
    pub(super) cluster: Cluster,
    pub(super) root: TestRoot,
    pub(super) restic: PathBuf,
}

/// Copies files, and the folders they are in: restic makes 256 folders in each repository, nearly all of them empty.
pub(in crate::bench) fn copy_files(source: &Path, target: &Path) -> Result<()> {
    for entry in std::fs::read_dir(source)? {
        let entry = entry?;
        let path = target.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_files(&entry.path(), &path)?;
        } else {
            std::fs::create_dir_all(target)?;
            std::fs::copy(entry.path(), &path).with_context(|| format!("copying {}", path.display()))?;
        }
    }
    Ok(())
}

fn plan(batches: &[Batch]) -> Result<String> {
    let mut text = "version = 1\nrevision = 1\nbased_on = 0\nsource = \"source\"\nheadroom_percent = 1\n".to_owned();
    for batch in batches {
        writeln!(text, "[[batch]]\nname = \"{}\"\nafter = []\n[batch.nodes]", batch.name)?;
        for node in &batch.nodes {
            writeln!(text, "\"{node}\" = \"shard-b\"")?;
        }
    }
    Ok(text)
}

impl Ground {
    /// Nothing is started yet, but all nodes are known and planned.
    pub(super) async fn lay(restic: PathBuf, batches: &[Batch]) -> Result<Self> {
        let root = TestRoot::new("bench-flip")?;
        let (data, template, tree) = (root.folder("old-data")?, root.folder("template")?, root.folder("tree")?);
        let local = Restic::new(&restic, &root.path().join("home"), &template.to_string_lossy(), "repository")?;
        local.init().await?;
        std::fs::write(tree.join("letter.txt"), "a letter that is worth keeping")?;
        local.backup(&tree).await?;
        for node in batches.iter().flat_map(|batch| &batch.nodes) {
            copy_files(&template.join("repository"), &data.join(node))?;
        }
        let roomy = toml::Table::from_iter([("capacity_bytes".to_owned(), toml::Value::Integer(CAPACITY_BYTES))]);
        let options = ClusterOptions {
            source_data: Some(data),
            targets: vec!["shard-b".to_owned()],
            // Seeding is not what is measured.
            limits: vec![("seeding_nodes_max", 32)],
            shard_settings: ["source", "shard-b"].map(|shard| (shard.to_owned(), roomy.clone())).into(),
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(root.path(), options).await?;
        cluster.wait_nodes(batches.iter().map(|batch| batch.nodes.len() as u64).sum()).await?;
        let file = root.file("plan.toml", plan(batches)?)?.to_string_lossy().into_owned();
        let applied = async || cluster.cli().must(&["plan", "apply", file.as_str(), "--revision", "1"]).await;
        eventually("the inventory is there", Duration::from_secs(30), applied).await?;
        Ok(Self { cluster, root, restic })
    }

    /// Starts a batch whose clients have not used their new certificates yet, and comes back when that is all it waits for.
    /// It is held then: it does not flip before it is resumed.
    pub(super) async fn prepare(&self, batch: &Batch) -> Result<()> {
        let cli = self.cluster.cli();
        cli.must(&["batch", "start", &batch.name]).await?;
        eventually("all nodes are verified", BATCH_TIME_MAX, || async {
            let view = cli.json(&["batch", "status", &batch.name]).await?;
            let verified = |node: &&serde_json::Value| node["verified"]["objects"].as_u64().is_some();
            let verified = view["nodes"].as_array().map_or(0, |nodes| nodes.iter().filter(verified).count());
            ensure!(verified == batch.nodes.len(), "{verified} of {} are", batch.nodes.len());
            Ok(())
        })
        .await?;
        cli.must(&["batch", "pause", &batch.name]).await
    }

    /// Starts a batch, or resumes one that is held, and comes back when all its nodes are served by their target.
    pub(super) async fn flip(&self, batch: &Batch, command: &str) -> Result<()> {
        let cli = self.cluster.cli();
        cli.must(&["batch", command, &batch.name]).await?;
        let flipping = async {
            loop {
                let view = cli.json(&["batch", "status", &batch.name]).await?;
                match view["phase"].as_str() {
                    Some("preparing" | "cutting_over" | "committed") => tokio::time::sleep(LOOK_PAUSE).await,
                    Some("soaking") => return self.moved(batch, &view),
                    _ => anyhow::bail!("batch {} did not flip: {view}", batch.name),
                }
            }
        };
        let flipped = tokio::time::timeout(BATCH_TIME_MAX, flipping).await;
        flipped.with_context(|| format!("batch {} takes longer than {BATCH_TIME_MAX:?}", batch.name))?
    }

    fn moved(&self, batch: &Batch, view: &serde_json::Value) -> Result<()> {
        let there =
            view["nodes"].as_array().map_or(0, |nodes| nodes.iter().filter(|n| n["shard"] == "shard-b").count());
        ensure!(there == batch.nodes.len(), "{there} of {} nodes of {} moved", batch.nodes.len(), batch.name);
        Ok(())
    }
}
