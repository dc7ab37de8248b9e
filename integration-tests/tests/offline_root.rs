//! A root that never was on the controller's machine, with real processes: the cluster is made below it, a second issuing CA takes
//! over while everything runs, and what the first one signed can still be taken back.

use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::{CREDENTIALS, Cli, Cluster, ClusterOptions, binary};
use integration_tests::conformance::{Login, ask};
use integration_tests::{Restic, TestRoot, eventually, tool};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const NODE: &str = "acme/web-1";

/// Its certificate is taken back after the CA that signed it has been followed by another one.
const STOLEN: &str = "acme/web-2";

const STEP_TIME_MAX: Duration = Duration::from_secs(60);

/// Two folders that stand for two machines, and files that are carried between them.
struct Offline<'r> {
    root: &'r TestRoot,
    cli: Cli,
}

impl Offline<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Words that begin with @ are files and folders of the test.
    async fn pki(&self, line: &str) -> Result<serde_json::Value> {
        let words = line.split_whitespace().map(|word| match word.strip_prefix('@') {
            Some(name) => self.path(name).into_os_string(),
            None => word.into(),
        });
        self.cli.json(&std::iter::once("pki".into()).chain(words).collect::<Vec<_>>()).await
    }

    /// A new issuing CA in a folder, signed by the root.
    async fn issue(&self, ca: &str, passphrase: &str) -> Result<u64> {
        let asked = self.pki(&format!("ca request --cluster demo --dir @{ca} --passphrase-file @{passphrase}")).await?;
        let generation = asked["generation"].as_u64().context("no number")?;
        let key = asked["key_fingerprint"].as_str().context("no fingerprint")?;
        let (request, signed) = (format!("{ca}/issuing-{generation}.csr"), format!("issuing-{generation}.pem"));
        let said = self
            .pki(&format!(
                "root sign @{request} --dir @offline --key {key} --out @{signed} --passphrase-file @root.passphrase"
            ))
            .await?;
        let root = said["root_fingerprint"].as_str().context("no fingerprint")?;
        self.pki(&format!("ca install @{signed} --dir @{ca} --root {root} --passphrase-file @{passphrase}")).await?;
        Ok(generation)
    }
}

fn secret(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?)
}

async fn cluster(offline: &Offline<'_>, restic: &Path) -> Result<Cluster> {
    let root = offline.root;
    let data = root.folder("old-data")?;
    for node in [NODE, STOLEN] {
        std::fs::create_dir_all(data.join(node).parent().context("no parent")?)?;
        Restic::new(restic, &root.path().join("home"), &data.to_string_lossy(), node)?.init().await?;
    }
    let ca = Some((offline.path("made-before"), offline.path("ca.passphrase")));
    let options = ClusterOptions { source_data: Some(data), targets: Vec::new(), ca, ..ClusterOptions::default() };
    let mut cluster = Cluster::create(root.path(), options, false).await?;
    // From now on the passphrase is a credential of the unit, and in no file of the cluster.
    let config = cluster.folder().join("cluster/controller.toml");
    let text = std::fs::read_to_string(&config)?;
    let (kept, credential) = ("passphrase_file = \"ca.passphrase\"", "passphrase_credential = \"shardlift-ca\"");
    ensure!(text.contains(kept), "{text}");
    std::fs::write(&config, text.replace(kept, credential))?;
    std::fs::remove_file(cluster.folder().join("cluster/ca.passphrase"))?;
    secret(&root.folder(CREDENTIALS)?.join("shardlift-ca"), "of the issuing CA")?;
    cluster.start_controller().await?;
    cluster.add_shard("source").await?;
    cluster.add_router().await?;
    cluster.wait_nodes(2).await?;
    Ok(cluster)
}

fn issuer_of(openssl: &Path, pem: &Path) -> Result<String> {
    let read = Command::new(openssl).args(["x509", "-noout", "-issuer", "-in"]).arg(pem).output()?;
    ensure!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let said = String::from_utf8(read.stdout)?;
    Ok(said.trim().rsplit(' ').next().unwrap_or_default().to_owned())
}

async fn is_let_in(cluster: &Cluster, login: Login) -> Result<bool> {
    let peer = cluster.peer(STOLEN, login)?;
    // A refused handshake is no answer, and neither is an end without one.
    Ok(matches!(ask(&peer, "GET", &format!("/{STOLEN}/config"), None).await, Ok(Some(200))))
}

/// `openssl` with the lists of both CAs.
fn is_good(openssl: &Path, cluster: &Cluster, lists: &Path, pem: &Path) -> Result<(bool, String)> {
    let ca = cluster.folder().join("cluster/ca.pem");
    let mut command = Command::new(openssl);
    command.args(["verify", "-x509_strict", "-crl_check", "-CAfile"]).arg(ca).arg("-CRLfile").arg(lists);
    let output = command.arg("-untrusted").arg(pem).arg(pem).output()?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[tokio::test]
async fn an_issuing_ca_follows_another_and_takes_back_what_it_signed() -> Result<()> {
    let test = "an_issuing_ca_follows_another_and_takes_back_what_it_signed";
    let (Some(restic), Some(openssl)) = (tool(test, "restic"), tool(test, "openssl")) else { return Ok(()) };
    let root = TestRoot::new(test)?;
    let offline = Offline { root: &root, cli: Cli::new(binary()?, root.path(), false) };
    secret(&offline.path("root.passphrase"), "of the root\n")?;
    secret(&offline.path("ca.passphrase"), "of the issuing CA\n")?;
    offline.pki("root create --cluster demo --dir @offline --passphrase-file @root.passphrase").await?;
    ensure!(offline.issue("made-before", "ca.passphrase").await? == 1, "the first one");
    let mut cluster = cluster(&offline, &restic).await?;
    let tree = root.folder("tree")?;
    std::fs::write(tree.join("a.txt"), "what is kept")?;
    for node in [NODE, STOLEN] {
        cluster.enrol(node).await?;
        cluster.new_client(&restic, node)?.backup(&tree).await?;
    }
    let node_pem = |node: &str| cluster.machine(node).join("shardlift/node.pem");
    let (own_pem, stolen_pem) = (node_pem(NODE), node_pem(STOLEN));
    ensure!(issuer_of(&openssl, &own_pem)? == "issuing-1", "{}", issuer_of(&openssl, &own_pem)?);
    ensure!(!cluster.folder().join("cluster/ca/root.key").exists(), "the key of the root is where it must not be");

    // The next issuing CA, while everything runs.
    ensure!(offline.issue("cluster/ca", "ca.passphrase").await? == 2, "the second one");
    cluster.hang_up("controller")?;
    let cli = cluster.cli().clone();
    eventually("the second CA signs", STEP_TIME_MAX, || async {
        let list = cli.json(&["cert", "crl"]).await?;
        ensure!(list["issuer"] == "issuing-2" && list["issuers"][1] == "issuing-1", "{list}");
        ensure!(list["parts"].as_array().is_some_and(|all| all.iter().all(|at| at["in_force"] == true)), "{list}");
        Ok(())
    })
    .await?;
    let log = cluster.folder().join("cluster/audit");
    let shown = cli.run(&["audit", "show", log.to_str().context("a path that is no text")?]).await?;
    ensure!(shown.is_ok() && shown.stdout.contains("take up issuing CA"), "{shown:?}");
    let machine = cluster.machine(NODE).join("shardlift");
    let first = std::fs::read_to_string(&own_pem)?;
    cli.json(&["node", "renew", "--force", "--out", machine.to_str().context("a path that is no text")?]).await?;
    ensure!(issuer_of(&openssl, &own_pem)? == "issuing-2", "it was not renewed by the second CA");
    let old = root.path().join("old.pem");
    std::fs::write(&old, first)?;
    cluster.new_client(&restic, NODE)?.client_certificate(&old).backup(&tree).await?;
    cluster.new_client(&restic, NODE)?.backup(&tree).await?;

    // What the first one signed is taken back all the same, and stays so.
    let stolen = Login::certificate(&std::fs::read_to_string(&stolen_pem)?);
    ensure!(is_let_in(&cluster, stolen.clone()).await?, "it was believed before");
    cli.must(&["cert", "revoke", "--node", STOLEN, "--reason", "key-compromise", "--yes"]).await?;
    ensure!(!is_let_in(&cluster, stolen.clone()).await?, "it is let in still");
    let lists = root.path().join("lists.pem");
    cli.must(&["cert", "crl", "--out", &lists.to_string_lossy()]).await?;
    let (is_believed, said) = is_good(&openssl, &cluster, &lists, &stolen_pem)?;
    ensure!(!is_believed && said.contains("certificate revoked"), "{said}");
    for pem in [&old, &own_pem] {
        let (is_believed, said) = is_good(&openssl, &cluster, &lists, pem)?;
        ensure!(is_believed, "{}: {said}", pem.display());
    }
    for part in ["source", "controller"] {
        cluster.kill(part)?;
        cluster.restart(part).await?;
        ensure!(!is_let_in(&cluster, stolen.clone()).await?, "a restart of {part} has let it in");
    }
    let client = cluster.new_client(&restic, NODE)?;
    client.backup(&tree).await?;
    client.check().await?;
    cluster.shut_down().await
}
