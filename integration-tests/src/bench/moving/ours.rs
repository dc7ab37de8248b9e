//! Shardlift's own turn: a cluster of its own processes, whose source has adopted the tree, and one batch of one node.
//!
//! The clock begins before the operator's command is started and ends when the target says that it follows, that it has as many objects
//! as the source, and that no change is outstanding. It counts an object when that is durable and in its index, so nothing is synced
//! afterwards. That all is then read again and compared is told apart: nobody else does it.
//!
//! Changes are made as clients make them, over HTTPS through the router, while the target is stopped in its tracks; the clock
//! begins when it goes on.

mod changes;
mod watch;

use super::contestant::{Contestant, More, Run, Sample};
use super::manifest::Manifest;
use super::start::{Cache, make_even, set_cache};
use super::trees::{Tree, link_tree};
use super::usage::{End, Meter, Usage};
use crate::bench::median;
use crate::cluster::{Cluster, ClusterOptions};
use crate::eventually;
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::task::block_in_place;
use watch::Watch;

/// The one node, and its account.
const NODE: &str = "bench/tree";

const TARGET: &str = "shard-b";

/// What a shard may hold besides twice the tree: a plan keeps a part of the whole free.
const CAPACITY_BYTES: u64 = 1 << 30;

/// How often a question is asked in a round.
const QUESTIONS: u32 = 25;

/// The inventory that a plan is checked against comes with the controller's next look at the shards.
const INVENTORY_TIME_MAX: Duration = Duration::from_secs(60);

const PLAN: &str = "version = 1\nrevision = 1\nbased_on = 0\nsource = \"source\"\nheadroom_percent = 1\n[[batch]]\n\
                    name = \"move\"\nafter = []\n[batch.nodes]\n\"bench/tree\" = \"shard-b\"\n";

/// A cluster that waits for its batch to be started.
pub(super) struct Ours<'a> {
    cluster: Cluster,
    watch: Watch,
    tree: &'a Tree,
    root: PathBuf,
    cache: Cache,
}

impl<'a> Ours<'a> {
    /// Brings all parts up, in `folder`. `root` is where ballast may lie.
    pub(super) async fn lay(tree: &'a Tree, folder: &Path, root: &Path, cache: Cache) -> Result<Self> {
        let data = folder.join("old-data");
        link_tree(&tree.base, &data.join(NODE))?;
        let capacity = i64::try_from(CAPACITY_BYTES + 2 * tree.base_manifest.bytes())?;
        let roomy = toml::Table::from_iter([("capacity_bytes".to_owned(), toml::Value::Integer(capacity))]);
        let options = ClusterOptions {
            source_data: Some(data),
            targets: vec![TARGET.to_owned()],
            shard_settings: ["source", TARGET].map(|shard| (shard.to_owned(), roomy.clone())).into(),
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(folder, options).await?;
        cluster.wait_nodes(1).await?;
        let plan = folder.join("plan.toml");
        std::fs::write(&plan, PLAN)?;
        let plan = plan.to_string_lossy().into_owned();
        let applied = async || cluster.cli().must(&["plan", "apply", plan.as_str(), "--revision", "1"]).await;
        eventually("the inventory is there", INVENTORY_TIME_MAX, applied).await?;
        let watch = Watch::new(&cluster, NODE, TARGET)?;
        Ok(Self { cluster, watch, tree, root: root.to_owned(), cache })
    }

    fn servers(&self, target: bool) -> Result<Vec<(End, u32)>> {
        let parts =
            [(End::Source, "source"), (End::Beside, "controller"), (End::Beside, "router"), (End::Target, TARGET)];
        let wanted = parts.into_iter().filter(|(end, _)| target || *end != End::Target);
        wanted.map(|(end, part)| Ok((end, self.cluster.id(part)?))).collect()
    }

    fn even(&self, source: &Path, mebibytes: u64) -> Result<()> {
        block_in_place(|| make_even(&self.root, source, mebibytes, self.cache))
    }

    /// The copy has the files of this tree and no others.
    fn check(&self, manifest: &Manifest) -> Result<()> {
        block_in_place(|| manifest.check(&self.cluster.repository(TARGET, NODE), true))
    }

    /// All three runs.
    pub(super) async fn turn(mut self) -> Result<Vec<Sample>> {
        let first = self.first().await.context("first run")?;
        self.check(&self.tree.base_manifest)?;
        let unchanged = self.unchanged().await.context("unchanged second run")?;
        let changed = self.changed().await.context("1 % changed")?;
        self.check(&self.tree.changed_manifest)?;
        let restarted = self.restarted().await.context("the target started again")?;
        let (usage, question) = unchanged;
        let more = Some(More::Unchanged { question, restarted });
        let unchanged = Sample { contestant: Contestant::Shardlift, run: Run::Unchanged, usage, more };
        self.cluster.shut_down().await?;
        Ok(vec![first, unchanged, changed])
    }

    async fn first(&mut self) -> Result<Sample> {
        let objects = self.tree.base_manifest.objects();
        self.even(&self.tree.base, self.tree.base_manifest.bytes() >> 20)?;
        let meter = Meter::start(&self.servers(true)?, false)?;
        let began_at = Instant::now();
        let cli = self.cluster.cli();
        let done = tokio::try_join!(cli.must(&["batch", "start", "move"]), self.watch.copied(objects, began_at));
        let usage = meter.stop()?;
        let ((), began) = done?;
        self.watch.verified().await?;
        let more = Some(More::First { began, verified: began_at.elapsed().as_secs_f64() });
        Ok(Sample { contestant: Contestant::Shardlift, run: Run::First, usage, more })
    }

    /// What a follower asks when its line is back: whether anything has happened since. As the target, on a new connection. It is
    /// over so soon that a round is the median of many.
    async fn unchanged(&mut self) -> Result<(Usage, f64)> {
        let seq = self.watch.source_seq().await?;
        let (mut questions, mut asked) = (Vec::new(), Vec::new());
        for _time in 0..QUESTIONS {
            let began = Instant::now();
            self.watch.question().await?;
            questions.push(began.elapsed().as_secs_f64());
        }
        let meter = Meter::start(&self.servers(true)?, false)?;
        for _time in 0..QUESTIONS {
            let began = Instant::now();
            self.watch.asks_for_changes(seq).await?;
            asked.push(began.elapsed().as_secs_f64());
        }
        let all = meter.stop()?;
        let cpu_seconds = all.cpu_seconds / f64::from(QUESTIONS);
        Ok((Usage { seconds: median(&mut asked), cpu_seconds, ..all }, median(&mut questions)))
    }

    async fn changed(&mut self) -> Result<Sample> {
        let repository = self.cluster.repository("source", NODE);
        self.even(&repository, self.tree.added_bytes >> 20)?;
        self.cluster.freeze(TARGET, true)?;
        changes::make(&self.cluster, NODE, self.tree).await?;
        let added = self.tree.added.iter().map(|path| repository.join(path));
        block_in_place(|| set_cache(added, self.cache))?;
        let seq = self.watch.source_seq().await?;
        let meter = Meter::start(&self.servers(true)?, false)?;
        self.cluster.freeze(TARGET, false)?;
        let caught_up = self.watch.caught_up(seq).await;
        let usage = meter.stop()?;
        caught_up?;
        Ok(Sample { contestant: Contestant::Shardlift, run: Run::Changed, usage, more: None })
    }

    /// From the start of a target that was killed until it knows that it lacks nothing.
    async fn restarted(&mut self) -> Result<f64> {
        let seq = self.watch.source_seq().await?;
        self.cluster.kill(TARGET)?;
        self.even(&self.tree.changed, 0)?;
        let began = Instant::now();
        self.cluster.restart(TARGET).await?;
        self.watch.caught_up(seq).await?;
        let seconds = began.elapsed().as_secs_f64();
        ensure!(seconds > 0.0, "the clock stands still");
        Ok(seconds)
    }
}
