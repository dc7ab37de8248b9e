//! The kit's own proof: a real restic, by a name that no DNS knows, over TLS, against a server that is not ours.
//!
//! What passes here is the ground that the tests of our own services stand on.

use anyhow::Result;
use integration_tests::{
    ConnectProxy, Rclone, RcloneOptions, Restic, TestCa, TestRoot, TreeShape, Validity, differences, eventually,
    generate_tree, htpasswd_line, modify_tree, tool,
};
use std::path::PathBuf;
use std::time::Duration;

const HOST: &str = "web-1.backup.example";

struct Stage {
    root: TestRoot,
    ca: TestCa,
    restic: PathBuf,
    server: Rclone,
    proxy: ConnectProxy,
}

async fn stage(test: &str, passwords: bool) -> Result<Option<Stage>> {
    let (Some(restic), Some(rclone)) = (tool(test, "restic"), tool(test, "rclone")) else { return Ok(None) };
    let root = TestRoot::new(test)?;
    let ca = TestCa::new(&root.path().join("ca"), "Legacy Backup CA")?;
    let certificate = ca.server("server")?;
    let mut options =
        RcloneOptions { tls: Some((certificate.certificate_path, certificate.key_path)), ..Default::default() };
    if passwords {
        options.htpasswd = Some(root.file("htpasswd", htpasswd_line("web-1", "p:ss w@rd")?)?);
        options.private_repos = true;
    } else {
        options.client_ca = Some(ca.certificate_path().to_owned());
    }
    let data = root.folder("data")?;
    let server = Rclone::start(&rclone, "rclone", root.path(), &data, &options).await?;
    let proxy = ConnectProxy::start(None).await?;
    proxy.map(HOST, server.address());
    Ok(Some(Stage { root, ca, restic, server, proxy }))
}

impl Stage {
    fn client(&self, home: &str) -> Result<Restic> {
        let base = format!("https://{HOST}:{}", self.server.address().port());
        let restic = Restic::new(&self.restic, &self.root.path().join(home), &base, "web-1")?;
        Ok(restic.cacert(self.ca.certificate_path()).proxy(&self.proxy.url()))
    }
}

#[tokio::test]
async fn restic_with_a_client_certificate_backs_up_and_restores_by_name() -> Result<()> {
    let test = "restic_with_a_client_certificate_backs_up_and_restores_by_name";
    let Some(stage) = stage(test, false).await? else { return Ok(()) };
    let good = stage.ca.client("web-1", "web-1", Validity::Now)?;
    let restic = stage.client("home")?.client_certificate(&good.both_path);
    let tree = stage.root.path().join("tree");
    generate_tree(&tree, 11, TreeShape::SMALL)?;
    restic.init().await?;
    restic.backup(&tree).await?;
    modify_tree(&tree, 12)?;
    let outcome = restic.backup(&tree).await?;
    assert_eq!(outcome.complaints(), Vec::<&str>::new());
    let scratch = stage.root.path().join("restored");
    assert_eq!(restic.restore_differences("latest", &tree, &scratch).await?, Vec::<String>::new());
    assert_eq!(restic.snapshots().await?.len(), 2);
    restic.forget_and_prune(1).await?;
    restic.check().await?;
    assert!(stage.proxy.asked().iter().all(|host| host == HOST) && !stage.proxy.asked().is_empty());
    Ok(())
}

#[tokio::test]
async fn restic_with_a_bad_certificate_gets_nowhere() -> Result<()> {
    let Some(stage) = stage("restic_with_a_bad_certificate_gets_nowhere", false).await? else { return Ok(()) };
    let foreign = TestCa::new(&stage.root.path().join("foreign"), "Legacy Backup CA")?;
    for (home, certificate, reason) in [
        ("expired", stage.ca.client("expired", "web-1", Validity::Expired)?, "is after"),
        ("early", stage.ca.client("early", "web-1", Validity::NotYet)?, "is before"),
        ("foreign", foreign.client("foreign", "web-1", Validity::Now)?, "unknown authority"),
    ] {
        let restic = stage.client(home)?.client_certificate(&certificate.both_path);
        // init asks once whether config is there and does not repeat itself for long.
        let outcome = restic.run(&["init"]).await?;
        assert!(!outcome.is_ok(), "{home}: {outcome:?}");
        // What the client prints depends on whether it reads the alert or meets the closed connection first.
        eventually("the server says why", Duration::from_secs(10), || async {
            let log = std::fs::read_to_string(stage.root.path().join("rclone.log"))?;
            let refused = |line: &str| line.contains("failed to verify client certificate") && line.contains(reason);
            anyhow::ensure!(log.lines().any(refused), "{home}: {outcome:?}: {log}");
            Ok(())
        })
        .await?;
    }
    let empty = stage.root.folder("empty")?;
    assert_eq!(differences(&empty, &stage.root.path().join("data"))?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn restic_with_a_password_backs_up_and_finds_the_server_again_after_kill_9() -> Result<()> {
    let test = "restic_with_a_password_backs_up_and_finds_the_server_again_after_kill_9";
    let Some(mut stage) = stage(test, true).await? else { return Ok(()) };
    let restic = stage.client("home")?.login("web-1", "p:ss w@rd")?;
    let tree = stage.root.path().join("tree");
    generate_tree(&tree, 13, TreeShape { files: 10, large_files: 0, large_bytes: 0 })?;
    restic.init().await?;
    restic.backup(&tree).await?;
    let address = stage.server.address();
    stage.server.process().kill()?;
    stage.server.process().restart()?;
    stage.server.process().wait_listening(address, Duration::from_secs(20)).await?;
    restic.check().await?;
    assert_eq!(restic.snapshots().await?.len(), 1);
    Ok(())
}
