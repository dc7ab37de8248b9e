//! A target that is gone for good, with real processes: its node goes back without it, by an operator who accepted what is lost,
//! and nothing else is. When the target returns it serves nobody any more, and the node can move there again.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::conformance::{Peer, ask};
use integration_tests::demo::copy_differences;
use integration_tests::{Outcome, Restic, TestRoot, eventually, tool};
use rand::RngCore as _;
use serde_json::Value;
use shardlift_api::v1::shard_control_client::ShardControlClient;
use shardlift_api::v1::{GetNodeRequest, NodeMode, NodeStatus};
use shardlift_model::Role;
use shardlift_pki::tls::{CredentialPaths, Credentials, Expected, channel};
use std::path::{Path, PathBuf};
use std::time::Duration;

const NODE: &str = "acme/web-1";

/// A node that stays at the source: nothing may happen to it.
const BYSTANDER: &str = "globex";

const TARGET: &str = "shard-b";

/// How long a step may take on a busy machine.
const STEP_TIME_MAX: Duration = Duration::from_secs(60);

const FRESH_BYTES: usize = 3 << 20;

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
    /// Both nodes at the source, with a backup each.
    async fn lay(root: &TestRoot, restic: PathBuf) -> Result<Self> {
        let (data, tree) = (root.folder("old-data")?, root.folder("tree")?);
        for node in [NODE, BYSTANDER] {
            std::fs::create_dir_all(data.join(node).parent().context("no parent")?)?;
            let local = Restic::new(&restic, &root.path().join("home"), &data.to_string_lossy(), node)?;
            local.init().await?;
            refresh(&tree)?;
            local.backup(&tree).await?;
        }
        let options =
            ClusterOptions { source_data: Some(data), targets: vec![TARGET.to_owned()], ..ClusterOptions::default() };
        let cluster = Cluster::start(root.path(), options).await?;
        cluster.wait_nodes(2).await?;
        cluster.enrol(NODE).await?;
        Ok(Self { cluster, restic, tree })
    }

    /// A plan with one batch, `name`, that moves the node to the target; then the move, up to the soak.
    async fn move_there(&self, root: &TestRoot, revision: u64, name: &str) -> Result<()> {
        let text = format!(
            "version = 1\nrevision = {revision}\nbased_on = {}\nsource = \"source\"\nheadroom_percent = 1\n\
             [[batch]]\nname = \"{name}\"\n[batch.nodes]\n\"{NODE}\" = \"{TARGET}\"\n",
            revision - 1
        );
        let file = root.file(&format!("plan-{revision}.toml"), text)?;
        let revision = revision.to_string();
        let apply = ["plan".as_ref(), "apply".as_ref(), file.as_os_str(), "--revision".as_ref(), revision.as_ref()];
        self.cluster.cli().must(&apply).await?;
        self.cluster.cli().must(&["batch", "start", name, "--wait"]).await?;
        ensure!(self.cluster.node(NODE).await?["shard"] == TARGET, "it did not move");
        Ok(())
    }

    /// A backup through the router; the snapshot as the client was told it.
    async fn backup(&self) -> Result<String> {
        refresh(&self.tree)?;
        let outcome = self.cluster.new_client(&self.restic, NODE)?.backup(&self.tree).await?;
        outcome.saved_snapshot().context("restic names no snapshot")
    }

    /// Which of these the node still has, as its client lists them.
    async fn kept(&self, saved: &[String]) -> Result<Vec<bool>> {
        let listed = self.cluster.new_client(&self.restic, NODE)?.snapshots().await?;
        Ok(saved.iter().map(|short| listed.iter().any(|snapshot| snapshot.id.starts_with(short.as_str()))).collect())
    }

    async fn check(&self, node: &str) -> Result<()> {
        self.cluster.new_client(&self.restic, node)?.check().await.map(drop)
    }

    /// Where the two copies differ, locks apart: they come and go.
    fn differences(&self) -> Result<Vec<String>> {
        let [source, target] = ["source", TARGET].map(|shard| self.cluster.repository(shard, NODE));
        let mut differing = copy_differences(&source, &target, false)?;
        differing.retain(|line| !line.starts_with("locks/"));
        Ok(differing)
    }

    async fn followed(&self) -> Result<()> {
        eventually("the source has all that the target has", STEP_TIME_MAX, || async {
            let differing = self.differences()?;
            ensure!(differing.is_empty(), "{differing:?}");
            Ok(())
        })
        .await
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
        Ok(())
    }

    /// What would be lost, as a program reads it.
    async fn preview(&self) -> Result<Value> {
        let outcome = self.run(&["node", "rollback", NODE, "--accept-loss", "-o", "json"]).await?;
        ensure!(outcome.code == Some(2), "nobody agreed to it: {outcome:?}");
        serde_json::from_str(&outcome.stdout).context("the preview is no JSON")
    }

    /// A client that was pointed straight at the target, past the router.
    fn straight_at_the_target(&self) -> Result<Peer> {
        let peer = self.cluster.peer(NODE, self.cluster.new_login(NODE)?)?;
        Ok(Peer { address: self.cluster.address(TARGET, "client")?, ..peer })
    }

    /// What the target says of the node to a controller.
    async fn at_target(&self) -> Result<NodeStatus> {
        let folder = self.cluster.folder().join("cluster");
        let paths = CredentialPaths {
            certificate: folder.join("controller.pem"),
            key: folder.join("controller.key"),
            ca: folder.join("ca.pem"),
            legacy_ca: Vec::new(),
        };
        shardlift_pki::install_crypto_provider();
        let address = self.cluster.address(TARGET, "control")?.to_string();
        let channel = channel(&Credentials::load(paths)?, &address, Expected::one(Role::Shard, TARGET));
        let asked = ShardControlClient::new(channel).get_node(GetNodeRequest { node: NODE.to_owned() }).await;
        Ok(asked?.into_inner())
    }

    async fn without_findings(&self) -> Result<()> {
        let found = self.cluster.cli().json(&["doctor"]).await?;
        ensure!(found["findings"].as_array().is_some_and(Vec::is_empty), "{found}");
        Ok(())
    }

    /// The target goes for good with a snapshot that nobody else has: its follower stood still.
    async fn lose_target(&mut self) -> Result<String> {
        self.cluster.freeze("source", true)?;
        let lost = self.backup().await?;
        eventually("the controller has heard of it", STEP_TIME_MAX, || async {
            let view = self.cluster.node(NODE).await?;
            ensure!(view["snapshots"].as_u64().is_some_and(|snapshots| snapshots >= 5), "{view}");
            Ok(())
        })
        .await?;
        self.cluster.kill(TARGET)?;
        self.cluster.freeze("source", false)?;
        Ok(lost)
    }

    /// The target is back with its folder: told to give the node up, it serves nobody and keeps what it has.
    async fn check_deposed(&mut self, lost: &str) -> Result<()> {
        self.cluster.restart(TARGET).await?;
        eventually("the target gives the node up", STEP_TIME_MAX, || async {
            let view = self.cluster.node(NODE).await?;
            ensure!(view["phase"] == "settled" && view["shard"] == "source", "{view}");
            Ok(())
        })
        .await?;
        let said = self.at_target().await?;
        ensure!(said.mode() == NodeMode::Retired && said.forwards_to.is_empty(), "{said:?}");
        let peer = self.straight_at_the_target()?;
        let read = ask(&peer, "GET", &format!("/{NODE}/config"), None).await?;
        ensure!(read == Some(503), "it answers clients: {read:?}");
        let body = Bytes::from_static(b"stray");
        let name = "c3f2e3f7bde7a7a0ad9f2df1cbb0bd2e1d6d8a1d1a1e4e0f6a2b7c8d9e0f1a2b";
        let write = ask(&peer, "POST", &format!("/{NODE}/keys/{name}"), Some(body)).await?;
        ensure!(write == Some(503) || write.is_none(), "it takes writes: {write:?}");
        ensure!(!self.cluster.repository(TARGET, NODE).join("keys").join(name).exists(), "it took a write");
        let snapshots = std::fs::read_dir(self.cluster.repository(TARGET, NODE).join("snapshots"))?;
        let names: Vec<String> =
            snapshots.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<Result<_>>()?;
        ensure!(names.iter().any(|name| name.starts_with(lost)), "what it had is gone: {names:?}");
        self.without_findings().await
    }
}

/// Everything that is refused while the target is gone; the number that is accepted.
async fn refusals(yard: &Yard) -> Result<u64> {
    let preview = yard.preview().await?;
    let number = |field: &str| preview[field].as_u64().with_context(|| format!("no number `{field}` in {preview}"));
    ensure!(preview["writer"] == TARGET && preview["writer_answers"] == false && preview["problem"] == "", "{preview}");
    let followed = number("followed_seq")?;
    ensure!(number("heard_seq")? > followed && number("heard_at_unix_ms")? > 0, "{preview}");
    ensure!(number("snapshots_kept")? == 4 && number("snapshots_lost")? == 1, "{preview}");
    yard.run(&["node", "rollback", NODE, "--accept-loss"]).await?;
    let silent =
        format!("{TARGET}, which serves {NODE}, does not answer; source has all of its changes up to {followed}");
    let command = format!("shardlift node rollback {NODE} --accept-loss {followed}");
    yard.refused(&["node", "rollback", NODE, "--yes"], 3, &[&silent, "stored since", &command]).await?;
    yard.refused(&["node", "rollback", NODE, "--rehearse"], 3, &[&silent]).await?;
    let more = (followed + 1).to_string();
    let only = format!("up to {followed} only");
    yard.refused(&["node", "rollback", NODE, "--accept-loss", &more, "--yes"], 3, &[&only, &command]).await?;
    yard.refused(&["node", "rollback", NODE, "--accept-loss", "--yes"], 2, &["only with its number"]).await?;
    Ok(followed)
}

#[tokio::test]
async fn a_node_goes_back_without_a_target_that_is_gone_and_can_move_there_again() -> Result<()> {
    let test = "a_node_goes_back_without_a_target_that_is_gone_and_can_move_there_again";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let root = TestRoot::new("takeover")?;
    let mut yard = Yard::lay(&root, restic).await?;
    let mut saved = vec![yard.backup().await?];
    yard.move_there(&root, 1, "first").await?;
    yard.cluster.cli().must(&["batch", "rollback", "first", "--rehearse", "--wait"]).await?;
    for _ in 0..2 {
        saved.push(yard.backup().await?);
    }
    yard.followed().await?;
    // While it answers, nobody gives it up.
    yard.refused(&["node", "rollback", NODE, "--accept-loss", "1", "--yes"], 3, &["nothing has to be lost"]).await?;
    let lost = yard.lose_target().await?;
    let followed = refusals(&yard).await?.to_string();

    let accept = ["node", "rollback", NODE, "--accept-loss", &followed, "--reason", "disk burnt", "--yes", "--wait"];
    let back = yard.run(&accept).await?;
    ensure!(back.is_ok(), "{back:?}");
    ensure!(yard.kept(&saved).await?.iter().all(|kept| *kept), "a snapshot that the source had is gone");
    ensure!(yard.kept(std::slice::from_ref(&lost)).await? == [false], "nobody can have {lost}");
    saved.push(yard.backup().await?);
    yard.check(NODE).await?;
    let view = yard.cluster.node(NODE).await?;
    ensure!(view["shard"] == "source" && view["phase"] == "rolling_back", "{view}");
    ensure!(
        view["loss"].as_str().is_some_and(|loss| loss.contains("disk burnt") && loss.contains(&followed)),
        "{view}"
    );
    yard.run(&["node", "explain", NODE]).await?;

    yard.check_deposed(&lost).await?;
    yard.run(&["node", "show", NODE]).await?;
    ensure!(yard.kept(&saved).await?.iter().all(|kept| *kept), "the return of the target lost a snapshot");

    yard.move_there(&root, 2, "second").await?;
    let differing = yard.differences()?;
    ensure!(differing.is_empty(), "{differing:?}");
    saved.push(yard.backup().await?);
    ensure!(yard.kept(&saved).await?.iter().all(|kept| *kept), "a snapshot is gone after the second move");
    ensure!(yard.kept(std::slice::from_ref(&lost)).await? == [false], "what had parted came back: {lost}");
    yard.check(NODE).await?;
    yard.without_findings().await?;
    let bystander = yard.cluster.node(BYSTANDER).await?;
    ensure!(
        bystander["shard"] == "source" && bystander["generation"] == 0 && bystander["snapshots"] == 1,
        "{bystander}"
    );
    Ok(())
}
