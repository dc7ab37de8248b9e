//! A plan from the first draft to figures that hold, with real parts: it carries what it was made for, is compared with a world that
//! changes, and is estimated from what the first copies brought, also after the controller was started again.

use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::{Restic, TestRoot, TreeShape, eventually, generate_tree, tool};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

const NODES: [&str; 3] = ["acme/mail", "acme/web", "zeta/db"];

/// Slow enough that copying takes some samples of ten seconds, in bytes per second.
const CAP: &str = "2MiB/s";

async fn cluster(root: &TestRoot, restic: &Path) -> Result<Cluster> {
    let (data, tree) = (root.folder("old-data")?, root.folder("tree")?);
    generate_tree(&tree, 23, TreeShape { files: 4, large_files: 3, large_bytes: 16 << 20 })?;
    for node in NODES {
        std::fs::create_dir_all(data.join(node).parent().context("no parent")?)?;
        let local = Restic::new(restic, &root.path().join("home"), &data.to_string_lossy(), node)?;
        local.init().await?;
        local.backup(&tree).await?;
    }
    let mut options = ClusterOptions { source_data: Some(data), ..ClusterOptions::default() };
    for shard in ["source", "shard-b", "shard-c"] {
        let settings = options.shard_settings.entry(shard.to_owned()).or_default();
        settings.insert("load_bytes_per_second".to_owned(), (64_i64 << 20).into());
    }
    let cluster = Cluster::start(root.path(), options).await?;
    cluster.wait_nodes(NODES.len() as u64).await?;
    Ok(cluster)
}

/// How long half of all such moves take, as things are and under the other conditions.
fn halves(answer: &Value) -> Result<(u64, u64)> {
    let of = |view: &Value| view["p50_ms"].as_u64().with_context(|| format!("no figure in {answer}"));
    Ok((of(&answer["present"])?, of(&answer["other"])?))
}

/// Tokens for a whole batch in a file: private, each good for its node, and none for who has a certificate.
async fn bulk_tokens(cluster: &Cluster, batch: &str, file: &Path) -> Result<()> {
    let (cli, out) = (cluster.cli(), file.to_str().context("a path that is no text")?);
    let arguments = |out| ["node", "token", "--batch", batch, "--out", out];
    let answer = cli.json(&arguments(out)).await?;
    let lines: Vec<Value> =
        std::fs::read_to_string(file)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(!lines.is_empty() && answer["tokens"] == lines.len() && answer["left_out"] == 0, "{answer}");
    ensure!(std::fs::metadata(file)?.permissions().mode() & 0o077 == 0, "others may read the tokens");
    let again = cli.run(&arguments(out)).await?;
    ensure!(again.code == Some(2) && again.stderr.contains("name another file"), "{again:?}");
    for line in &lines {
        let text = |field: &str| line[field].as_str().with_context(|| format!("no {field} in {line}"));
        let folder = cluster.folder().join("bulk").join(text("node")?.replace('/', "-"));
        let folder = folder.to_str().context("a path that is no text")?;
        let enroll = ["node", "enroll", "--server", text("server")?, "--token", text("token")?, "--out", folder];
        let enrolled = cli.shown(false).json(&enroll).await?;
        ensure!(enrolled["node"] == line["node"], "{enrolled}");
    }
    let other = file.with_extension("more");
    let answer = cli.json(&arguments(other.to_str().context("a path that is no text")?)).await?;
    ensure!(answer["tokens"] == 0 && answer["left_out"] == lines.len(), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_plan_keeps_its_wishes_sees_the_world_change_and_is_estimated_from_its_first_copies() -> Result<()> {
    let test = "a_plan_keeps_its_wishes_sees_the_world_change_and_is_estimated_from_its_first_copies";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let root = TestRoot::new(test)?;
    let mut cluster = cluster(&root, &restic).await?;
    let cli = cluster.cli().clone();
    let file = root.path().join("plan.toml").to_string_lossy().into_owned();
    let wishes = ["--hold", "zeta/db", "--together", "acme", "--window", "00:00-12:00", "--window", "12:00-24:00"];
    let make = [&["plan", "make", "--source", "source"][..], &wishes, &["--out", &file]].concat();
    eventually("the inventory is there", Duration::from_secs(90), || cli.must(&make)).await?;
    let text = std::fs::read_to_string(&file)?;
    ensure!(text.contains("holds = [\"zeta/db\"]") && !text.contains("\"zeta/db\" = \"shard"), "{text}");

    // Whoever changes the file is held to what it was made for, with line and column.
    let moved = text.replacen("[batch.nodes]", "[batch.nodes]\n\"zeta/db\" = \"shard-b\"", 1);
    std::fs::write(&file, &moved)?;
    let outcome = cli.run(&["plan", "check", &file]).await?;
    let line = moved.lines().position(|line| line.starts_with("\"zeta/db\"")).context("no line")? + 1;
    ensure!(outcome.code == Some(5) && outcome.stderr.contains(&format!("plan.toml:{line}:1")), "{outcome:?}");
    std::fs::write(&file, &text)?;
    cli.must(&["plan", "check", &file]).await?;

    // Batches flip in the parts of the day that were asked for, and in no others.
    let flips = "when = \"window\"\nwindows = [\"00:00-12:00\", \"12:00-24:00\"]";
    ensure!(text.contains(flips), "{text}");
    std::fs::write(&file, text.replacen(flips, "when = \"idle\"", 1))?;
    let outcome = cli.run(&["plan", "check", &file]).await?;
    ensure!(outcome.code == Some(5) && outcome.stderr.contains("may flip outside of"), "{outcome:?}");

    // A world that is not the one the plan was drawn in.
    let drawn = text.lines().find(|line| line.starts_with("\"acme/mail\" = \"source ")).context("nothing is drawn")?;
    let other = drawn.replacen("source 0", "shard-c 7", 1);
    std::fs::write(&file, text.replacen(drawn, &other, 1))?;
    let outcome = cli.run(&["plan", "apply", &file, "--revision", "1"]).await?;
    ensure!(outcome.code == Some(3) && outcome.stderr.contains("acme/mail"), "{outcome:?}");
    cli.must(&["plan", "rebase", &file, "--redraw"]).await?;
    let revision = cli.json(&["plan", "check", &file]).await?["revision"].as_u64().context("no revision")?;

    let asked = ["plan", "what-if", &file, "--cap", "1MiB/s"];
    let unknown = cli.json(&asked).await?;
    ensure!(unknown["present"]["unknown"].as_str().is_some_and(|why| why.contains("canary")), "{unknown}");
    cli.must(&["shard", "limits", "source", "--cap", CAP]).await?;
    cli.must(&["plan", "apply", &file, "--revision", &revision.to_string()]).await?;
    let batches = cli.json(&["batch", "list"]).await?;
    let first = batches["batches"][0]["batch"].as_str().context("no batch")?.to_owned();
    cli.must(&["batch", "start", &first]).await?;
    // The very first sample already says how fast it goes, although no object of 16 MiB may have come to its end.
    let slow = ["plan", "what-if", &file, "--cap", "256KiB/s"];
    let measured = || async { halves(&cli.json(&slow).await?) };
    let (present, slower) = eventually("the copies are measured", Duration::from_secs(120), measured).await?;
    ensure!(slower > present, "{slower} ms at an eighth of {CAP}, {present} ms now");

    // What was measured is there after an orderly end, before anything new is.
    cluster.terminate("controller").await?;
    cluster.restart("controller").await?;
    let known =
        eventually("it knows after a restart", Duration::from_secs(60), || async { halves(&cli.json(&asked).await?) })
            .await?;
    ensure!(known.0 > 0, "{known:?}");
    bulk_tokens(&cluster, &first, &root.path().join("tokens.jsonl")).await?;
    cluster.shut_down().await
}
