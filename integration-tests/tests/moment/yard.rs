//! A cluster whose batches wait for something, and a client whose session lasts as long as a test wants.

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::conformance::{Peer, ask};
use integration_tests::{Outcome, Restic, TestRoot, eventually};
use rand::RngCore as _;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

/// How long a batch may take to get ready, and to flip when nothing stands in the way.
pub(crate) const STEP_TIME_MAX: Duration = Duration::from_secs(60);

/// Looks that find a batch waiting, one after the other, before its waiting is believed.
const LOOKS: usize = 5;

/// Bytes that make a session store something.
const FEED_BYTES: usize = 6 << 20;

/// A cluster, its clients, and plans made by hand.
pub(crate) struct Yard {
    // Dropped before its folder goes.
    pub(crate) cluster: Cluster,
    root: TestRoot,
    pub(crate) restic: PathBuf,
}

/// A batch of a plan: name, lines of its policy, nodes.
pub(crate) type Planned<'a> = (&'a str, String, &'a [&'a str]);

fn plan(revision: u32, batches: &[Planned<'_>]) -> Result<String> {
    let head = format!("version = 1\nrevision = {revision}\nbased_on = {}\nsource = \"source\"\n", revision - 1);
    let mut text = head + "headroom_percent = 1\n";
    for (name, policy, nodes) in batches {
        writeln!(text, "[[batch]]\nname = \"{name}\"\nafter = []\n{policy}\n[batch.nodes]")?;
        for node in *nodes {
            writeln!(text, "\"{node}\" = \"shard-b\"")?;
        }
    }
    Ok(text)
}

pub(crate) fn reasons(batch: &Value) -> String {
    batch["waiting_for"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
}

fn random(bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    rand::rng().fill_bytes(&mut content);
    content
}

fn names_in(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error).with_context(|| format!("listing {}", folder.display())),
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

impl Yard {
    /// A cluster with these nodes, each with one snapshot and its new certificate in use, and with these batches planned.
    pub(crate) async fn lay(test: &str, restic: PathBuf, nodes: &[&str], batches: &[Planned<'_>]) -> Result<Self> {
        let root = TestRoot::new(test)?;
        let (data, tree) = (root.folder("old-data")?, root.folder("tree")?);
        std::fs::write(tree.join("letter.txt"), "a letter that is worth keeping")?;
        for node in nodes {
            std::fs::create_dir_all(data.join(node).parent().context("no parent")?)?;
            let local = Restic::new(&restic, &root.path().join("home"), &data.to_string_lossy(), node)?;
            local.init().await?;
            local.backup(&tree).await?;
        }
        let options = ClusterOptions {
            source_data: Some(data),
            targets: vec!["shard-b".to_owned()],
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(root.path(), options).await?;
        cluster.wait_nodes(nodes.len() as u64).await?;
        let yard = Self { cluster, root, restic };
        for node in nodes {
            yard.cluster.enrol(node).await?;
            let login = yard.cluster.new_login(node)?;
            let shown = ask(&yard.cluster.peer(node, login)?, "GET", &format!("/{node}/config"), None).await?;
            ensure!(shown == Some(200), "{node}: {shown:?}");
        }
        let file = yard.plan_file(1, batches)?;
        eventually("the inventory is there", STEP_TIME_MAX, || async {
            yard.cluster.cli().must(&["plan", "apply", &file, "--revision", "1"]).await
        })
        .await?;
        Ok(yard)
    }

    pub(crate) fn plan_file(&self, revision: u32, batches: &[Planned<'_>]) -> Result<String> {
        let file = self.root.file(&format!("plan-{revision}.toml"), plan(revision, batches)?)?;
        Ok(file.to_string_lossy().into_owned())
    }

    pub(crate) async fn start(&self, batch: &str) -> Result<()> {
        self.cluster.cli().must(&["batch", "start", batch]).await
    }

    pub(crate) async fn batch(&self, batch: &str) -> Result<Value> {
        self.cluster.cli().json(&["batch", "status", batch]).await
    }

    /// Waits until a batch says that it waits for this, then looks on: it goes on saying so and fences nobody.
    pub(crate) async fn waits_for(&self, batch: &str, reason: &str) -> Result<Value> {
        eventually(&format!("{batch} waits for `{reason}`"), STEP_TIME_MAX, || async {
            self.batch(batch).await.and_then(|view| waiting(view, reason)).map(drop)
        })
        .await?;
        for _look in 1..LOOKS {
            waiting(self.batch(batch).await?, reason)?;
        }
        waiting(self.batch(batch).await?, reason)
    }

    pub(crate) async fn soaks(&self, batch: &str) -> Result<Value> {
        eventually(&format!("{batch} soaks"), STEP_TIME_MAX, || async {
            let view = self.batch(batch).await?;
            ensure!(view["phase"] == "soaking", "{view}");
            ensure!(of_all(&view, "shard", "shard-b"), "not all nodes moved: {view}");
            Ok(view)
        })
        .await
    }

    /// The locks in a node's repository at a shard.
    pub(crate) fn locks(&self, shard: &str, node: &str) -> Result<BTreeSet<String>> {
        names_in(&self.cluster.repository(shard, node).join("locks"))
    }

    /// A backup that runs until it is ended: its lock is at the source when this comes back.
    pub(crate) async fn session(&self, node: &str) -> Result<Session> {
        let path = self.root.path().join("session.pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let script = format!("#!/bin/sh\nexec {} \"$@\" < {}\n", self.restic.display(), path.display());
        let script = self.root.file("restic-session", script)?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700))?;
        // Both ways, so that opening it does not wait for the reader.
        let pipe = pipe::OpenOptions::new().read_write(true).open_sender(&path)?;
        let client = self.cluster.new_client(&script, node)?;
        let run = tokio::spawn(async move { client.run(&["backup", "--stdin"]).await });
        let mut session = Session { pipe, run };
        session.feed().await?;
        eventually("the session has its lock", STEP_TIME_MAX, || async {
            ensure!(!session.run.is_finished(), "restic has ended");
            ensure!(self.locks("source", node)?.len() == 1, "there is none");
            Ok(())
        })
        .await?;
        Ok(session)
    }

    /// Stores an object as the node does, at the source itself, past the router.
    pub(crate) async fn store_at_source(&self, node: &str) -> Result<Option<u16>> {
        let mut peer: Peer = self.cluster.peer(node, self.cluster.new_login(node)?)?;
        peer.address = self.cluster.address("source", "client")?;
        let body = Bytes::from(random(100));
        let name = hex::encode(digest(&SHA256, &body));
        ask(&peer, "POST", &format!("/{node}/locks/{name}"), Some(body)).await
    }

    /// A command that is refused, and in words that name what to do instead.
    pub(crate) async fn refused(&self, command: &[&str], named: &str) -> Result<()> {
        let outcome = self.cluster.cli().run(command).await?;
        ensure!(outcome.code == Some(3), "{command:?} is not refused: {outcome:?}");
        ensure!(outcome.stderr.contains(named), "{command:?} does not name `{named}`: {}", outcome.stderr);
        Ok(())
    }
}

/// True when a field of all nodes of a batch has this value.
pub(crate) fn of_all(batch: &Value, field: &str, value: &str) -> bool {
    batch["nodes"].as_array().is_some_and(|nodes| !nodes.is_empty() && nodes.iter().all(|node| node[field] == value))
}

/// A batch whose nodes are ready, none of them fenced, and which names this reason.
pub(crate) fn waiting(view: Value, reason: &str) -> Result<Value> {
    ensure!(reasons(&view).contains(reason), "it waits for `{}`: {view}", reasons(&view));
    ensure!(view["phase"] == "preparing", "it is {}", view["phase"]);
    ensure!(of_all(&view, "phase", "ready") && of_all(&view, "shard", "source"), "not all nodes are ready: {view}");
    Ok(view)
}

/// A restic at work.
pub(crate) struct Session {
    pipe: pipe::Sender,
    run: JoinHandle<Result<Outcome>>,
}

impl Session {
    /// Gives it something to store; comes back when nearly all of it was read.
    pub(crate) async fn feed(&mut self) -> Result<()> {
        let fed = tokio::time::timeout(STEP_TIME_MAX, self.pipe.write_all(&random(FEED_BYTES))).await;
        Ok(fed.context("restic does not read what it backs up")??)
    }

    /// Lets it come to its end, which must be a good one, without a word.
    pub(crate) async fn end(self) -> Result<()> {
        drop(self.pipe);
        let outcome = self.run.await??;
        ensure!(outcome.is_ok() && outcome.saved_snapshot().is_some(), "the backup failed: {outcome:?}");
        ensure!(outcome.complaints().is_empty(), "the client noticed: {}", outcome.stderr);
        Ok(())
    }
}
