//! A batch of which one of two targets is gone for good, with real processes: it is refused as a whole until the loss of each
//! node is accepted, then every node goes back as it can, and its client finds what was kept.

use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::{Outcome, Restic, TestRoot, eventually, tool};
use rand::RngCore as _;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// They move to the target that is lost.
const LOST: [&str; 2] = ["acme/web-1", "acme/web-2"];

/// It moves to the one that stays.
const SAFE: &str = "globex";

const NODES: [&str; 3] = [LOST[0], LOST[1], SAFE];

/// The one that is lost first.
const TARGETS: [&str; 2] = ["shard-b", "shard-c"];

/// How long a step may take on a busy machine.
const STEP_TIME_MAX: Duration = Duration::from_secs(60);

const FRESH_BYTES: usize = 1 << 20;

struct Yard {
    cluster: Cluster,
    restic: PathBuf,
    tree: PathBuf,
}

/// New content, so that every backup has something to send.
fn refresh(tree: &Path) -> Result<()> {
    std::fs::create_dir_all(tree)?;
    let mut bytes = vec![0; FRESH_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    std::fs::write(tree.join("fresh.bin"), bytes).context("writing what is backed up")
}

impl Yard {
    /// All nodes at the source with a backup each; then moved, in one batch, and served by their targets.
    async fn lay(root: &TestRoot, restic: PathBuf) -> Result<Self> {
        let (data, tree) = (root.folder("old-data")?, root.folder("tree")?);
        for node in NODES {
            std::fs::create_dir_all(data.join(node).parent().context("no parent")?)?;
            let local = Restic::new(&restic, &root.path().join("home"), &data.to_string_lossy(), node)?;
            local.init().await?;
            refresh(&tree)?;
            local.backup(&tree).await?;
        }
        let targets = TARGETS.map(str::to_owned).to_vec();
        let options = ClusterOptions { source_data: Some(data), targets, ..ClusterOptions::default() };
        let cluster = Cluster::start(root.path(), options).await?;
        cluster.wait_nodes(3).await?;
        let yard = Self { cluster, restic, tree };
        for node in NODES {
            yard.cluster.enrol(node).await?;
            // Its new certificate is seen in use.
            yard.backup(node).await?;
        }
        let text = format!(
            "version = 1\nrevision = 1\nbased_on = 0\nsource = \"source\"\nheadroom_percent = 1\n[[batch]]\nname = \"all\"\n\
             [batch.nodes]\n\"{}\" = \"{}\"\n\"{}\" = \"{}\"\n\"{SAFE}\" = \"{}\"\n",
            LOST[0], TARGETS[0], LOST[1], TARGETS[0], TARGETS[1]
        );
        let file = root.file("plan-1.toml", text)?;
        let apply = ["plan".as_ref(), "apply".as_ref(), file.as_os_str(), "--revision".as_ref(), "1".as_ref()];
        yard.cluster.cli().must(&apply).await?;
        yard.cluster.cli().must(&["batch", "start", "all", "--wait"]).await?;
        Ok(yard)
    }

    /// A backup through the router; the snapshot as the client was told it.
    async fn backup(&self, node: &str) -> Result<String> {
        refresh(&self.tree)?;
        let outcome = self.cluster.new_client(&self.restic, node)?.backup(&self.tree).await?;
        outcome.saved_snapshot().context("restic names no snapshot")
    }

    async fn has(&self, node: &str, snapshot: &str) -> Result<bool> {
        let listed = self.cluster.new_client(&self.restic, node)?.snapshots().await?;
        Ok(listed.iter().any(|found| found.id.starts_with(snapshot)))
    }

    async fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        let outcome = self.cluster.cli().run(arguments).await?;
        println!("$ shardlift {}\n{}{}", arguments.join(" "), outcome.stdout, outcome.stderr);
        Ok(outcome)
    }

    async fn refused(&self, arguments: &[&str], code: i32, words: &[&str]) -> Result<()> {
        let outcome = self.run(arguments).await?;
        ensure!(outcome.code == Some(code), "exit code {:?}: {}", outcome.code, outcome.stderr);
        for words in words {
            ensure!(outcome.stderr.contains(words), "`{words}` is not in: {}", outcome.stderr);
        }
        for node in NODES {
            let view = self.cluster.node(node).await?;
            ensure!(view["phase"] == "soaking", "something was begun: {view}");
        }
        Ok(())
    }

    /// What would be lost, as a program reads it: for the nodes whose shard is gone, `NODE=SEQ`.
    async fn preview(&self) -> Result<Vec<String>> {
        let outcome = self.run(&["batch", "rollback", "all", "--accept-loss", "-o", "json"]).await?;
        ensure!(outcome.code == Some(2), "nobody agreed to it: {outcome:?}");
        let preview: Value = serde_json::from_str(&outcome.stdout).context("the preview is no JSON")?;
        let nodes = preview["nodes"].as_array().context("no nodes")?;
        ensure!(preview["problem"] == "" && nodes.len() == NODES.len(), "{preview}");
        let gone = nodes.iter().filter(|node| node["writer_answers"] == false);
        let named = gone.map(|node| {
            let seq = node["followed_seq"].as_u64().context("no number")?;
            Ok(format!("{}={seq}", node["node"].as_str().context("no name")?))
        });
        named.collect()
    }

    /// The first target goes for good, with a snapshot of its first node that nobody else has: the followers stood still.
    async fn lose_target(&mut self) -> Result<String> {
        self.cluster.freeze("source", true)?;
        let lost = self.backup(LOST[0]).await?;
        eventually("the controller has heard of it", STEP_TIME_MAX, || async {
            let view = self.cluster.node(LOST[0]).await?;
            ensure!(view["snapshots"].as_u64().is_some_and(|snapshots| snapshots >= 4), "{view}");
            Ok(())
        })
        .await?;
        self.cluster.kill(TARGETS[0])?;
        self.cluster.freeze("source", false)?;
        Ok(lost)
    }

    /// Every follower has all that its writer has.
    async fn followed(&self) -> Result<()> {
        eventually("the source has all that the targets have", STEP_TIME_MAX, || async {
            for node in NODES {
                let view = self.cluster.node(node).await?;
                ensure!(view["way_back"]["lag"] == 0 && view["way_back"]["problem"] == "", "{view}");
                ensure!(view["snapshots"] == 3, "{view}");
            }
            Ok(())
        })
        .await
    }
}

#[tokio::test]
async fn a_batch_goes_back_although_one_of_its_targets_is_gone() -> Result<()> {
    let test = "a_batch_goes_back_although_one_of_its_targets_is_gone";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let root = TestRoot::new("takeover-batch")?;
    let mut yard = Yard::lay(&root, restic).await?;
    let mut kept = Vec::new();
    for node in NODES {
        kept.push((node, yard.backup(node).await?));
    }
    yard.followed().await?;
    yard.refused(&["batch", "rollback", "all", "--accept-loss"], 3, &["nothing has to be lost"]).await?;
    let quota = ["node", "set", LOST[1], "--quota", "20GiB", "--hold", "case-17=court"];
    yard.cluster.cli().must(&quota).await?;
    let lost = yard.lose_target().await?;

    let silent = format!("without {}, 2 nodes of batch all cannot go back without loss", TARGETS[0]);
    let command = "`shardlift batch rollback all --accept-loss`";
    let words = [silent.as_str(), LOST[0], LOST[1], "stored since", "1 snapshot among them", SAFE, command];
    yard.refused(&["batch", "rollback", "all", "--yes"], 3, &words).await?;
    yard.refused(&["batch", "rollback", "all", "--accept-loss", "--yes"], 2, &["only with their numbers"]).await?;
    let losses = yard.preview().await?;
    ensure!(losses.len() == 2, "{losses:?}");
    yard.run(&["batch", "rollback", "all", "--accept-loss"]).await?;
    yard.refused(&["batch", "rollback", "all", "--accept-loss", &losses[0], "--yes"], 3, &["1 node of batch all"])
        .await?;

    let accept = ["batch", "rollback", "all", "--accept-loss", &losses[0], &losses[1], "--reason", "disk burnt"];
    let back = yard.run(&[&accept[..], &["--yes", "--wait"]].concat()).await?;
    ensure!(back.is_ok(), "{back:?}");
    for (node, snapshot) in &kept {
        ensure!(yard.has(node, snapshot).await?, "{node} lost {snapshot}, which its source had");
        yard.cluster.new_client(&yard.restic, node)?.check().await?;
        let fresh = yard.backup(node).await?;
        ensure!(yard.has(node, &fresh).await?, "{node} is not served");
    }
    ensure!(!yard.has(LOST[0], &lost).await?, "nobody can have {lost}");
    let view = yard.cluster.node(LOST[1]).await?;
    ensure!(view["quota_bytes"] == 20_u64 << 30 && view["holds"][0] == "case-17: court", "{view}");
    let status = yard.run(&["batch", "status", "all"]).await?;
    ensure!(status.stdout.contains("disk burnt") && status.stdout.contains("rolled_back"), "{status:?}");
    let again = yard.run(&[&accept[..], &["--yes", "--wait"]].concat()).await?;
    ensure!(again.is_ok(), "the same once more: {again:?}");

    yard.cluster.restart(TARGETS[0]).await?;
    for node in LOST {
        eventually("the target gives the node up", STEP_TIME_MAX, || async {
            let view = yard.cluster.node(node).await?;
            ensure!(view["phase"] == "settled" && view["shard"] == "source", "{view}");
            Ok(())
        })
        .await?;
    }
    let found = yard.cluster.cli().json(&["doctor"]).await?;
    ensure!(found["findings"].as_array().is_some_and(Vec::is_empty), "{found}");
    Ok(())
}
