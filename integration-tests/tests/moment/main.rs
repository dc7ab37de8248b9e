//! The moment of a flip, with real processes: what a batch waits for, what it says while it waits, what makes it go on, and
//! what operators are told who ask for the impossible.
//!
//! A session is a real restic that backs up what the test writes into a pipe: it lasts exactly as long as the test wants.

mod yard;

use anyhow::{Context as _, Result, ensure};
use integration_tests::conformance::ask;
use integration_tests::{eventually, tool};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use yard::{Planned, STEP_TIME_MAX, Yard, of_all, reasons, waiting};

/// A window of an hour, so many minutes after the present minute, as plan files spell it; and when it begins next.
fn window_in(minutes: u64) -> Result<(String, u64)> {
    let minute = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 60 + minutes;
    let of_day = |minute: u64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    Ok((format!("{}-{}", of_day(minute), of_day(minute + 60)), minute * 60_000))
}

#[tokio::test]
async fn a_batch_that_waits_for_idle_nodes_lets_a_session_end_first() -> Result<()> {
    let test = "a_batch_that_waits_for_idle_nodes_lets_a_session_end_first";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let nodes = ["acme/busy", "acme/quiet"];
    let idle = "when = \"idle\"".to_owned();
    let yard = Yard::lay("moment-idle", restic, &nodes, &[("night", idle, &nodes)]).await?;
    let mut session = yard.session("acme/busy").await?;
    yard.start("night").await?;
    let waiting = yard.waits_for("night", "acme/busy to be idle: ").await?;
    ensure!(!reasons(&waiting).contains("acme/quiet"), "the quiet node is named as well: {waiting}");
    ensure!(waiting["when"] == "idle", "{waiting}");
    // Still at work, and nothing of it waits.
    session.feed().await?;
    yard.waits_for("night", "acme/busy to be idle: ").await?;
    session.end().await?;
    yard.soaks("night").await?;
    ensure!(yard.locks("shard-b", "acme/busy")?.is_empty(), "a lock is left");
    let client = yard.cluster.new_client(&yard.restic, "acme/busy")?;
    ensure!(client.snapshots().await?.len() == 2, "a snapshot was lost");
    client.check().await.map(drop)
}

#[tokio::test]
async fn a_lock_alone_is_a_session_until_it_is_removed() -> Result<()> {
    let test = "a_lock_alone_is_a_session_until_it_is_removed";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let nodes = ["acme/web"];
    let idle = "when = \"idle\"".to_owned();
    let yard = Yard::lay("moment-lock", restic, &nodes, &[("night", idle, &nodes)]).await?;
    ensure!(yard.store_at_source("acme/web").await? == Some(200), "the lock was not stored");
    yard.start("night").await?;
    yard.waits_for("night", "acme/web to be idle: its repository is locked since").await?;
    let lock = yard.locks("source", "acme/web")?.pop_first().context("no lock")?;
    let peer = yard.cluster.peer("acme/web", yard.cluster.new_login("acme/web")?)?;
    ensure!(ask(&peer, "DELETE", &format!("/acme/web/locks/{lock}"), None).await? == Some(200), "not removed");
    yard.soaks("night").await.map(drop)
}

#[tokio::test]
async fn a_session_survives_a_forced_flip_with_its_lock() -> Result<()> {
    let test = "a_session_survives_a_forced_flip_with_its_lock";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let node = "acme/busy";
    let forced = "when = \"idle\"\nforce_after = \"5s\"".to_owned();
    let yard = Yard::lay("moment-forced", restic, &[node], &[("night", forced, &[node])]).await?;
    let mut session = yard.session(node).await?;
    let lock = yard.locks("source", node)?;
    yard.start("night").await?;
    eventually("it waits for the session", STEP_TIME_MAX, || async {
        waiting(yard.batch("night").await?, "acme/busy to be idle: ").map(drop)
    })
    .await?;
    // What is stored while it flips is stored for good, wherever it arrives.
    let (flipped, fed) = tokio::join!(yard.soaks("night"), session.feed());
    fed?;
    let flipped = flipped?;
    let at = |field: &str| flipped[field].as_u64().with_context(|| format!("no `{field}` in {flipped}"));
    let waited = at("committed_at_unix_ms")? - at("started_at_unix_ms")?;
    ensure!(waited >= 5000, "it flipped after {waited} ms");
    ensure!(yard.locks("shard-b", node)? == lock, "the session's lock is not at the target");
    session.feed().await?;
    session.end().await?;
    ensure!(yard.locks("shard-b", node)?.is_empty(), "the lock was not removed at the target");
    let client = yard.cluster.new_client(&yard.restic, node)?;
    ensure!(client.snapshots().await?.len() == 2, "a snapshot was lost");
    client.check().await.map(drop)
}

#[tokio::test]
async fn a_batch_flips_in_its_window_and_not_outside() -> Result<()> {
    let test = "a_batch_flips_in_its_window_and_not_outside";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let nodes = ["acme/later", "acme/now"];
    let (closed, opens_ms) = window_in(120)?;
    // From half an hour ago.
    let (open, _) = window_in(24 * 60 - 30)?;
    let window = |window: &str| format!("when = \"window\"\nwindows = [\"{window}\"]");
    let batches: [Planned<'_>; 2] = [("later", window(&closed), &nodes[..1]), ("now", window(&open), &nodes[1..])];
    let yard = Yard::lay("moment-window", restic, &nodes, &batches).await?;
    yard.start("later").await?;
    let waiting = yard.waits_for("later", "its next window, at ").await?;
    ensure!(waiting["next_window_unix_ms"] == opens_ms && waiting["when"] == "window", "{opens_ms}: {waiting}");
    // Whatever keeps the one waiting, it is nothing that the other one shares.
    yard.start("now").await?;
    yard.soaks("now").await?;
    yard.waits_for("later", "its next window, at ").await?;
    let explained = yard.cluster.cli().json(&["node", "explain", "acme/later"]).await?;
    ensure!(explained["waits_for"].to_string().contains("its next window, at "), "{explained}");
    Ok(())
}

#[tokio::test]
async fn nobody_is_fenced_while_a_router_is_silent() -> Result<()> {
    let test = "nobody_is_fenced_while_a_router_is_silent";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let nodes = ["acme/web-1", "acme/web-2"];
    let mut yard = Yard::lay("moment-router", restic, &nodes, &[("first", String::new(), &nodes)]).await?;
    yard.cluster.kill("router")?;
    yard.start("first").await?;
    yard.waits_for("first", "router router-1 to answer").await?;
    for node in nodes {
        let status = yard.store_at_source(node).await?;
        ensure!(status == Some(200), "{node} is parked or refused: {status:?}");
    }
    yard.waits_for("first", "router router-1 to answer").await?;
    yard.cluster.restart("router").await?;
    yard.soaks("first").await?;
    for node in nodes {
        ensure!(yard.locks("shard-b", node)?.len() == 1, "{node}: what was stored meanwhile is not at the target");
    }
    Ok(())
}

#[tokio::test]
async fn a_flipped_bit_at_the_target_is_found_by_a_deep_verify_and_makes_the_verdict_bad() -> Result<()> {
    let test = "a_flipped_bit_at_the_target_is_found_by_a_deep_verify_and_makes_the_verdict_bad";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let node = "acme/web";
    let soak = "soak = { min = \"1h\", verify = true }".to_owned();
    let yard = Yard::lay("moment-verify", restic, &[node], &[("night", soak, &[node])]).await?;
    yard.start("night").await?;
    yard.soaks("night").await?;
    eventually("the target has read its bytes", STEP_TIME_MAX, || async {
        let view = yard.batch("night").await?;
        let read = &view["nodes"][0]["deep_verify"];
        ensure!(read["shard"] == "shard-b" && read["ended_unix_ms"].as_u64() > Some(0), "{view}");
        ensure!(read["damaged"] == 0 && read["missing"] == 0 && read["objects_read"].as_u64() > Some(3), "{view}");
        ensure!(view["verdict"] == "", "{view}");
        ensure!(!reasons(&view).contains(node), "its soak has shown all but its time: {view}");
        Ok(())
    })
    .await?;
    let good = yard.cluster.cli().run(&["node", "verify", node, "--wait"]).await?;
    ensure!(good.is_ok() && good.stdout.contains("shard-b (target)"), "{good:?}");

    let pack = flip_a_bit(&yard.cluster.repository("shard-b", node).join("data"))?;
    let bad = yard.cluster.cli().run(&["node", "verify", node, "--wait"]).await?;
    ensure!(bad.code == Some(5) && bad.stderr.contains("1 objects of acme/web are damaged"), "{bad:?}");
    ensure!(bad.stdout.contains(&format!("data/{pack}")), "{bad:?}");
    eventually("the verdict is bad", STEP_TIME_MAX, || async {
        let view = yard.batch("night").await?;
        let verdict = view["verdict"].as_str().unwrap_or_default();
        ensure!(verdict.starts_with("bad: ") && verdict.contains("acme/web"), "{view}");
        ensure!(verdict.contains("of the target, shard-b,") && verdict.contains(&pack), "{verdict}");
        Ok(())
    })
    .await?;
    // The old copy is good, and stays so.
    let old = yard.cluster.cli().run(&["node", "verify", node, "--shard", "source", "--wait"]).await?;
    ensure!(old.is_ok() && old.stdout.contains("source (source)"), "{old:?}");
    Ok(())
}

/// Rot in the first pack of a folder of packs; its name.
fn flip_a_bit(packs: &Path) -> Result<String> {
    for folder in std::fs::read_dir(packs)? {
        if let Some(pack) = std::fs::read_dir(folder?.path())?.next() {
            let path = pack?.path();
            let mut bytes = std::fs::read(&path)?;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes)?;
            return Ok(path.file_name().context("no name")?.to_string_lossy().into_owned());
        }
    }
    anyhow::bail!("no pack in {}", packs.display())
}

#[tokio::test]
async fn what_is_asked_at_the_wrong_moment_is_refused_and_the_right_command_is_named() -> Result<()> {
    let test = "what_is_asked_at_the_wrong_moment_is_refused_and_the_right_command_is_named";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let nodes = ["acme/moved", "acme/moving"];
    let (closed, _) = window_in(120)?;
    let closed = format!("when = \"window\"\nwindows = [\"{closed}\"]");
    let batches: [Planned<'_>; 2] = [("first", String::new(), &nodes[..1]), ("second", closed, &nodes[1..])];
    let yard = Yard::lay("moment-refused", restic, &nodes, &batches).await?;
    yard.start("second").await?;
    yard.waits_for("second", "its next window, at ").await?;
    yard.start("first").await?;
    yard.soaks("first").await?;

    // Before the commit there is nothing to go back from, and after it nothing to abort.
    yard.refused(&["node", "rollback", "acme/moving", "--yes"], "shardlift node abort acme/moving").await?;
    yard.refused(&["batch", "rollback", "second", "--yes"], "shardlift node abort acme/moving").await?;
    yard.refused(&["node", "abort", "acme/moved"], "shardlift node rollback acme/moved").await?;

    // A node moves in one batch at a time; the plan in force stays what it is.
    let file = yard.plan_file(2, &[("third", String::new(), &nodes[1..])])?;
    let outcome = yard.cluster.cli().run(&["plan", "apply", &file, "--revision", "2"]).await?;
    ensure!(!outcome.is_ok() && outcome.stderr.contains("moving in batch `second`"), "{outcome:?}");
    ensure!(yard.cluster.cli().json(&["plan", "show"]).await?["revision"] == 1, "another plan is in force");

    eventually("the verdict is good", STEP_TIME_MAX, || async {
        let view = yard.batch("first").await?;
        ensure!(view["verdict"] == "good", "{view}");
        Ok(())
    })
    .await?;
    yard.cluster.cli().must(&["batch", "release", "first"]).await?;
    yard.refused(&["node", "rollback", "acme/moved", "--yes"], "shardlift node restore acme/moved").await?;
    yard.refused(&["batch", "rollback", "first", "--yes"], "shardlift node restore acme/moved").await?;
    eventually("the batch is released", STEP_TIME_MAX, || async {
        let view = yard.batch("first").await?;
        ensure!(view["phase"] == "released", "{view}");
        Ok(())
    })
    .await?;
    yard.refused(&["node", "abort", "acme/moved"], "shardlift node restore acme/moved").await?;
    // None of it has changed anything: the node that waits can still be taken out.
    yard.waits_for("second", "its next window, at ").await?;
    yard.cluster.cli().must(&["node", "abort", "acme/moving"]).await?;
    eventually("it stays where it was", STEP_TIME_MAX, || async {
        let view = yard.batch("second").await?;
        ensure!(view["phase"] == "aborted" && of_all(&view, "shard", "source"), "{view}");
        Ok(())
    })
    .await
}
