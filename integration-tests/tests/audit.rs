//! The audit log with the real program: what a running controller wrote verifies offline, over a kill too, and what a hand did to it
//! afterwards is named.

use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::{Outcome, TestCa, TestRoot};
use std::path::{Path, PathBuf};

/// The program, without a controller to ask.
struct Auditor<'c> {
    cluster: &'c Cluster,
    folder: PathBuf,
}

impl Auditor<'_> {
    async fn verify(&self, more: &[&str]) -> Result<Outcome> {
        let (folder, ca) = (text(&self.folder)?, self.cluster.folder().join("cluster/ca.pem"));
        self.cluster.cli().run(&[&["audit", "verify", folder, "--ca", text(&ca)?], more].concat()).await
    }

    async fn lines(&self, more: &[&str]) -> Result<Vec<serde_json::Value>> {
        let all = [&["audit", "show", text(&self.folder)?, "-o", "json"], more].concat();
        let shown = self.cluster.cli().run(&all).await?;
        ensure!(shown.is_ok(), "{shown:?}");
        shown.stdout.lines().map(|line| serde_json::from_str(line).context("a line that is no JSON")).collect()
    }

    async fn head(&self) -> Result<String> {
        let head = self.cluster.cli().run(&["audit", "head", text(&self.folder)?]).await?;
        ensure!(head.is_ok(), "{head:?}");
        Ok(head.stdout.trim().to_owned())
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

#[tokio::test]
async fn what_the_controller_wrote_verifies_and_what_a_hand_changed_is_named() -> Result<()> {
    let root = TestRoot::new("what_the_controller_wrote_verifies_and_what_a_hand_changed_is_named")?;
    let mut cluster = Cluster::create(root.path(), ClusterOptions::default(), false).await?;
    cluster.start_controller().await?;
    let folder = cluster.folder().join("cluster/audit");
    let bob = root.path().join("bob");
    cluster.cli().must(&["operator", "prepare", "bob", "--dir", text(&bob)?]).await?;
    let refused = cluster.cli().run(&["batch", "pause", "nope"]).await?;
    ensure!(!refused.is_ok(), "{refused:?}");
    let kept = {
        let auditor = Auditor { cluster: &cluster, folder: folder.clone() };
        let good = auditor.verify(&[]).await?;
        ensure!(good.is_ok() && good.stdout.starts_with("good: ") && good.stderr.contains("--head"), "{good:?}");
        auditor.head().await?
    };

    // Nothing that was answered is lost, and the next process goes on in the same chain.
    cluster.kill("controller")?;
    cluster.restart("controller").await?;
    cluster.cli().run(&["batch", "resume", "nope"]).await?;
    cluster.terminate("controller").await?;
    let auditor = Auditor { cluster: &cluster, folder: folder.clone() };
    let good = auditor.verify(&["--head", &kept]).await?;
    ensure!(good.is_ok(), "{good:?}");
    let records = auditor.lines(&[]).await?;
    let said: Vec<_> = records.iter().map(|record| format!("{} {}", record["what"], record["outcome"])).collect();
    for what in ["issue certificate\" \"done", "pause batch\" \"not_found", "resume batch\" \"not_found"] {
        ensure!(said.iter().any(|line| line.contains(what)), "{what}: {said:?}");
    }
    let issued = records.iter().find(|record| record["what"] == "issue certificate").context("no certificate")?;
    let serial = issued["fields"]["serial"].as_str().context("no serial")?;
    ensure!(auditor.lines(&["--serial", serial]).await? == [issued.clone()], "{serial}");
    ensure!(auditor.lines(&["--since", "2099-01-01"]).await?.is_empty(), "nothing is from then");
    ensure!(auditor.lines(&["--refused"]).await?.len() == 2, "{said:?}");

    let file = folder.join("audit-00000000000000000001.jsonl");
    let whole = std::fs::read(&file)?;
    let starts: Vec<usize> = std::iter::once(0)
        .chain(whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1))
        .collect();
    for seq in 1..starts.len() {
        let mut flipped = whole.clone();
        flipped[starts[seq - 1] + 20] ^= 1;
        std::fs::write(&file, flipped)?;
        let bad = auditor.verify(&[]).await?;
        let named = format!("record {seq} was altered");
        ensure!(bad.code == Some(5) && bad.stderr.contains(&named) && bad.stdout.contains(&named), "{bad:?}");
    }
    // A tail that was cut off is noticed by who has kept the head, and an unfinished line is what a crash leaves.
    std::fs::write(&file, &whole)?;
    let last = auditor.head().await?;
    ensure!(auditor.verify(&["--head", &last, "--head", &kept]).await?.is_ok(), "the whole log is good");
    std::fs::write(&file, &whole[..starts[starts.len() - 2]])?;
    ensure!(auditor.verify(&[]).await?.is_ok(), "nobody else can tell");
    let cut = auditor.verify(&["--head", &last]).await?;
    ensure!(cut.code == Some(5) && cut.stderr.contains("the log was cut"), "{cut:?}");
    std::fs::write(&file, &whole[..whole.len() - 30])?;
    let torn = auditor.verify(&["--head", &kept]).await?;
    ensure!(torn.is_ok() && torn.stderr.contains("unfinished"), "{torn:?}");
    // Another cluster's root proves nothing, and no log is no good log.
    std::fs::write(&file, &whole)?;
    let stranger = TestCa::new(&root.path().join("other-ca"), "Another CA")?;
    let other = ["audit", "verify", text(&folder)?, "--ca", text(stranger.certificate_path())?];
    let other = cluster.cli().run(&other).await?;
    ensure!(other.code == Some(5) && other.stdout.contains("not believed"), "{other:?}");
    let none = cluster.cli().run(&["audit", "verify", text(root.path())?]).await?;
    ensure!(none.code == Some(7), "{none:?}");
    Ok(())
}
