//! The REST conformance suite against our shard, run by the real program, and against `rclone serve restic`: a server that
//! is not ours, with its departures written down.
//!
//! That departures are expected shows that the table tells the truth about rclone; judging rclone as if it were ours
//! shows that the suite sees the differences.

use anyhow::{Context as _, Result};
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::conformance::{Login, Mode, Peer, Protocol, Report, Which, run};
use integration_tests::{Rclone, RcloneOptions, TestCa, TestRoot, Validity, htpasswd_line, tool};
use std::path::PathBuf;

struct Stage {
    root: TestRoot,
    ca: TestCa,
    rclone: PathBuf,
}

impl Stage {
    fn set(test: &str) -> Result<Option<Self>> {
        let Some(rclone) = tool(test, "rclone") else { return Ok(None) };
        let root = TestRoot::new(test)?;
        let ca = TestCa::new(&root.path().join("ca"), "Legacy Backup CA")?;
        Ok(Some(Self { root, ca, rclone }))
    }

    async fn serve(&self, name: &str, mut options: RcloneOptions) -> Result<Rclone> {
        let server = self.ca.server("server")?;
        options.tls = Some((server.certificate_path, server.key_path));
        let data = self.root.folder(&format!("{name}-data"))?;
        Rclone::start(&self.rclone, name, self.root.path(), &data, &options).await
    }

    fn htpasswd(&self) -> Result<PathBuf> {
        let lines = htpasswd_line("alice", "secret of alice")? + &htpasswd_line("bob", "secret of bob")?;
        self.root.file("htpasswd", lines)
    }

    fn peer(&self, name: &str, server: &Rclone) -> Peer {
        Peer {
            name: name.to_owned(),
            which: Which::Rclone,
            address: server.address(),
            server_name: "alice.backup.example".to_owned(),
            ca_pem: self.ca.certificate_pem().to_owned(),
            account: "alice".to_owned(),
            owner: Login::basic("alice", "secret of alice"),
            other: None,
            certificate_demanded: false,
            mode: Mode::Normal,
            repository: None,
            protocols: vec![Protocol::Http1, Protocol::Http2],
        }
    }
}

fn check(report: &Report, judged_min: usize) {
    println!("{report}");
    assert!(report.wrong().is_empty(), "{:#?}", report.wrong());
    assert!(report.judged() >= judged_min, "only {} cases were judged", report.judged());
}

#[tokio::test]
async fn rclone_with_passwords_behaves_as_the_table_says() -> Result<()> {
    let Some(stage) = Stage::set("rclone_with_passwords_behaves_as_the_table_says")? else { return Ok(()) };
    let options = RcloneOptions { htpasswd: Some(stage.htpasswd()?), private_repos: true, ..RcloneOptions::default() };
    let server = stage.serve("rclone-private", options).await?;
    let mut peer = stage.peer("rclone, passwords, private repositories", &server);
    peer.other = Some(("bob".to_owned(), Login::basic("bob", "secret of bob")));
    check(&run(&peer).await, 80);
    Ok(())
}

#[tokio::test]
async fn rclone_with_client_certificates_behaves_as_the_table_says() -> Result<()> {
    let Some(stage) = Stage::set("rclone_with_client_certificates_behaves_as_the_table_says")? else { return Ok(()) };
    let client_ca = Some(stage.ca.certificate_path().to_owned());
    let server = stage.serve("rclone-mtls", RcloneOptions { client_ca, ..RcloneOptions::default() }).await?;
    let mut peer = stage.peer("rclone, client certificates", &server);
    let certificate = stage.ca.client("alice", "alice", Validity::Now)?;
    peer.owner = Login::certificate(&std::fs::read_to_string(certificate.both_path)?);
    peer.certificate_demanded = true;
    check(&run(&peer).await, 60);
    Ok(())
}

#[tokio::test]
async fn rclone_in_append_only_mode_behaves_as_the_table_says() -> Result<()> {
    let Some(stage) = Stage::set("rclone_in_append_only_mode_behaves_as_the_table_says")? else { return Ok(()) };
    let options = RcloneOptions { htpasswd: Some(stage.htpasswd()?), append_only: true, ..RcloneOptions::default() };
    let server = stage.serve("rclone-append-only", options).await?;
    let mut peer = stage.peer("rclone, append-only", &server);
    peer.mode = Mode::AppendOnly;
    check(&run(&peer).await, 8);
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_ours_does_not_pass_as_ours() -> Result<()> {
    let Some(stage) = Stage::set("a_server_that_is_not_ours_does_not_pass_as_ours")? else { return Ok(()) };
    let options = RcloneOptions { htpasswd: Some(stage.htpasswd()?), ..RcloneOptions::default() };
    let server = stage.serve("rclone-as-ours", options).await?;
    let mut peer = stage.peer("rclone, judged as if it were ours", &server);
    peer.which = Which::Ours;
    peer.protocols = vec![Protocol::Http1];
    let report = run(&peer).await;
    println!("{report}");
    let wrong: Vec<&str> = report.wrong().iter().map(|row| row.case).collect();
    for case in ["wrong-hash", "replace", "no-repository", "versions", "delete-nothing", "root-methods", "range-beyond"]
    {
        assert!(wrong.contains(&case), "{case} accepted a server that differs");
    }
    assert!(!wrong.contains(&"range"), "good ranges are served alike");
    report.rows.first().context("no rows")?;
    Ok(())
}

/// A shard with accounts `alice` and `bob`, and the peer that the suite talks to, without a login.
async fn our_shard(root: &TestRoot, name: &str, options: ClusterOptions) -> Result<(Cluster, Peer)> {
    let data = root.folder("data")?;
    let lines = htpasswd_line("alice", "secret of alice")? + &htpasswd_line("bob", "secret of bob")?;
    std::fs::write(data.join(".htpasswd"), lines)?;
    let options = ClusterOptions { create_nodes: true, source_data: Some(data), ..options };
    let mut cluster = Cluster::create(root.path(), options, false).await?;
    cluster.start_controller().await?;
    cluster.add_shard("source").await?;
    let peer = Peer {
        name: name.to_owned(),
        which: Which::Ours,
        address: cluster.address("source", "client")?,
        server_name: "alice.backup.example".to_owned(),
        ca_pem: cluster.old_ca().certificate_pem().to_owned(),
        account: "alice".to_owned(),
        owner: Login::default(),
        other: None,
        certificate_demanded: false,
        mode: Mode::Normal,
        repository: None,
        protocols: vec![Protocol::Http1, Protocol::Http2],
    };
    Ok((cluster, peer))
}

#[tokio::test]
async fn our_shard_with_passwords_behaves_as_the_table_says() -> Result<()> {
    let root = TestRoot::new("shard-passwords")?;
    let options = ClusterOptions { client_auth: "password", ..ClusterOptions::default() };
    let (_cluster, mut peer) = our_shard(&root, "shard, passwords", options).await?;
    peer.owner = Login::basic("alice", "secret of alice");
    peer.other = Some(("bob".to_owned(), Login::basic("bob", "secret of bob")));
    check(&run(&peer).await, 80);
    Ok(())
}

#[tokio::test]
async fn our_shard_with_client_certificates_behaves_as_the_table_says() -> Result<()> {
    let root = TestRoot::new("shard-certificates")?;
    let (cluster, mut peer) = our_shard(&root, "shard, client certificates", ClusterOptions::default()).await?;
    let login = |account: &str| -> Result<Login> {
        let issued = cluster.old_ca().client(account, account, Validity::Now)?;
        Ok(Login::certificate(&std::fs::read_to_string(issued.both_path)?))
    };
    peer.owner = login("alice")?;
    peer.other = Some(("bob".to_owned(), login("bob")?));
    peer.certificate_demanded = true;
    check(&run(&peer).await, 60);
    Ok(())
}

#[tokio::test]
async fn our_shard_in_append_only_mode_behaves_as_the_table_says() -> Result<()> {
    let root = TestRoot::new("shard-append-only")?;
    let settings = toml::Table::from_iter([("append_only".to_owned(), toml::Value::Boolean(true))]);
    let shard_settings = [("source".to_owned(), settings)].into();
    let options = ClusterOptions { client_auth: "password", shard_settings, ..ClusterOptions::default() };
    let (_cluster, mut peer) = our_shard(&root, "shard, append-only", options).await?;
    peer.owner = Login::basic("alice", "secret of alice");
    peer.mode = Mode::AppendOnly;
    check(&run(&peer).await, 8);
    Ok(())
}
