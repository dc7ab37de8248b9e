//! Certificates that renew themselves, with real processes: a node's machine gets a new one for a new key without a token, and the
//! real client goes on with it; a stolen one that was renewed is worth nothing once it is taken back.

use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::{Restic, TestRoot, eventually, tool};
use rand::RngCore as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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

/// Serials in hex of what a server shows, by `openssl`.
fn shown_at(openssl: &Path, address: &str) -> Result<String> {
    let mut shown = Command::new(openssl);
    shown.args(["s_client", "-connect", address, "-alpn", "h2", "-showcerts"]).stdin(Stdio::null());
    // Without a client's certificate the handshake ends badly, after the server has shown its own.
    let chain = shown.stderr(Stdio::null()).output()?.stdout;
    let mut serial = Command::new(openssl);
    serial.args(["x509", "-noout", "-serial"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut serial = serial.spawn()?;
    serial.stdin.take().context("no stdin")?.write_all(&chain)?;
    let said = String::from_utf8(serial.wait_with_output()?.stdout)?;
    let serial = said.trim().strip_prefix("serial=").with_context(|| format!("{address} shows nothing: {said}"))?;
    Ok(serial.to_lowercase().trim_start_matches('0').to_owned())
}

async fn control_address(cluster: &Cluster, part: &str, list: &str) -> Result<String> {
    let listed = cluster.cli().json(&[part, "list"]).await?;
    let address = listed[list][0]["control_address"].as_str();
    address.map(ToOwned::to_owned).with_context(|| format!("no address in {listed}"))
}

#[tokio::test]
async fn the_parts_renew_their_own_certificates_under_a_running_backup() -> Result<()> {
    let test = "the_parts_renew_their_own_certificates_under_a_running_backup";
    let (Some(restic), Some(openssl)) = (tool(test, "restic"), tool(test, "openssl")) else { return Ok(()) };
    let root = TestRoot::new(test)?;
    let tree = root.folder("tree")?;
    let mut cluster = cluster(&root, &restic, &tree).await?;
    let shard = control_address(&cluster, "shard", "shards").await?;
    let router = control_address(&cluster, "router", "routers").await?;
    let before = [shown_at(&openssl, &shard)?, shown_at(&openssl, &router)?];

    let mut content = vec![0; 8 << 20];
    rand::rng().fill_bytes(&mut content);
    std::fs::write(tree.join("fresh.bin"), content)?;
    let slow = cluster.new_client(&restic, NODE)?.option("--limit-upload").option("512");
    let uploading = tokio::spawn(async move { slow.backup(&tree).await });
    // As if two thirds of the life were over.
    cluster.terminate("controller").await?;
    let config = cluster.folder().join("cluster/controller.toml");
    let text = std::fs::read_to_string(&config)?;
    ensure!(text.contains("\n[ca]\n"), "{text}");
    std::fs::write(&config, text.replace("\n[ca]\n", "\n[ca]\nrenew_at_percent = 0\n"))?;
    cluster.restart("controller").await?;
    eventually("both show new certificates", STEP_TIME_MAX, || async {
        let now = [shown_at(&openssl, &shard)?, shown_at(&openssl, &router)?];
        ensure!(now[0] != before[0] && now[1] != before[1], "{now:?}");
        Ok(())
    })
    .await?;
    ensure!(!uploading.is_finished(), "the upload was over before anything was renewed");
    uploading.await??;
    // The controller has renewed its own as well, and goes on: it is called with it.
    let own = cluster.folder().join("cluster/own-certificate.pem");
    eventually("the controller has its own", STEP_TIME_MAX, || async {
        ensure!(own.exists(), "not yet");
        Ok(())
    })
    .await?;

    std::fs::write(&config, text)?;
    let renewed = shown_at(&openssl, &shard)?;
    for part in ["source", "router", "controller"] {
        cluster.kill(part)?;
        cluster.restart(part).await?;
    }
    ensure!(shown_at(&openssl, &shard)? == renewed, "the restart has lost what was renewed");
    let listed = cluster.cli().json(&["cert", "list"]).await?;
    let of = |role: &str| {
        let all = listed["certificates"].as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(|known| known["role"] == role).count()
    };
    ensure!(of("shard") >= 2 && of("router") >= 2 && of("controller") >= 1, "{listed}");
    let client = cluster.new_client(&restic, NODE)?;
    client.backup(&root.folder("tree")?).await?;
    client.check().await?;
    cluster.shut_down().await
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
