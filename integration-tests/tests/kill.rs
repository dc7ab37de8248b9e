//! `kill -9` of every part in every phase of a move: the part comes back, the batch completes, the copies are equal.
//!
//! A phase that is over in milliseconds is held open from outside: the part that the next step needs is stopped in its
//! tracks (SIGSTOP) until the kill is done. The phase is read from the controller right before the kill, so the table at
//! the end lists what was hit, not what was hoped for.

use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::conformance::ask;
use integration_tests::demo::copy_differences;
use integration_tests::{Restic, TestRoot, TreeShape, eventually, generate_tree, modify_tree, tool};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a node may take to reach a phase, and a batch to complete after a kill.
const PHASE_TIME_MAX: Duration = Duration::from_secs(60);

const PHASES: [&str; 8] = ["seeding", "following", "ready", "fenced", "sealed", "committed", "soaking", "rolling_back"];

/// The part of one kill. The first node of each batch moves to `shard-b`, the second to `shard-c`.
#[derive(Debug, Clone, Copy)]
struct Round {
    phase: &'static str,
    victim: &'static str,
    number: usize,
}

impl Round {
    fn batch(self) -> String {
        format!("{}-{}", self.phase, self.victim)
    }

    fn nodes(self) -> [String; 2] {
        ["a", "b"].map(|which| format!("acme/{which}-{}", self.number))
    }

    /// What is stopped so that the phase lasts, and is needed to leave it.
    fn holder(self) -> Option<&'static str> {
        match self.phase {
            "seeding" | "fenced" => Some("shard-b"),
            // The first node is sealed and waits for the second, whose target does not answer.
            "sealed" => Some("shard-c"),
            // The routes cannot be read back.
            "committed" => Some("router"),
            // The way back waits for the last changes to come home.
            "rolling_back" => Some("source"),
            _ => None,
        }
    }
}

struct Theatre {
    cluster: Cluster,
    restic: PathBuf,
    seen: Vec<(Round, String, Duration)>,
}

/// One repository, made once by restic on disk and copied for every node: what is killed does not care.
async fn fill(restic: &Path, root: &TestRoot, data: &Path, rounds: &[Round]) -> Result<()> {
    let (template, tree) = (root.folder("template")?, root.folder("tree")?);
    let local = Restic::new(restic, &root.path().join("home"), &template.to_string_lossy(), "repository")?;
    local.init().await?;
    generate_tree(&tree, 5, TreeShape { files: 30, large_files: 2, large_bytes: 1 << 20 })?;
    for seed in 0..2 {
        modify_tree(&tree, seed)?;
        local.backup(&tree).await?;
    }
    std::fs::create_dir_all(data.join("acme"))?;
    for node in rounds.iter().flat_map(|round| round.nodes()) {
        let (from, to) = (template.join("repository"), data.join(&node));
        let status = tokio::process::Command::new("cp").arg("-a").arg(from).arg(to).status().await?;
        ensure!(status.success(), "cp: {status}");
    }
    Ok(())
}

fn plan(rounds: &[Round]) -> Result<String> {
    let mut text = "version = 1\nrevision = 1\nbased_on = 0\nsource = \"source\"\nheadroom_percent = 1\n".to_owned();
    for round in rounds {
        let [a, b] = round.nodes();
        writeln!(text, "[[batch]]\nname = \"{}\"\nafter = []\n[batch.nodes]", round.batch())?;
        writeln!(text, "\"{a}\" = \"shard-b\"\n\"{b}\" = \"shard-c\"")?;
    }
    Ok(text)
}

impl Theatre {
    async fn set(root: &TestRoot, restic: PathBuf, rounds: &[Round]) -> Result<Self> {
        let data = root.folder("old-data")?;
        fill(&restic, root, &data, rounds).await?;
        let options = ClusterOptions { source_data: Some(data), ..ClusterOptions::default() };
        let cluster = Cluster::start(root.path(), options).await?;
        cluster.wait_nodes(2 * rounds.len() as u64).await?;
        let file = root.file("plan.toml", plan(rounds)?)?;
        cluster
            .cli()
            .must(&["plan".as_ref(), "apply".as_ref(), file.as_os_str(), "--revision".as_ref(), "1".as_ref()])
            .await?;
        Ok(Self { cluster, restic, seen: Vec::new() })
    }

    async fn phase(&self, node: &str) -> Result<String> {
        Ok(self.cluster.node(node).await?["phase"].as_str().context("no phase")?.to_owned())
    }

    async fn wait_phase(&self, node: &str, phase: &str) -> Result<()> {
        eventually(&format!("{node} is {phase}"), PHASE_TIME_MAX, || async {
            let seen = self.phase(node).await?;
            ensure!(seen == phase, "it is {seen}");
            Ok(())
        })
        .await
    }

    /// Enrolment and the first use of the new certificate.
    async fn certify(&self, node: &str) -> Result<()> {
        self.cluster.enrol(node).await?;
        self.cluster.new_client(&self.restic, node)?.snapshots().await.map(drop)
    }

    /// Brings the first node of the round into its phase and keeps it there.
    async fn reach(&mut self, round: Round) -> Result<()> {
        let [a, b] = round.nodes();
        if round.phase == "seeding" {
            self.cluster.freeze("shard-b", true)?;
        }
        self.cluster.cli().must(&["batch", "start", &round.batch()]).await?;
        if round.phase == "seeding" {
            return self.wait_phase(&a, "seeding").await;
        }
        self.wait_phase(&a, "following").await?;
        if round.phase == "following" {
            return Ok(());
        }
        self.certify(&a).await?;
        self.wait_phase(&a, "ready").await?;
        if round.phase == "ready" {
            return Ok(());
        }
        // The second certificate opens the last gate.
        self.cluster.enrol(&b).await?;
        let target = match round.phase {
            "fenced" => Some("shard-b"),
            "sealed" | "committed" => Some("shard-c"),
            _ => None,
        };
        if let Some(target) = target {
            self.wait_phase(&b, "following").await?;
            self.wait_verified(&b).await?;
            self.cluster.freeze(target, true)?;
        }
        // One short request: a whole run of restic would still be there, parked, when the fence comes down.
        let peer = self.cluster.peer(&b, self.cluster.new_login(&b)?)?;
        let status = ask(&peer, "GET", &format!("/{b}/config"), None).await?;
        ensure!(status == Some(200), "{b}: {status:?}");
        if round.phase == "committed" {
            // A batch does not cut over while a router is silent: it falls silent between seal and commit.
            self.wait_phase(&a, "sealed").await?;
            self.cluster.freeze("router", true)?;
            self.cluster.freeze("shard-c", false)?;
        }
        if round.phase == "rolling_back" {
            self.wait_phase(&a, "soaking").await?;
            self.wait_phase(&b, "soaking").await?;
            self.cluster.freeze("source", true)?;
            self.cluster.cli().must(&["node", "rollback", &a, "--yes"]).await?;
        }
        self.wait_phase(&a, round.phase).await
    }

    /// Back at the source. A way back that was undone because clients had waited long enough is gone again.
    async fn wait_back(&self, node: &str) -> Result<()> {
        eventually(&format!("{node} is back"), PHASE_TIME_MAX, || async {
            let view = self.cluster.node(node).await?;
            if view["phase"] == "soaking" {
                self.cluster.cli().must(&["node", "rollback", node, "--yes"]).await?;
            }
            ensure!(view["shard"] == "source" && view["phase"] == "settled", "{view}");
            Ok(())
        })
        .await
    }

    /// A node whose target is stopped could not be verified any more.
    async fn wait_verified(&self, node: &str) -> Result<()> {
        eventually(&format!("{node} is verified"), PHASE_TIME_MAX, || async {
            let view = self.cluster.node(node).await?;
            ensure!(view["verified"]["objects"].as_u64().is_some(), "not verified: {view}");
            Ok(())
        })
        .await
    }

    async fn play(&mut self, round: Round) -> Result<()> {
        let began = Instant::now();
        let [a, b] = round.nodes();
        self.reach(round).await?;
        let hit = self.phase(&a).await?;
        self.cluster.kill(round.victim)?;
        if let Some(holder) = round.holder().filter(|holder| *holder != round.victim) {
            self.cluster.freeze(holder, false)?;
        }
        self.cluster.restart(round.victim).await?;
        // The gates that the phase left closed.
        for (node, phases) in [(&a, &PHASES[..2]), (&b, &PHASES[..3])] {
            if phases.contains(&round.phase) {
                self.certify(node).await?;
            }
        }
        if round.phase == "rolling_back" {
            self.wait_back(&a).await?;
        } else {
            self.wait_phase(&a, "soaking").await?;
        }
        self.wait_phase(&b, "soaking").await?;
        self.prove(round).await?;
        self.seen.push((round, hit, began.elapsed()));
        Ok(())
    }

    async fn prove(&self, round: Round) -> Result<()> {
        let batch = self.cluster.cli().json(&["batch", "status", &round.batch()]).await?;
        ensure!(batch["phase"] == "soaking", "{batch}");
        let back = round.phase == "rolling_back";
        for (node, target) in round.nodes().iter().zip(["shard-b", "shard-c"]) {
            let view = self.cluster.node(node).await?;
            let writer = if back && target == "shard-b" { "source" } else { target };
            ensure!(view["shard"] == writer, "{view}");
            let [source, copy] = ["source", target].map(|shard| self.cluster.repository(shard, node));
            // Nobody has written since, so they are equal to the last file. But the flip may come in the middle of the run
            // that shows the certificate: its lock is then at both and is removed at the target only.
            let mut differing = copy_differences(&source, &copy, false)?;
            differing.retain(|line| !line.starts_with("locks/"));
            ensure!(differing.is_empty(), "{node}: {differing:?}");
        }
        let [a, _] = round.nodes();
        let client = self.cluster.new_client(&self.restic, &a)?;
        client.check().await?;
        ensure!(client.snapshots().await?.len() == 2, "{a} has not its two snapshots");
        Ok(())
    }
}

async fn every_phase(test: &str, victims: &[&'static str]) -> Result<()> {
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let each = PHASES.iter().flat_map(|phase| victims.iter().map(move |victim| (*phase, *victim)));
    let rounds: Vec<Round> =
        each.enumerate().map(|(number, (phase, victim))| Round { phase, victim, number }).collect();
    let root = TestRoot::new("kill")?;
    let mut theatre = Theatre::set(&root, restic, &rounds).await?;
    let mut outcome = Ok(());
    for round in &rounds {
        outcome =
            theatre.play(*round).await.with_context(|| format!("kill -9 of {} while {}", round.victim, round.phase));
        if outcome.is_err() {
            break;
        }
    }
    println!("{:<12} {:<11} {:<11} seconds", "killed", "wanted", "hit");
    for (round, hit, took) in &theatre.seen {
        println!("{:<12} {:<11} {hit:<11} {:.1}", round.victim, round.phase, took.as_secs_f32());
    }
    if outcome.is_err() {
        keep_logs(&theatre, &root, test)?;
    }
    outcome?;
    for (round, hit, _) in &theatre.seen {
        ensure!(round.phase == hit, "{round:?} hit {hit}");
    }
    ensure!(theatre.seen.len() == rounds.len(), "not every round was played");
    Ok(())
}

/// The end of every log, for whoever reads the failure.
fn keep_logs(theatre: &Theatre, root: &TestRoot, test: &str) -> Result<()> {
    for part in ["controller", "source", "shard-b", "shard-c", "router"] {
        let log = theatre.cluster.log(part)?;
        let lines: Vec<&str> = log.lines().collect();
        println!("--- {test}: {part}\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
    }
    println!("folder: {}", root.path().display());
    Ok(())
}

#[tokio::test]
async fn a_killed_controller_or_router_comes_back_and_the_batch_completes() -> Result<()> {
    let test = "a_killed_controller_or_router_comes_back_and_the_batch_completes";
    every_phase(test, &["controller", "router"]).await
}

#[tokio::test]
async fn a_killed_source_or_target_comes_back_and_the_batch_completes() -> Result<()> {
    let test = "a_killed_source_or_target_comes_back_and_the_batch_completes";
    every_phase(test, &["source", "shard-b"]).await
}
