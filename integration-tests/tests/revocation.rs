//! A key that was stolen, with real processes: its certificate is taken back while a real client uploads with it. It is cut off at
//! every shard and stays out over restarts; nobody else notices; a new token lets the node in again.

use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::conformance::{Login, ask};
use integration_tests::{Restic, TestRoot, eventually, tool};
use rand::RngCore as _;
use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const NODE: &str = "acme/web-1";

/// A node of another customer: nothing may happen to it.
const BYSTANDER: &str = "globex";

/// How long a step may take on a busy machine.
const STEP_TIME_MAX: Duration = Duration::from_secs(60);

/// What a revocation is promised to take, in open connections too.
const EFFECTIVE: Duration = Duration::from_secs(5);

/// Takes minutes at [`SLOW`].
const UPLOAD_BYTES: usize = 24 << 20;

/// restic counts in KiB a second.
const SLOW: &str = "128";

fn refresh(tree: &Path, bytes: usize) -> Result<()> {
    std::fs::create_dir_all(tree)?;
    let mut content = vec![0; bytes];
    rand::rng().fill_bytes(&mut content);
    std::fs::write(tree.join("fresh.bin"), content).context("writing what is backed up")
}

async fn cluster(root: &TestRoot, restic: &Path, tree: &Path) -> Result<Cluster> {
    let data = root.folder("old-data")?;
    for node in [NODE, BYSTANDER] {
        std::fs::create_dir_all(data.join(node).parent().context("no parent")?)?;
        let local = Restic::new(restic, &root.path().join("home"), &data.to_string_lossy(), node)?;
        local.init().await?;
        refresh(tree, 1 << 20)?;
        local.backup(tree).await?;
    }
    let options =
        ClusterOptions { source_data: Some(data), targets: vec!["shard-b".to_owned()], ..ClusterOptions::default() };
    let cluster = Cluster::start(root.path(), options).await?;
    cluster.wait_nodes(2).await?;
    for node in [NODE, BYSTANDER] {
        cluster.enrol(node).await?;
        cluster.new_client(restic, node)?.backup(tree).await?;
    }
    Ok(cluster)
}

/// Files of uploads that have begun.
fn half_written(repository: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(repository.join("data"))? {
        for file in std::fs::read_dir(folder?.path())? {
            let path = file?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Whether a login is let in at the shard that serves the node.
async fn is_let_in(cluster: &Cluster, login: Login) -> Result<bool> {
    let peer = cluster.peer(NODE, login)?;
    // A refused handshake is no answer, and neither is an end without one.
    Ok(matches!(ask(&peer, "GET", &format!("/{NODE}/config"), None).await, Ok(Some(200))))
}

fn parts_in_force(list: &Value) -> Result<Vec<(String, bool)>> {
    let parts = list["parts"].as_array().context("no parts in the answer")?;
    let named = |at: &Value, field: &str| at[field].as_str().filter(|name| !name.is_empty()).map(ToOwned::to_owned);
    let name = |at: &Value| named(at, "shard").or_else(|| named(at, "router"));
    let at = |at: &Value| Some((name(at)?, at["in_force"].as_bool()?));
    parts.iter().map(|part| at(part).context("a part without its name")).collect()
}

/// `openssl` believes the list, and the bystander, and the node no more.
fn openssl_agrees(cluster: &Cluster, openssl: &Path, list: &Path, stolen: &Path) -> Result<()> {
    let ca = cluster.folder().join("cluster/ca.pem");
    for (pem, revoked) in [(stolen.to_owned(), true), (cluster.machine(BYSTANDER).join("shardlift/node.pem"), false)] {
        let mut command = Command::new(openssl);
        command.args(["verify", "-x509_strict", "-crl_check", "-CAfile"]).arg(&ca).arg("-CRLfile").arg(list);
        let output = command.arg("-untrusted").arg(&pem).arg(&pem).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success() != revoked, "{}: {said}", pem.display());
        ensure!(!revoked || said.contains("certificate revoked"), "{said}");
    }
    Ok(())
}

/// The list as any program fetches it: its number, by `openssl`.
fn published_number(cluster: &Cluster, openssl: &Path, root: &TestRoot) -> Result<String> {
    let config = std::fs::read_to_string(cluster.folder().join("cluster/controller.toml"))?;
    let line = config.lines().find_map(|line| line.strip_prefix("status_listen = "));
    let address = line.context("no status API")?.trim_matches('"');
    let mut asking = Command::new(openssl);
    asking.args(["s_client", "-quiet", "-connect", address, "-CAfile"]).arg(cluster.folder().join("cluster/ca.pem"));
    let mut asking = asking.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut request = asking.stdin.take().context("no stdin")?;
    request.write_all(b"GET /pki/crl HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let answer = asking.wait_with_output()?.stdout;
    drop(request);
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("no answer")?;
    let (head, list) = answer.split_at(end + 4);
    let head = String::from_utf8_lossy(head);
    ensure!(head.starts_with("HTTP/1.1 200") && head.contains("application/pkix-crl"), "{head}");
    let file = root.path().join("fetched.crl");
    std::fs::write(&file, list)?;
    let read =
        Command::new(openssl).args(["crl", "-inform", "DER", "-noout", "-crlnumber", "-in"]).arg(&file).output()?;
    ensure!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    Ok(String::from_utf8(read.stdout)?.trim().to_owned())
}

#[tokio::test]
async fn a_stolen_key_is_cut_off_everywhere_and_a_new_one_is_let_in() -> Result<()> {
    let test = "a_stolen_key_is_cut_off_everywhere_and_a_new_one_is_let_in";
    let (Some(restic), Some(openssl)) = (tool(test, "restic"), tool(test, "openssl")) else { return Ok(()) };
    let root = TestRoot::new(test)?;
    let tree = root.folder("tree")?;
    let mut cluster = cluster(&root, &restic, &tree).await?;
    let cli = cluster.cli().clone();
    let stolen_pem = root.path().join("stolen.pem");
    std::fs::copy(cluster.machine(NODE).join("shardlift/node.pem"), &stolen_pem)?;
    let stolen = Login::certificate(&std::fs::read_to_string(&stolen_pem)?);
    ensure!(is_let_in(&cluster, stolen.clone()).await?, "it was believed before");
    let listed = cli.json(&["cert", "list", "--node", NODE]).await?;
    ensure!(listed["certificates"].as_array().is_some_and(|all| all.len() == 1), "{listed}");

    // A shard is away, and an upload is under way.
    cluster.kill("shard-b")?;
    refresh(&tree, UPLOAD_BYTES)?;
    let slow = cluster.new_client(&restic, NODE)?.option("--limit-upload").option(SLOW);
    let uploading = tokio::spawn({
        let tree = tree.clone();
        async move { slow.backup(&tree).await }
    });
    let repository = cluster.repository("source", NODE);
    eventually("an upload is under way", STEP_TIME_MAX, || async {
        ensure!(!half_written(&repository)?.is_empty() && !uploading.is_finished(), "nothing is uploaded");
        Ok(())
    })
    .await?;
    let revoke = ["cert", "revoke", "--node", NODE, "--reason", "key-compromise", "--yes", "-o", "json"];
    let outcome = cli.run(&revoke).await?;
    ensure!(outcome.code == Some(6) && outcome.stderr.contains("shard-b"), "one shard is away: {outcome:?}");
    let done: Value = serde_json::from_str(&outcome.stdout)?;
    ensure!(done["serials"].as_array().is_some_and(|serials| serials.len() == 1), "{done}");
    let at = parts_in_force(&done["list"])?;
    let expected =
        [("shard-b", false), ("source", true), ("router-1", true)].map(|(name, held)| (name.to_owned(), held));
    ensure!(at == expected, "{at:?}");
    // The client tries again and again and gets nowhere.
    eventually("the running upload is cut", EFFECTIVE, || async {
        let left = half_written(&repository)?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await?;
    ensure!(!is_let_in(&cluster, stolen.clone()).await?, "it is let in still");
    uploading.abort();
    ensure!(cluster.log("source")?.contains("is revoked"), "the log does not say why");

    // Nobody else notices.
    refresh(&tree, 1 << 20)?;
    let bystander = cluster.new_client(&restic, BYSTANDER)?;
    bystander.backup(&tree).await?;
    bystander.check().await?;
    let list = root.path().join("list.pem");
    cli.must(&["cert", "crl", "--out", &list.to_string_lossy()]).await?;
    openssl_agrees(&cluster, &openssl, &list, &stolen_pem)?;
    let number = cli.json(&["cert", "crl"]).await?["number"].as_u64().context("no number")?;
    let expected = format!("crlNumber=0x{number:02X}");
    eventually("the list is published", STEP_TIME_MAX, || async {
        let published = published_number(&cluster, &openssl, &root)?;
        ensure!(published.eq_ignore_ascii_case(&expected), "{published}, expected was {expected}");
        Ok(())
    })
    .await?;

    // The shard that was away is told when it is back; the others have kept it, and so has the controller.
    for part in ["shard-b", "source", "controller"] {
        if part == "source" {
            cluster.kill(part)?;
        } else if part == "controller" {
            cluster.terminate(part).await?;
        }
        cluster.restart(part).await?;
        ensure!(part != "source" || !is_let_in(&cluster, stolen.clone()).await?, "a restart has let it in");
        eventually("the list is in force everywhere", STEP_TIME_MAX, || async {
            let list = cli.json(&["cert", "crl"]).await?;
            ensure!(parts_in_force(&list)?.iter().all(|(_, in_force)| *in_force), "{list}");
            ensure!(list["certificates"] == 1, "{list}");
            Ok(())
        })
        .await?;
    }
    let revoked = cli.json(&["cert", "list", "--revoked"]).await?;
    ensure!(revoked["certificates"][0]["reason"] == "key-compromise", "{revoked}");

    // A new token and a new key; the old one stays out.
    cluster.enrol(NODE).await?;
    let client = cluster.new_client(&restic, NODE)?;
    client.unlock().await?;
    client.backup(&tree).await?;
    client.check().await?;
    ensure!(!is_let_in(&cluster, stolen).await?, "the old certificate is let in again");
    cluster.shut_down().await
}
