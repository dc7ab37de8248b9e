//! Certificates that renew themselves, with real processes: a node's machine gets a new one for a new key without a token, and the
//! real client goes on with it; a stolen one that was renewed is worth nothing once it is taken back.

use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::{Restic, TestRoot, eventually, tool};
use std::path::{Path, PathBuf};
use std::time::Duration;

const NODE: &str = "acme/web-1";

const STEP_TIME_MAX: Duration = Duration::from_secs(60);

struct Machine<'c> {
    cluster: &'c Cluster,
    folder: PathBuf,
}

impl Machine<'_> {
    fn pem(&self) -> Result<String> {
        std::fs::read_to_string(self.folder.join("node.pem")).context("reading node.pem")
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Result<Vec<&'a str>> {
        let folder = self.folder.to_str().context("a path that is no text")?;
        Ok([&["node", "renew", "--out", folder], more].concat())
    }

    async fn renew(&self, more: &[&str]) -> Result<serde_json::Value> {
        self.cluster.cli().json(&self.arguments(more)?).await
    }
}

async fn cluster(root: &TestRoot, restic: &Path, tree: &Path) -> Result<Cluster> {
    let data = root.folder("old-data")?;
    std::fs::create_dir_all(data.join(NODE).parent().context("no parent")?)?;
    Restic::new(restic, &root.path().join("home"), &data.to_string_lossy(), NODE)?.init().await?;
    std::fs::write(tree.join("a.txt"), "what is kept")?;
    let options = ClusterOptions { source_data: Some(data), targets: Vec::new(), ..ClusterOptions::default() };
    let cluster = Cluster::start(root.path(), options).await?;
    cluster.wait_nodes(1).await?;
    cluster.enrol(NODE).await?;
    Ok(cluster)
}

#[tokio::test]
async fn a_machine_renews_its_certificate_and_backs_up_with_it() -> Result<()> {
    let test = "a_machine_renews_its_certificate_and_backs_up_with_it";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let root = TestRoot::new(test)?;
    let tree = root.folder("tree")?;
    let mut cluster = cluster(&root, &restic, &tree).await?;
    let machine = cluster.machine(NODE).join("shardlift");
    let first = std::fs::read_to_string(machine.join("node.pem"))?;
    {
        let machine = Machine { cluster: &cluster, folder: machine.clone() };
        let answer = machine.renew(&[]).await?;
        ensure!(answer["renewed"] == false && machine.pem()? == first, "it is not due: {answer}");
        let answer = machine.renew(&["--force"]).await?;
        ensure!(answer["renewed"] == true && answer["node"] == NODE && machine.pem()? != first, "{answer}");
        ensure!(!machine.folder.join("enrolment.pending").exists(), "a copy of the key is left");
        // The old one is good until it ends: a backup that runs has read it already.
        let old = root.path().join("old.pem");
        std::fs::write(&old, &first)?;
        cluster.new_client(&restic, NODE)?.client_certificate(&old).backup(&tree).await?;
    }
    let client = cluster.new_client(&restic, NODE)?;
    client.backup(&tree).await?;
    client.check().await?;

    // Without the controller nothing is lost, and the same command goes on where it was.
    cluster.terminate("controller").await?;
    let second = {
        let machine = Machine { cluster: &cluster, folder: machine.clone() };
        let second = machine.pem()?;
        let outcome = cluster.cli().run(&machine.arguments(&["--force"])?).await?;
        ensure!(outcome.code == Some(4) && machine.pem()? == second, "{outcome:?}");
        ensure!(machine.folder.join("enrolment.pending").exists(), "the key that was asked for is kept");
        second
    };
    cluster.restart("controller").await?;
    let machine = Machine { cluster: &cluster, folder: machine };
    eventually("the controller is back", STEP_TIME_MAX, || async { machine.renew(&["--force"]).await.map(drop) })
        .await?;
    ensure!(machine.pem()? != second, "nothing was renewed");
    client.backup(&tree).await?;

    // A thief renews what it stole; taking the stolen one back takes back what came of it.
    let thief = Machine { cluster: &cluster, folder: root.path().join("thief") };
    std::fs::create_dir_all(&thief.folder)?;
    for name in ["node.pem", "ca.pem", "controller.toml"] {
        std::fs::copy(machine.folder.join(name), thief.folder.join(name))?;
    }
    thief.renew(&["--force"]).await?;
    let stolen = cluster.new_client(&restic, NODE)?.client_certificate(&thief.folder.join("node.pem"));
    stolen.backup(&tree).await?;
    cluster.cli().must(&["cert", "revoke", "--node", NODE, "--reason", "key-compromise", "--yes"]).await?;
    let outcome = cluster.cli().run(&thief.arguments(&["--force"])?).await?;
    ensure!(outcome.code != Some(0), "{outcome:?}");
    ensure!(stolen.backup(&tree).await.is_err(), "what was stolen is let in");
    cluster.enrol(NODE).await?;
    machine.renew(&["--force"]).await?;
    client.unlock().await?;
    client.backup(&tree).await?;
    client.check().await?;
    cluster.shut_down().await
}
