//! Clients that write, forget and prune, nodes that change hands there and back, and every second one of the processes is killed
//! (`kill -9`) and started again. In the end every snapshot that a client was told is saved, and has not asked to forget, is
//! there, and every byte of every repository reads.
//!
//! `SHARDLIFT_CHURN_FLIPS` says how often the nodes change hands, `SHARDLIFT_CHURN_SEED` repeats who is killed when.

use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::{Restic, TestRoot, TreeShape, change_tree, eventually, fill_tree, tool};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

const NODES: [&str; 2] = ["acme/web", "globex"];

const PARTS: [&str; 4] = ["controller", "source", "shard-b", "router"];

/// In `make test`; the soak asks for more.
const FLIPS: u32 = 4;

/// Between two kills.
const KILL_PAUSE: Duration = Duration::from_secs(1);

/// How long one change of hands may take while parts die.
const FLIP_TIME_MAX: Duration = Duration::from_secs(180);

/// Snapshots that a client keeps when it forgets.
const KEPT: usize = 3;

fn setting<T: std::str::FromStr>(name: &str) -> Result<Option<T>> {
    match std::env::var(name) {
        Ok(text) => text.parse().ok().with_context(|| format!("{name} is no number: {text}")).map(Some),
        Err(_unset) => Ok(None),
    }
}

/// What one client was told.
#[derive(Debug, Default)]
struct Told {
    /// Saved, and never since among those that a forget may remove.
    saved: BTreeSet<String>,
    order: Vec<String>,
    backups: u32,
    failures: u32,
    prunes: u32,
}

impl Told {
    fn note_saved(&mut self, snapshot: String) {
        self.backups += 1;
        self.saved.insert(snapshot.clone());
        self.order.push(snapshot);
    }

    /// Whether or not it succeeds: all but the newest may be gone from now on.
    fn note_forget(&mut self) {
        let gone = self.order.len().saturating_sub(KEPT);
        for snapshot in self.order.drain(..gone) {
            self.saved.remove(&snapshot);
        }
    }
}

struct Scene {
    /// Taken for each kill, and for each command that needs the controller's address.
    cluster: Mutex<Cluster>,
    restic: PathBuf,
    trees: PathBuf,
    stop: AtomicBool,
}

impl Scene {
    async fn set(root: &TestRoot, restic: PathBuf) -> Result<Self> {
        let (data, trees) = (root.folder("old-data")?, root.folder("trees")?);
        for (seed, node) in (0..).zip(NODES) {
            std::fs::create_dir_all(data.join(node).parent().context("no parent")?)?;
            Restic::new(&restic, &root.path().join("home"), &data.to_string_lossy(), node)?.init().await?;
            fill_tree(&trees.join(node), seed, TreeShape { files: 60, large_files: 2, large_bytes: 2 << 20 })?;
        }
        let options = ClusterOptions {
            source_data: Some(data),
            targets: vec!["shard-b".to_owned()],
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(root.path(), options).await?;
        cluster.wait_nodes(NODES.len() as u64).await?;
        for node in NODES {
            cluster.enrol(node).await?;
            cluster.new_client(&restic, node)?.backup(&trees.join(node)).await?;
        }
        Ok(Self { cluster: Mutex::new(cluster), restic, trees, stop: AtomicBool::new(false) })
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Backs up, and every few runs forgets and prunes, as a client does that is not told of any of this.
    async fn work(&self, node: &str, seed: u64) -> Result<Told> {
        let client = self.cluster.lock().await.new_client(&self.restic, node)?;
        let tree = self.trees.join(node);
        let mut told = Told::default();
        for round in 0_u64.. {
            if self.stopped() {
                break;
            }
            change_tree(&tree, seed + round)?;
            let outcome = client.run(&["backup".as_ref(), tree.as_os_str()]).await?;
            match outcome.saved_snapshot().filter(|_| outcome.is_ok()) {
                Some(snapshot) => told.note_saved(snapshot),
                None => told.failures += 1,
            }
            if round % 4 == 3 {
                // A lock whose removal was lost is stale: its process is gone.
                client.run(&["unlock"]).await?;
                told.note_forget();
                let pruned = client.run(&["forget", "--keep-last", &KEPT.to_string(), "--prune"]).await?;
                told.prunes += u32::from(pruned.is_ok());
            }
        }
        Ok(told)
    }

    /// Kills one part after the other and starts it again.
    async fn kill(&self, mut dice: StdRng) -> Result<BTreeMap<&'static str, u32>> {
        let mut killed: BTreeMap<&'static str, u32> = BTreeMap::new();
        while !self.stopped() {
            tokio::time::sleep(KILL_PAUSE).await;
            let part = PARTS[dice.random_range(0..PARTS.len())];
            let mut cluster = self.cluster.lock().await;
            cluster.kill(part)?;
            cluster.restart(part).await.with_context(|| format!("{part} does not come back"))?;
            *killed.entry(part).or_default() += 1;
        }
        Ok(killed)
    }

    /// Repeats a command of the operator until it is carried out or has become pointless: the controller may be dead.
    async fn until(&self, what: &str, wanted: &str, command: &[&str]) -> Result<()> {
        eventually(what, FLIP_TIME_MAX, || async {
            let cluster = self.cluster.lock().await;
            let mut there = 0;
            for node in NODES {
                let view = cluster.node(node).await?;
                there +=
                    usize::from(view["shard"] == wanted && ["soaking", "settled"].iter().any(|p| view["phase"] == *p));
            }
            if there == NODES.len() {
                return Ok(());
            }
            // Refused while it is under way already.
            let said = cluster.cli().run(command).await?;
            drop(cluster);
            tokio::time::sleep(Duration::from_millis(500)).await;
            anyhow::bail!("{there} of {} nodes are on {wanted}; {}", NODES.len(), said.stderr.trim())
        })
        .await
    }

    async fn plan(&self, folder: &Path, revision: u32) -> Result<String> {
        let name = format!("flip-{revision}");
        let path = folder.join(format!("{name}.toml"));
        let nodes: Vec<String> = NODES.iter().map(|node| format!("\"{node}\" = \"shard-b\"")).collect();
        let text = format!(
            "version = 1\nrevision = {revision}\nbased_on = {}\nsource = \"source\"\nheadroom_percent = 1\n[[batch]]\n\
             name = \"{name}\"\nafter = []\n[batch.nodes]\n{}\n",
            revision - 1,
            nodes.join("\n")
        );
        std::fs::write(&path, text)?;
        eventually("the plan is applied", FLIP_TIME_MAX, || async {
            let cluster = self.cluster.lock().await;
            let shown = cluster.cli().json(&["plan", "show"]).await;
            let applied = shown.is_ok_and(|plan| plan["revision"].as_u64() == Some(revision.into()));
            if applied {
                return Ok(());
            }
            let path = path.to_string_lossy();
            cluster.cli().must(&["plan", "apply", &path, "--revision", &revision.to_string()]).await
        })
        .await?;
        Ok(name)
    }

    async fn flip(&self, folder: &Path, flips: u32) -> Result<()> {
        let mut batch = String::new();
        for flip in 0..flips {
            if flip % 2 == 0 {
                batch = self.plan(folder, flip / 2 + 1).await?;
                self.until(&format!("flip {flip}"), "shard-b", &["batch", "start", &batch]).await?;
            } else {
                self.until(&format!("flip {flip}"), "source", &["batch", "rollback", &batch, "--yes"]).await?;
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_while_nodes_change_hands_and_processes_die() -> Result<()> {
    let test = "nothing_that_was_acknowledged_is_lost_while_nodes_change_hands_and_processes_die";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let seed: u64 = setting("SHARDLIFT_CHURN_SEED")?.unwrap_or_else(rand::random);
    let flips = setting("SHARDLIFT_CHURN_FLIPS")?.unwrap_or(FLIPS);
    println!("SHARDLIFT_CHURN_SEED={seed} SHARDLIFT_CHURN_FLIPS={flips}");
    let root = TestRoot::new("churn")?;
    let scene = Scene::set(&root, restic).await?;
    let flipping = async {
        let flipped = scene.flip(root.path(), flips).await;
        scene.stop.store(true, Ordering::SeqCst);
        flipped
    };
    let killing = async {
        let killed = scene.kill(StdRng::seed_from_u64(seed)).await;
        scene.stop.store(true, Ordering::SeqCst);
        killed
    };
    let (one, two, killed, flipped) =
        tokio::join!(scene.work(NODES[0], seed), scene.work(NODES[1], seed + 1000), killing, flipping);
    let killed = killed?;
    println!("killed: {killed:?}");
    flipped?;
    let cluster = scene.cluster.lock().await;
    for (node, told) in NODES.into_iter().zip([one?, two?]) {
        println!("{node}: {} backups, {} failed, {} prunes", told.backups, told.failures, told.prunes);
        let client = cluster.new_client(&scene.restic, node)?;
        client.unlock().await?;
        let kept = client.snapshots().await?;
        for snapshot in &told.saved {
            let found = kept.iter().any(|kept| kept.id.starts_with(snapshot));
            ensure!(found, "{node}: snapshot {snapshot} was acknowledged and is gone");
        }
        client.check().await?;
        ensure!(told.backups > 0, "{node}: no backup came to its end");
    }
    ensure!(killed.values().sum::<u32>() >= flips, "hardly anything was killed: {killed:?}");
    Ok(())
}
