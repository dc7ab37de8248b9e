//! Clients at work while their nodes change hands, there and back: real restic, backing up without a pause, on every node of
//! the batch. Not one line on any client's standard error, and every snapshot that a client was told is saved is there.

use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::{Restic, TestRoot, eventually, tool};
use rand::RngCore as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

const NODES: [&str; 3] = ["acme/web-1", "acme/web-2", "globex"];

/// How long a batch may take while all its clients are busy.
const MOVE_TIME_MAX: Duration = Duration::from_secs(120);

/// Fresh bytes per backup: enough packs that one is on its way at any moment.
const FRESH_BYTES: usize = 12 << 20;

/// One run of a client, as the client saw it.
#[derive(Debug)]
struct Run {
    node: &'static str,
    began: SystemTime,
    ended: SystemTime,
    snapshot: String,
}

/// What all clients lived through.
#[derive(Debug, Default)]
struct Lived {
    runs: Vec<Run>,
    complaints: Vec<String>,
}

struct Yard {
    cluster: Cluster,
    restic: PathBuf,
    trees: PathBuf,
}

impl Yard {
    async fn lay(root: &TestRoot, restic: PathBuf) -> Result<Self> {
        let (data, trees) = (root.folder("old-data")?, root.folder("trees")?);
        for node in NODES {
            std::fs::create_dir_all(data.join(node).parent().context("no parent")?)?;
            Restic::new(&restic, &root.path().join("home"), &data.to_string_lossy(), node)?.init().await?;
            refresh(&trees.join(node))?;
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
        Ok(Self { cluster, restic, trees })
    }

    async fn plan(&self, root: &TestRoot, revision: u32) -> Result<()> {
        let file = root.path().join(format!("plan-{revision}.toml"));
        let path = file.to_string_lossy().into_owned();
        let cli = self.cluster.cli();
        let (revision, canary) = (revision.to_string(), NODES.len().to_string());
        eventually("the inventory is there", Duration::from_secs(20), || async {
            cli.must(&[
                "plan", "make", "--source", "source", "--target", "shard-b", "--canary", &canary, "--out", &path,
            ])
            .await
        })
        .await?;
        cli.must(&["plan", "apply", &path, "--revision", &revision]).await
    }

    /// Backs up a node again and again until it is told to stop.
    async fn work(&self, node: &'static str, stop: &AtomicBool) -> Result<Lived> {
        let client = self.cluster.new_client(&self.restic, node)?;
        let tree = self.trees.join(node);
        let mut lived = Lived::default();
        while !stop.load(Ordering::SeqCst) {
            refresh(&tree)?;
            let began = SystemTime::now();
            let outcome = client.backup(&tree).await?;
            let ended = SystemTime::now();
            lived.complaints.extend(outcome.complaints().into_iter().map(|line| format!("{node}: {line}")));
            let snapshot = outcome.saved_snapshot().context("restic names no snapshot")?;
            lived.runs.push(Run { node, began, ended, snapshot });
        }
        Ok(lived)
    }

    /// All clients work while `change` happens, and for one more run each after it.
    async fn during<T>(&self, change: impl Future<Output = Result<T>>) -> Result<(Lived, T)> {
        let stop = AtomicBool::new(false);
        let changing = async {
            let changed = change.await;
            stop.store(true, Ordering::SeqCst);
            changed
        };
        let [one, two, three] = NODES;
        let (one, two, three, changed) =
            tokio::join!(self.work(one, &stop), self.work(two, &stop), self.work(three, &stop), async {
                tokio::time::timeout(MOVE_TIME_MAX, changing).await
            });
        let mut all = Lived::default();
        for lived in [one?, two?, three?] {
            all.runs.extend(lived.runs);
            all.complaints.extend(lived.complaints);
        }
        Ok((all, changed.context("it takes too long")??))
    }

    /// Carries a command out while clients are at work, and says when the first node was seen on its new writer.
    async fn flip(&self, command: &[&str], to: &str) -> Result<SystemTime> {
        let commanded = async {
            // Every client has begun.
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.cluster.cli().must(command).await
        };
        let seen = eventually("the first node has its new writer", MOVE_TIME_MAX, || async {
            ensure!(self.writer(NODES[0]).await? == to, "not yet");
            Ok(SystemTime::now())
        });
        let (commanded, seen) = tokio::join!(commanded, seen);
        commanded?;
        seen
    }

    async fn writer(&self, node: &str) -> Result<String> {
        Ok(self.cluster.node(node).await?["shard"].as_str().context("no shard")?.to_owned())
    }

    /// Every acknowledged snapshot is there, and every byte of it reads.
    async fn prove(&self, lived: &Lived) -> Result<()> {
        for node in NODES {
            let client = self.cluster.new_client(&self.restic, node)?;
            let kept = client.snapshots().await?;
            for run in lived.runs.iter().filter(|run| run.node == node) {
                let found = kept.iter().any(|snapshot| snapshot.id.starts_with(&run.snapshot));
                ensure!(found, "{node}: snapshot {} was acknowledged and is gone", run.snapshot);
            }
            client.check().await?;
        }
        Ok(())
    }

    /// The clients ended no run with a word, and at least one run was under way at the flip of its node.
    fn unnoticed(lived: &Lived, flipped: SystemTime, what: &str) -> Result<()> {
        let through = lived.runs.iter().filter(|run| run.began < flipped && flipped < run.ended).count();
        println!("{what}: {} runs, {through} of them through the flip", lived.runs.len());
        ensure!(lived.complaints.is_empty(), "{what}: clients noticed: {:#?}", lived.complaints);
        ensure!(through > 0, "{what}: no backup ran through the flip");
        Ok(())
    }
}

/// New content, so that every backup has something to send.
fn refresh(tree: &Path) -> Result<()> {
    std::fs::create_dir_all(tree)?;
    let mut bytes = vec![0; FRESH_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    std::fs::write(tree.join("fresh.bin"), bytes).context("writing what is backed up")
}

#[tokio::test]
async fn backups_run_through_the_flip_and_through_the_way_back_without_a_word() -> Result<()> {
    let test = "backups_run_through_the_flip_and_through_the_way_back_without_a_word";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let root = TestRoot::new("live-move")?;
    let yard = Yard::lay(&root, restic).await?;
    yard.plan(&root, 1).await?;
    let cli = yard.cluster.cli();

    let (there, flipped) = yard.during(yard.flip(&["batch", "start", "canary", "--wait"], "shard-b")).await?;
    Yard::unnoticed(&there, flipped, "there")?;
    for node in NODES {
        ensure!(yard.writer(node).await? == "shard-b", "{node} did not move");
    }
    yard.prove(&there).await?;

    let back = ["batch", "rollback", "canary", "--yes", "--wait"];
    let (back, flipped) = yard.during(yard.flip(&back, "source")).await?;
    Yard::unnoticed(&back, flipped, "back")?;
    for node in NODES {
        ensure!(yard.writer(node).await? == "source", "{node} did not come back");
    }
    let mut all = there;
    all.runs.extend(back.runs);
    yard.prove(&all).await?;
    let findings = cli.json(&["doctor"]).await?;
    ensure!(findings["findings"].as_array().is_some_and(Vec::is_empty), "{findings}");

    // The same nodes once more: the target goes on from what it kept.
    yard.plan(&root, 2).await?;
    let batches = cli.json(&["batch", "list"]).await?;
    let name = batches["batches"].as_array().and_then(|batches| {
        let planned = batches.iter().find(|batch| batch["phase"] == "planned")?;
        Some(planned["batch"].as_str()?.to_owned())
    });
    let name = name.with_context(|| format!("no batch is planned: {batches}"))?;
    let (again, flipped) = yard.during(yard.flip(&["batch", "start", &name, "--wait"], "shard-b")).await?;
    Yard::unnoticed(&again, flipped, "again")?;
    all.runs.extend(again.runs);
    yard.prove(&all).await
}

#[tokio::test]
async fn a_released_node_can_still_go_back_by_way_of_quarantine() -> Result<()> {
    let test = "a_released_node_can_still_go_back_by_way_of_quarantine";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let root = TestRoot::new("live-release")?;
    let yard = Yard::lay(&root, restic).await?;
    yard.plan(&root, 1).await?;
    let cli = yard.cluster.cli();
    cli.must(&["batch", "start", "canary", "--wait"]).await?;
    let node = NODES[0];
    cli.must(&["node", "rollback", node, "--rehearse", "--wait"]).await?;
    eventually("the verdict is good", Duration::from_secs(30), || async {
        let batch = cli.json(&["batch", "status", "canary"]).await?;
        ensure!(batch["verdict"] == "good", "{batch}");
        Ok(())
    })
    .await?;
    let early = cli.run(&["receipt", "show", node]).await?;
    ensure!(early.code == Some(3) && early.stderr.contains("is soaking"), "a receipt before the end: {early:?}");
    cli.must(&["batch", "release", "canary"]).await?;
    let aside = yard.cluster.data("source").join(".quarantine").join(node);
    eventually("the old copy is renamed aside", Duration::from_secs(30), || async {
        ensure!(aside.join("config").is_file(), "it is not");
        ensure!(!yard.cluster.repository("source", node).join("config").exists(), "it is still in its place");
        Ok(())
    })
    .await?;
    let receipt = receipt(&yard, &root, node).await?;
    let client = yard.cluster.new_client(&yard.restic, node)?;
    let tree = yard.trees.join(node);
    refresh(&tree)?;
    client.backup(&tree).await?;
    let refused = cli.run(&["node", "rollback", node, "--yes"]).await?;
    ensure!(!refused.is_ok() && refused.stderr.contains("node restore"), "{refused:?}");
    cli.must(&["node", "restore", node]).await?;
    eventually("the old copy follows", Duration::from_secs(30), || async {
        let view = yard.cluster.node(node).await?;
        ensure!(view["phase"] == "soaking", "{view}");
        Ok(())
    })
    .await?;
    cli.must(&["node", "rollback", node, "--yes", "--wait"]).await?;
    ensure!(yard.writer(node).await? == "source", "it did not go back");
    ensure!(client.snapshots().await?.len() == 2, "a snapshot was lost");
    let after = cli.run(&["receipt", "show", node]).await?;
    ensure!(after.stdout.as_bytes() == receipt, "the receipt of the move has changed");
    ensure!(after.stderr.contains("moved on"), "it is not told that the node went back: {}", after.stderr);
    client.check().await.map(drop)
}

/// The receipt of a released node: got, verified with the root alone, and refused when it is changed.
async fn receipt(yard: &Yard, root: &TestRoot, node: &str) -> Result<Vec<u8>> {
    let cli = yard.cluster.cli();
    let (file, ca) = (root.path().join("receipt.json"), yard.cluster.folder().join("cluster/ca.pem"));
    let (name, ca) = (file.to_string_lossy().into_owned(), ca.to_string_lossy().into_owned());
    eventually("the receipt is there", Duration::from_secs(30), || async {
        let shown = cli.run(&["receipt", "show", node, "--out", &name]).await?;
        ensure!(shown.is_ok(), "{shown:?}");
        Ok(())
    })
    .await?;
    let against = format!("node={node}");
    let verify = ["receipt", "verify", &name, "--ca", &ca, "--against", &against];
    let said = cli.run(&verify).await?;
    ensure!(said.is_ok(), "a good receipt is refused: {said:?}");
    let said = said.stdout;
    for part in ["good: signed by controller ", "equal at source and target", "soak:", "good", "operator "] {
        ensure!(said.contains(part), "{part:?} is not in {said}");
    }
    let judged = cli.json(&verify).await?;
    let facts = &judged[0]["receipt"]["facts"];
    for place in
        ["/target/state", "/history/source", "/history/target", "/deep_verify/before", "/certificates/new/issuer"]
    {
        ensure!(facts.pointer(place).is_some_and(|fact| !fact.is_null()), "{place} is not recorded: {facts}");
    }
    for group in ["times", "ordered_by"] {
        let all = facts[group].as_object().context("no such facts")?;
        ensure!(all.values().all(|fact| !fact.is_null()), "something is not recorded: {facts}");
    }
    ensure!(facts["history"]["source"] == facts["history"]["target"], "something stayed behind: {facts}");
    let export = root.path().join("receipts");
    cli.must(&["receipt", "export", "canary", "--dir", &export.to_string_lossy()]).await?;
    let bytes = std::fs::read(&file)?;
    let generation = &facts["place"]["generation"];
    let exported = export.join(format!("{}.{generation}.receipt.json", node.replace('/', "+")));
    ensure!(std::fs::read(exported)? == bytes, "the exported receipt is another one");
    let changed = String::from_utf8(bytes.clone())?.replacen("payload\":\"e", "payload\":\"f", 1);
    ensure!(changed.as_bytes() != bytes, "nothing was changed");
    std::fs::write(&file, changed)?;
    let refused = cli.run(&verify).await?;
    ensure!(refused.code == Some(5) && refused.stdout.contains("DOES NOT VERIFY"), "{refused:?}");
    std::fs::write(&file, "{}")?;
    ensure!(cli.run(&verify).await?.code == Some(7), "what is no receipt is judged");
    std::fs::write(&file, &bytes)?;
    Ok(bytes)
}
