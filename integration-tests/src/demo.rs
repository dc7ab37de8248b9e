//! The whole job on one machine: six real repositories of two customers move from an overloaded source to two new shards
//! while their clients go on, and every one is checked afterwards by the client itself.
//!
//! [`run`] starts everything as separate processes of the real program, drives it by its own commands, uses unmodified
//! restic as the clients, and returns a [`Report`] whose `ok` holds only if all of it holds. Dropping the future of
//! [`run`], as on Ctrl-C, ends every process and removes the folder.

mod busy;
mod fleet;
mod proof;
mod report;
mod voice;

pub use proof::copy_differences;
pub use report::{NodeReport, Report};

use crate::cluster::{Cluster, ClusterOptions};
use crate::{eventually, tool};
use anyhow::{Context as _, Result, bail, ensure};
use busy::Busy;
use fleet::Member;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use voice::Voice;

/// Clients at work at the same time; the machine has to run the servers too.
const CLIENTS_AT_ONCE: usize = 3;

/// How long a first use of a certificate may take to be noticed.
const SEEN_TIME_MAX: Duration = Duration::from_secs(30);

/// How to run it.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Where the report goes, and below which everything happens.
    pub out: PathBuf,
    /// Whether the folder stays after success; after a failure it always does.
    pub keep: bool,
}

/// Runs the demo, narrating on standard output, and writes `report.json`.
///
/// # Errors
/// When it could not be carried through to the checks; their outcome is in the report.
pub async fn run(options: &DemoOptions) -> Result<Report> {
    let restic = tool("demo", "restic").context("restic is needed: apt-get install restic")?;
    let out = &options.out;
    std::fs::create_dir_all(out).with_context(|| format!("creating {}", out.display()))?;
    let folder = tempfile::Builder::new().prefix("run-").tempdir_in(out).context("creating the folder of the run")?;
    let path = std::path::absolute(folder.path())?;
    let outcome = perform(&path, restic).await;
    let good = matches!(&outcome, Ok(report) if report.ok);
    if options.keep || !good {
        println!("\nThe folder of this run, logs included, stays: {}", folder.keep().display());
    }
    let report = outcome?;
    report.write(&out.join("report.json"))?;
    println!("\n{report}");
    println!("Report: {}", out.join("report.json").display());
    Ok(report)
}

async fn perform(folder: &Path, restic: PathBuf) -> Result<Report> {
    let began = Instant::now();
    let voice = Voice::new();
    let mut stage = Stage::set(folder, restic, &voice).await?;
    stage.back_up_the_old_way(&voice).await?;
    stage.enrol(&voice).await?;
    let batches = stage.plan(&voice).await?;
    stage.move_all(&batches, &voice).await?;
    stage.prove(&voice).await?;
    voice.step("Everything is asked to end, and does.");
    let Stage { mut cluster, members, .. } = stage;
    cluster.shut_down().await?;
    let nodes = members.into_iter().map(|member| member.report).collect();
    Ok(Report::new(nodes, batches, began.elapsed()))
}

/// The cluster and the clients.
struct Stage {
    cluster: Cluster,
    members: Vec<Member>,
    restic: PathBuf,
}

/// The rows of an answer: a list, or an object that holds the list as `field`.
fn rows<'v>(answer: &'v Value, field: &str) -> Result<&'v Vec<Value>> {
    let list = answer.as_array().or_else(|| answer[field].as_array());
    list.with_context(|| format!("no list of {field} in {answer}"))
}

fn text<'v>(value: &'v Value, field: &str) -> Result<&'v str> {
    value[field].as_str().with_context(|| format!("no text `{field}` in {value}"))
}

impl Stage {
    async fn set(folder: &Path, restic: PathBuf, voice: &Voice) -> Result<Self> {
        voice.step("The past: a data folder with six repositories, as a restic server has kept it for years.");
        let data = folder.join("old-server-data");
        let members = fleet::members(folder)?;
        let adopted = stream::iter(&members).map(|member| fleet::create(&restic, &data, member));
        adopted.buffered(CLIENTS_AT_ONCE).try_collect::<Vec<()>>().await?;
        voice.note(&format!("{} repositories in {}", members.len(), data.display()));

        voice.step("A new cluster: CA, store, operator's certificate, configuration files. Then its controller.");
        let options = ClusterOptions { source_data: Some(data), ..ClusterOptions::default() };
        let targets = options.targets.clone();
        let mut cluster = Cluster::create(folder, options, true).await?;
        cluster.start_controller().await?;

        voice.step("The old server becomes a shard in place: same folder, same certificate, same clients.");
        cluster.add_shard("source").await?;
        voice.step("Two new, empty shards.");
        for target in &targets {
            cluster.add_shard(target).await?;
        }
        voice.step("A router, and the DNS names of the nodes from now on lead to it.");
        cluster.add_router().await?;
        let count = members.len() as u64;
        cluster.wait_nodes(count).await?;
        voice.step("Who owns what: names with two parts tell it, the others are told.");
        for member in members.iter().filter(|member| !member.node.contains('/')) {
            cluster.cli().must(&["node", "define", &member.node, "--customer", &member.customer]).await?;
        }
        cluster.cli().must(&["node", "list"]).await?;
        Ok(Self { cluster, members, restic })
    }

    async fn back_up_the_old_way(&mut self, voice: &Voice) -> Result<()> {
        voice.step("The clients know nothing of this: three backups each, with the certificates they have always had.");
        let Self { cluster, members, restic } = self;
        let (cluster, restic) = (&*cluster, &*restic);
        let runs = stream::iter(members.iter_mut()).map(|member| async move {
            let client = cluster.old_client(restic, &member.node)?;
            fleet::back_up_history(&client, member).await
        });
        runs.buffered(CLIENTS_AT_ONCE).try_collect::<Vec<()>>().await?;
        let count: usize = members.iter().map(|member| member.acknowledged.len()).sum();
        voice.note(&format!("{count} snapshots through the router on the source"));
        cluster.cli().must(&["status"]).await
    }

    async fn enrol(&mut self, voice: &Voice) -> Result<()> {
        voice.step(
            "New certificates, while the old ones go on working: a one-time token, a key made on the node's machine.",
        );
        let Self { cluster, members, restic } = self;
        let (cluster, restic) = (&*cluster, &*restic);
        let runs = stream::iter(members.iter()).map(|member| async move {
            cluster.enrol(&member.node).await?;
            // Issued is not in use: the move waits until the node has shown it.
            cluster.new_client(restic, &member.node)?.snapshots().await
        });
        let lists: Vec<_> = runs.buffered(CLIENTS_AT_ONCE).try_collect().await?;
        for (member, list) in members.iter().zip(&lists) {
            ensure!(list.len() == member.acknowledged.len(), "{}: {} snapshots are listed", member.node, list.len());
        }
        let in_use = || async {
            let answer = cluster.cli().json(&["node", "list"]).await?;
            for row in rows(&answer, "nodes")? {
                let (node, state) = (text(row, "node")?, text(row, "certificate")?);
                ensure!(state == "in_use", "the certificate of {node} is {state}");
            }
            Ok(())
        };
        eventually("all new certificates are seen in use", SEEN_TIME_MAX, in_use).await?;
        voice.note(&format!("{} nodes enrolled; each has used its new certificate once", members.len()));
        Ok(())
    }

    async fn plan(&mut self, voice: &Voice) -> Result<Vec<String>> {
        voice
            .step("A plan: two small nodes first, the rest when they have gone well. It is a file that people review.");
        let cli = self.cluster.cli();
        let plan = self.cluster.folder().join("plan.toml");
        let file = plan.to_string_lossy().into_owned();
        let make =
            ["plan", "make", "--source", "source", "--target", "shard-b", "--target", "shard-c", "--canary", "2"];
        cli.must(&[&make[..], &["--out", &file]].concat()).await?;
        for line in std::fs::read_to_string(&plan)?.lines().filter(|line| !line.starts_with('#')) {
            voice.quote(line);
        }
        cli.must(&["plan", "check", &file]).await?;
        let checked = cli.json(&["plan", "check", &file]).await?;
        let revision = checked["revision"].as_u64().context("the check names no revision")?;
        cli.must(&["plan", "apply", &file, "--revision", &revision.to_string()]).await?;
        let answer = cli.json(&["batch", "list"]).await?;
        let mut batches = Vec::new();
        for row in rows(&answer, "batches")? {
            let batch = text(row, "batch")?.to_owned();
            for node in rows(row, "nodes")? {
                self.member(text(node, "node")?)?.report.batch.clone_from(&batch);
            }
            batches.push(batch);
        }
        ensure!(batches.len() >= 2, "a canary and a second batch are expected, not {batches:?}");
        let left_out: Vec<_> = self.members.iter().filter(|m| m.report.batch.is_empty()).map(|m| &m.node).collect();
        ensure!(left_out.is_empty(), "not in the plan: {left_out:?}");
        Ok(batches)
    }

    fn member(&mut self, node: &str) -> Result<&mut Member> {
        self.members.iter_mut().find(|member| member.node == node).with_context(|| format!("{node} is nobody's"))
    }

    /// Moves batch by batch while one node goes on writing.
    async fn move_all(&mut self, batches: &[String], voice: &Voice) -> Result<()> {
        let busy = self.members.iter().position(|member| member.busy).context("nobody is busy")?;
        let node = self.members[busy].node.clone();
        voice.step(&format!("From now on {node} backs up without a pause, while it moves."));
        let client = self.cluster.new_client(&self.restic, &node)?;
        let writer = Busy::new(client, self.members[busy].tree.clone());
        let (moved, written) = tokio::join!(
            async {
                let moved = self.move_batches(batches, voice).await;
                // A few more backups on the target before it stops.
                writer.finish(2);
                moved
            },
            writer.run()
        );
        moved?;
        let written = written?;
        voice.note(&format!(
            "{node}: {} backups during the move, {} failed, {} lines on standard error",
            written.acknowledged.len(),
            written.failures.len(),
            written.complaints.len()
        ));
        for line in written.failures.iter().chain(&written.complaints) {
            voice.quote(line);
        }
        let member = self.member(&node)?;
        member.report.client_errors += (written.failures.len() + written.complaints.len()) as u64;
        member.acknowledged.extend(written.acknowledged);
        Ok(())
    }

    async fn move_batches(&self, batches: &[String], voice: &Voice) -> Result<()> {
        let cli = self.cluster.cli();
        for batch in batches {
            voice
                .step(&format!("Batch {batch}: copied while the source serves, verified, then flipped in one commit."));
            cli.must(&["batch", "start", batch, "--wait"]).await?;
            let view = cli.json(&["batch", "status", batch]).await?;
            let phase = text(&view, "phase")?;
            ensure!(phase == "soaking", "batch {batch} is {phase}");
        }
        Ok(())
    }

    async fn prove(&mut self, voice: &Voice) -> Result<()> {
        voice
            .step("The proof, by the clients: every byte read, a restore compared with the original, one more backup.");
        let Self { cluster, members, restic } = self;
        let (cluster, restic) = (&*cluster, &*restic);
        let runs = stream::iter(members.iter_mut()).map(|member| proof::of_member(cluster, restic, member));
        runs.buffered(CLIENTS_AT_ONCE).try_collect::<Vec<()>>().await?;
        for member in members.iter() {
            for problem in &member.problems {
                voice.note(&format!("{}: {problem}", member.node));
            }
        }
        cluster.cli().must(&["status"]).await?;
        if members.is_empty() {
            bail!("nothing was moved");
        }
        Ok(())
    }
}
