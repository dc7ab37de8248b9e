//! One tree and all who move it, round by round. Who begins changes with every round, each turn starts its own servers and leaves
//! nothing running, and what it brought about is looked at after its clock has stopped.

use super::MoveBench;
use super::command::RUN_TIME_MAX;
use super::contestant::{Contestant, Run, Sample};
use super::ours::Ours;
use super::peers::{Peer, Places};
use super::pipeline::{Writing, pipeline};
use super::rclone::{Way, Ways};
use super::spent::Spent;
use super::start::make_even;
use super::tls::Settings;
use super::trees::{Tree, link_tree};
use super::usage::Meter;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::block_in_place;

/// A sample is a part of a tree, and no more than this.
const SAMPLE_BYTES_MAX: u64 = 256 << 20;
const SAMPLE_OBJECTS_MAX: usize = 4000;
const SAMPLE_PART: u64 = 4;

/// Times the least so far.
const GIVEN_UP_AFTER: f64 = 1.3;

/// A tree and those who move it.
pub(super) struct Course<'a> {
    pub(super) root: &'a Path,
    pub(super) bench: &'a MoveBench,
    pub(super) tree: &'a Tree,
    pub(super) spent: &'a Spent,
    pub(super) contestants: &'a [Contestant],
    pub(super) settings: &'a Settings,
    /// How rclone moves this tree.
    pub(super) ways: Option<Ways>,
}

impl Course<'_> {
    fn sources(&self) -> Result<&Path> {
        self.tree.base.parent().context("a tree without a folder")
    }

    fn even(&self, source: &Path, bytes: u64) -> Result<()> {
        block_in_place(|| make_even(self.root, source, bytes >> 20, self.bench.cache))
    }

    /// Everybody's turn, once.
    pub(super) async fn round(&self, round: usize) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        let count = self.contestants.len();
        for turn in 0..count {
            let contestant = self.contestants[(round + turn) % count];
            let folder = self.root.join(format!("{}-{round}-{}", self.tree.kind.name(), contestant.name()));
            self.spent.make_room(self.tree.base_manifest.bytes()).await?;
            std::fs::create_dir_all(&folder)?;
            let turn = self.turn(contestant, &folder).await;
            let turn =
                turn.with_context(|| format!("{}, round {}: {}", self.tree.kind.name(), round + 1, contestant.name()))?;
            let told: Vec<_> =
                turn.iter().map(|sample| format!("{} {:.3} s", sample.run.name(), sample.usage.seconds)).collect();
            println!("{}, round {}: {}: {}", self.tree.kind.name(), round + 1, contestant.name(), told.join(", "));
            samples.extend(turn);
            self.spent.keep(&folder)?;
        }
        Ok(samples)
    }

    async fn turn(&self, contestant: Contestant, folder: &Path) -> Result<Vec<Sample>> {
        match contestant {
            Contestant::Shardlift => Ours::lay(self.tree, folder, self.root, self.bench.cache).await?.turn().await,
            Contestant::Pipeline => self.bare(contestant, folder, Writing::Cached).await,
            Contestant::PipelineDirect => self.bare(contestant, folder, Writing::Direct).await,
            _ => self.peer(contestant, folder).await,
        }
    }

    async fn peer(&self, contestant: Contestant, folder: &Path) -> Result<Vec<Sample>> {
        let target = folder.join("target");
        std::fs::create_dir_all(&target)?;
        let files = folder.join("servers");
        let places = Places { folder: &files, sources: self.sources()?, target: &target };
        let mut peer = Peer::start(contestant, places, self.ways.map(|ways| ways.first)).await?;
        let mut samples = Vec::new();
        for run in contestant.runs().iter().copied() {
            if let Some(ways) = self.ways.filter(|ways| run == Run::Unchanged && ways.first != ways.again)
                && contestant == Contestant::Rclone
            {
                drop(peer);
                peer = Peer::start(contestant, places, Some(ways.of(run))).await?;
            }
            let (source, manifest, bytes) = match run {
                Run::First => (&self.tree.base, &self.tree.base_manifest, self.tree.base_manifest.bytes()),
                Run::Unchanged => (&self.tree.base, &self.tree.base_manifest, 0),
                Run::Changed => (&self.tree.changed, &self.tree.changed_manifest, self.tree.added_bytes),
            };
            self.even(source, bytes)?;
            let meter = Meter::start(&peer.servers(), false)?;
            let went = peer.go(places, source, &meter).await;
            let usage = meter.stop()?;
            went.context(run.name())?;
            // Nothing was to be written in the second run; names and sizes show that it did nothing else.
            block_in_place(|| manifest.check(&target, run != Run::Unchanged)).context(run.name())?;
            samples.push(Sample { contestant, run, usage, more: None });
        }
        Ok(samples)
    }

    async fn bare(&self, contestant: Contestant, folder: &Path, writing: Writing) -> Result<Vec<Sample>> {
        let (source, target) = (self.tree.base.clone(), folder.to_owned());
        self.even(&source, self.tree.base_manifest.bytes())?;
        let settings = self.settings.clone();
        let meter = Meter::start(&[], true)?;
        let moved = tokio::task::spawn_blocking(move || pipeline(&settings, &source, &target, writing)).await;
        let usage = meter.stop()?;
        moved??;
        block_in_place(|| self.tree.base_manifest.check(folder, true))?;
        Ok(vec![Sample { contestant, run: Run::First, usage, more: None }])
    }

    /// A part of the tree, for finding out how somebody moves it best.
    fn sample(&self) -> Result<PathBuf> {
        let sample = self.sources()?.join("sample");
        let part = |whole: u64| whole.div_ceil(SAMPLE_PART);
        let bytes_max = part(self.tree.base_manifest.bytes()).min(SAMPLE_BYTES_MAX);
        let objects_max = usize::try_from(part(self.tree.base_manifest.objects()))?.min(SAMPLE_OBJECTS_MAX);
        let mut bytes = 0;
        for path in self.tree.base_manifest.paths().take(objects_max.max(2)) {
            if bytes >= bytes_max {
                break;
            }
            let (from, to) = (self.tree.base.join(path), sample.join(path));
            std::fs::create_dir_all(to.parent().unwrap_or(&sample))?;
            std::fs::hard_link(&from, &to).with_context(|| format!("linking {}", to.display()))?;
            bytes += from.metadata()?.len();
        }
        Ok(sample)
    }

    /// How rclone moves this tree best, for the first time, and again. The first is found out on a sample; what a second run costs
    /// depends on how many files a folder has, so all of the tree is looked at. Whoever is likely to be fast comes first: the
    /// others need not be waited for.
    pub(super) async fn find_ways(&mut self) -> Result<()> {
        let sample = self.sample()?;
        let first = self.fastest(&sample, Run::First, Way::all()).await?;
        let again = self.fastest(&self.tree.base, Run::Unchanged, Way::all().into_iter().rev().collect()).await?;
        self.ways = Some(Ways { first, again });
        Ok(())
    }

    async fn fastest(&self, tree: &Path, run: Run, ways: Vec<Way>) -> Result<Way> {
        let mut best: Option<(f64, Way)> = None;
        for way in ways {
            let name = format!("{}: rclone, {}, {}", self.tree.kind.name(), run.name(), way.name());
            let least = best.map(|(seconds, _)| seconds);
            match self.try_way(tree, way, run, least).await.with_context(|| name.clone())? {
                Some(seconds) => {
                    println!("{name}: {seconds:.2} s");
                    if least.is_none_or(|least| seconds < least) {
                        best = Some((seconds, way));
                    }
                }
                None => println!("{name}: given up, slower than the best"),
            }
        }
        best.map(|(_, way)| way).context("rclone has no way")
    }

    /// How long one way takes; none when that is far more than the least.
    async fn try_way(&self, tree: &Path, way: Way, run: Run, least: Option<f64>) -> Result<Option<f64>> {
        let folder = self.root.join(format!("{}-way", self.tree.kind.name()));
        let (target, files) = (folder.join("target"), folder.join("servers"));
        std::fs::create_dir_all(&target)?;
        if run != Run::First {
            link_tree(tree, &target)?;
        }
        let places = Places { folder: &files, sources: self.sources()?, target: &target };
        let mut peer = Peer::start(Contestant::Rclone, places, Some(way)).await?;
        self.even(tree, 0)?;
        let meter = Meter::start(&peer.servers(), false)?;
        let limit = least.map_or(RUN_TIME_MAX, |least| Duration::from_secs_f64(least * GIVEN_UP_AFTER));
        let went = tokio::time::timeout(limit, peer.go(places, tree, &meter)).await;
        let usage = meter.stop()?;
        // With its server, before their folder goes.
        drop(peer);
        self.spent.keep(&folder)?;
        match went {
            Ok(went) => went.map(|()| Some(usage.seconds)),
            Err(_elapsed) => Ok(None),
        }
    }
}

/// Makes sure that trees can share files by hard links below this folder.
pub(super) fn can_link(root: &Path) -> Result<()> {
    let probe = root.join("link-probe");
    std::fs::create_dir_all(&probe)?;
    std::fs::write(probe.join("file"), "")?;
    link_tree(&probe, &root.join("link-probe-2")).context("the file system knows no hard links")?;
    std::fs::remove_dir_all(&probe)?;
    std::fs::remove_dir_all(root.join("link-probe-2")).context("removing the probe")
}
