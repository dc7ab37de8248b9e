//! A data folder that restic itself has filled is taken over in place, moved, and stays what it was: the old folder and
//! the new one both open with plain local restic, without any of our programs.

use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::{Restic, TestRoot, TreeShape, eventually, generate_tree, htpasswd_line, modify_tree, tool};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

const NODES: [&str; 2] = ["alice", "acme/web-1"];

/// Opens a repository by its folder, as restic without a server does, and reads all of it.
async fn opens(restic: &Path, root: &TestRoot, folder: &Path, tree: &Path, snapshots: usize) -> Result<()> {
    let number: u64 = rand::random();
    let (home, scratch) = (root.path().join(format!("home-{number}")), root.path().join(format!("restored-{number}")));
    let name = folder.file_name().context("a folder without name")?.to_string_lossy();
    let parent = folder.parent().context("a folder without parent")?.to_string_lossy();
    let local = Restic::new(restic, &home, &parent, &name)?;
    let found = local.snapshots().await?.len();
    ensure!(found == snapshots, "{}: {found} snapshots", folder.display());
    local.check().await?;
    let differing = local.restore_differences("latest", tree, &scratch).await?;
    ensure!(differing.is_empty(), "{}: {differing:?}", folder.display());
    Ok(())
}

#[tokio::test]
async fn a_folder_of_plain_restic_is_adopted_moved_and_still_opens_without_us() -> Result<()> {
    let Some(restic) = tool("a_folder_of_plain_restic_is_adopted_moved_and_still_opens_without_us", "restic") else {
        return Ok(());
    };
    let root = TestRoot::new("adopt")?;
    let (data, tree) = (root.folder("old-data")?, root.folder("tree")?);
    let passwords = htpasswd_line("alice", "secret of alice")? + &htpasswd_line("acme", "secret of acme")?;
    std::fs::write(data.join(".htpasswd"), &passwords)?;
    generate_tree(&tree, 11, TreeShape { files: 30, large_files: 1, large_bytes: 1 << 20 })?;
    for node in NODES {
        std::fs::create_dir_all(data.join(node).parent().context("no parent")?)?;
        let local = Restic::new(&restic, &root.path().join("home"), &data.to_string_lossy(), node)?;
        local.init().await?;
        local.backup(&tree).await?;
    }
    let modes = |folder: &Path| -> Result<u32> { Ok(std::fs::metadata(folder)?.permissions().mode()) };
    let mode_before = modes(&data.join("alice/config"))?;
    let options =
        ClusterOptions { source_data: Some(data.clone()), client_auth: "either", ..ClusterOptions::default() };
    let mut cluster = Cluster::start(root.path(), options).await?;
    cluster.wait_nodes(NODES.len() as u64).await?;

    // The clients of the old server, with their passwords, through the router.
    modify_tree(&tree, 1)?;
    for (node, user) in NODES.into_iter().zip(["alice", "acme"]) {
        let base = format!("https://{}", cluster.server_name(node));
        let client = Restic::new(&restic, &cluster.machine(node).join("home"), &base, node)?;
        let client = client.login(user, &format!("secret of {user}"))?.proxy(&cluster.proxy().url());
        client.cacert(cluster.old_ca().certificate_path()).backup(&tree).await?;
        cluster.enrol(node).await?;
        cluster.new_client(&restic, node)?.snapshots().await?;
    }
    let plan = root.path().join("plan.toml");
    let file = plan.to_string_lossy().into_owned();
    let cli = cluster.cli();
    eventually("the inventory is there", Duration::from_secs(20), || async {
        cli.must(&["plan", "make", "--source", "source", "--target", "shard-b", "--canary", "2", "--out", &file]).await
    })
    .await?;
    cli.must(&["plan", "apply", &file, "--revision", "1"]).await?;
    cli.must(&["batch", "start", "canary", "--wait"]).await?;

    modify_tree(&tree, 2)?;
    for (node, user) in NODES.into_iter().zip(["alice", "acme"]) {
        cluster.new_client(&restic, node)?.backup(&tree).await?;
        // Passwords have travelled with the nodes; they end with the release, not with the move.
        let base = format!("https://{}", cluster.server_name(node));
        let client = Restic::new(&restic, &cluster.machine(node).join("old-home"), &base, node)?;
        let client = client.login(user, &format!("secret of {user}"))?.proxy(&cluster.proxy().url());
        let listed = client.cacert(&cluster.machine(node).join("shardlift/ca.pem")).snapshots().await?;
        ensure!(listed.len() == 3, "{node}: {} snapshots with the password", listed.len());
    }
    eventually("the old folders have followed", Duration::from_secs(30), || async {
        for node in NODES {
            let kept = std::fs::read_dir(data.join(node).join("snapshots"))?.count();
            ensure!(kept == 3, "{node}: {kept} snapshots in the old folder");
        }
        Ok(())
    })
    .await?;
    cluster.shut_down().await?;
    ensure!(std::fs::read_to_string(data.join(".htpasswd"))? == passwords, "the password file was changed");
    ensure!(modes(&data.join("alice/config"))? == mode_before, "the mode of a file was changed");
    for node in NODES {
        // The old folder follows until the release: both have what was stored since the flip.
        opens(&restic, &root, &data.join(node), &tree, 3).await?;
        opens(&restic, &root, &cluster.repository("shard-b", node), &tree, 3).await?;
    }
    Ok(())
}
