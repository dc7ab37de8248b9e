//! A second, independent client: rustic, built from crates.io by `make test-clients`. It writes no locks, uploads without
//! a length, and reads whole files without ranges; its repository moves like any other.

use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::{Restic, TestRoot, TreeShape, differences, generate_tree, modify_tree, tool};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::process::Command;

const NODE: &str = "acme/web-1";
const RUN_TIME_MAX: Duration = Duration::from_secs(120);

struct Rustic<'c> {
    binary: PathBuf,
    cluster: &'c Cluster,
}

impl Rustic<'_> {
    /// The options of its REST backend are given by environment.
    async fn must(&self, arguments: &[&str]) -> Result<String> {
        let machine = self.cluster.machine(NODE);
        let home = machine.join("rustic-home");
        std::fs::create_dir_all(&home)?;
        let mut command = Command::new(&self.binary);
        command.env_clear().env("HOME", &home).env("PATH", "/usr/bin:/bin");
        command.env("RUSTIC_REPOSITORY", format!("rest:https://{}/{NODE}/", self.cluster.server_name(NODE)));
        command.env("RUSTIC_PASSWORD", "correct horse").env("HTTPS_PROXY", self.cluster.proxy().url());
        command.env("RUSTIC_REPO_OPT_CACERT", machine.join("shardlift/ca.pem"));
        command.env("RUSTIC_REPO_OPT_TLS_CLIENT_CERT", machine.join("shardlift/node.pem"));
        command.args(arguments).kill_on_drop(true);
        let began = Instant::now();
        let output = tokio::time::timeout(RUN_TIME_MAX, command.output()).await.context("rustic takes too long")??;
        let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        ensure!(output.status.success(), "rustic {arguments:?}: {}\n{stdout}\n{stderr}", output.status);
        println!("rustic {}: {:.1} s", arguments.join(" "), began.elapsed().as_secs_f32());
        Ok(stdout)
    }
}

#[tokio::test]
#[ignore = "needs rustic, which takes minutes to build: make test-clients"]
async fn the_repository_of_a_rustic_client_moves_like_any_other() -> Result<()> {
    let test = "the_repository_of_a_rustic_client_moves_like_any_other";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/clients/bin/rustic");
    ensure!(binary.is_file(), "{} is missing: run `make test-clients`", binary.display());
    let root = TestRoot::new("rustic")?;
    let (data, tree) = (root.folder("old-data")?, root.folder("tree")?);
    std::fs::create_dir_all(data.join("acme"))?;
    // restic makes the repository, rustic works with it: the format is one.
    Restic::new(&restic, &root.path().join("home"), &data.to_string_lossy(), NODE)?.init().await?;
    let options = ClusterOptions { source_data: Some(data), ..ClusterOptions::default() };
    let cluster = Cluster::start(root.path(), options).await?;
    cluster.wait_nodes(1).await?;
    cluster.enrol(NODE).await?;
    let rustic = Rustic { binary, cluster: &cluster };
    generate_tree(&tree, 21, TreeShape::MEDIUM)?;
    let folder = tree.to_string_lossy().into_owned();
    for seed in 0..2 {
        rustic.must(&["backup", &folder]).await?;
        modify_tree(&tree, seed)?;
    }
    let plan = root.path().join("plan.toml");
    let file = plan.to_string_lossy().into_owned();
    let cli = cluster.cli();
    cli.must(&["plan", "make", "--source", "source", "--target", "shard-b", "--out", &file]).await?;
    cli.must(&["plan", "apply", &file, "--revision", "1"]).await?;
    cli.must(&["batch", "start", "canary", "--wait"]).await?;

    rustic.must(&["backup", &folder]).await?;
    rustic.must(&["check", "--read-data"]).await?;
    let restored = root.path().join("restored");
    rustic.must(&["restore", &format!("latest:{folder}"), &restored.to_string_lossy()]).await?;
    let differing = differences(&tree, &restored)?;
    ensure!(differing.is_empty(), "{differing:?}");
    rustic.must(&["forget", "--keep-last", "1", "--prune", "--instant-delete"]).await?;
    let client = cluster.new_client(&restic, NODE)?;
    client.check().await?;
    ensure!(client.snapshots().await?.len() == 1);
    Ok(())
}
