//! What the benchmark came to: the rows of its report.
//!
//! Rounds are paired: a ratio is that of two measurements of one round, and what is told of it is the median, the least and the
//! most. More than one is in our favour.

use super::contestant::{Contestant, More, Run, Sample, Standing};
use super::trees::Tree;
use crate::bench::median;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const MEBIBYTE: f64 = 1_048_576.0;

/// The target was killed, and started again with nothing to catch up with.
const RESTARTED: &str = "shardlift-restarted";

/// One contestant in one run of one tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveFigure {
    /// The benchmark.
    pub bench: String,
    /// Which tree: `large`, `small` or `restic`.
    pub tree: String,
    /// `first`, `unchanged` or `changed`.
    pub run: String,
    /// Who.
    pub contestant: String,
    /// `ours`, `peer` or `limit`.
    pub standing: String,
    /// How it moves the tree.
    pub how: String,
    /// Objects that the run is about: all in the first run, else those that changed.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of each round.
    pub seconds: Vec<f64>,
    /// The median of these.
    pub median_s: f64,
    /// Bytes by the median; none when nothing had to be moved.
    pub mebibytes_per_second: Option<f64>,
    /// Objects by the median; none when nothing had to be moved.
    pub objects_per_second: Option<f64>,
    /// How many times as fast ours is: the median over the rounds. None for ours.
    pub ratio: Option<f64>,
    /// The least of the rounds.
    pub ratio_min: Option<f64>,
    /// The most of the rounds.
    pub ratio_max: Option<f64>,
    /// Processor time of all processes of both ends, the median. None where it was not measured apart.
    pub cpu_s: Option<f64>,
    /// The same for each GiB of a first run.
    pub cpu_s_per_gib: Option<f64>,
    /// Most memory of the giving end in any round. None where one program is both ends.
    pub peak_source_mib: Option<f64>,
    /// Most memory of the taking end in any round.
    pub peak_target_mib: Option<f64>,
    /// Ours, first run: from the order to the first sign of the copy, the median.
    pub began_s: Option<f64>,
    /// Ours, first run: from the order until all was read again and compared, the median.
    pub verified_s: Option<f64>,
    /// Ours, unchanged: another question on a connection of the same kind, the median.
    pub question_s: Option<f64>,
}

/// A limit of this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveLimit {
    /// The benchmark.
    pub bench: String,
    /// What: `sha256-1`, `tls-2`, `dd-fsync` ...; the number is that of threads or connections.
    pub limit: String,
    /// The unit of the rest.
    pub unit: String,
    /// Median over the rounds.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn middle(values: impl IntoIterator<Item = f64>) -> f64 {
    median(&mut values.into_iter().collect::<Vec<_>>())
}

impl MoveLimit {
    pub(super) fn new(name: &str, values: &[f64]) -> Self {
        Self {
            bench: "move_limit".to_owned(),
            limit: name.to_owned(),
            unit: "MiB/s".to_owned(),
            median: middle(values.iter().copied()),
            min: least(values),
            max: most(values),
        }
    }
}

/// All samples of one tree, and how each contestant went about it.
pub(super) struct Measured<'a> {
    pub(super) tree: &'a Tree,
    pub(super) samples: Vec<Sample>,
    /// More than [`Contestant::how`] says.
    pub(super) ways: BTreeMap<(Contestant, Run), String>,
}

#[expect(clippy::cast_precision_loss, reason = "counts and sizes are far below 2^52")]
const fn float(number: u64) -> f64 {
    number as f64
}

impl Measured<'_> {
    fn of(&self, contestant: Contestant, run: Run) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.contestant == contestant && sample.run == run).collect()
    }

    /// One row for each contestant and run that was measured.
    pub(super) fn figures(&self) -> Vec<MoveFigure> {
        let mut figures = Vec::new();
        for run in [Run::First, Run::Unchanged, Run::Changed] {
            for contestant in Contestant::ALL {
                let samples = self.of(contestant, run);
                if !samples.is_empty() {
                    let figure = self.figure(contestant, run, &samples);
                    figures.extend(self.restarted(&figure, &samples));
                    figures.push(figure);
                }
            }
        }
        figures
    }

    fn moved(&self, run: Run) -> (u64, u64) {
        match run {
            Run::First => (self.tree.base_manifest.objects(), self.tree.base_manifest.bytes()),
            Run::Unchanged => (0, 0),
            Run::Changed => (self.tree.changes(), self.tree.added_bytes),
        }
    }

    fn figure(&self, contestant: Contestant, run: Run, samples: &[&Sample]) -> MoveFigure {
        let (objects, bytes) = self.moved(run);
        let seconds: Vec<f64> = samples.iter().map(|sample| sample.usage.seconds).collect();
        let median_s = middle(seconds.iter().copied());
        let cpu_s = middle(samples.iter().map(|sample| sample.usage.cpu_seconds));
        let ratios = self.ratios(contestant, run, &seconds);
        let of_ratios = |of: fn(&[f64]) -> f64| (!ratios.is_empty()).then(|| of(&ratios));
        let peak = |of: fn(&Sample) -> u64| samples.iter().map(|sample| of(sample)).max().filter(|bytes| *bytes > 0);
        let each = |of: fn(&More) -> Option<f64>| {
            let values: Vec<f64> = samples.iter().filter_map(|sample| of(sample.more.as_ref()?)).collect();
            Some(values).filter(|values| !values.is_empty()).map(middle)
        };
        let how = match self.ways.get(&(contestant, run)) {
            Some(way) => format!("{} ({way})", contestant.how()),
            None => contestant.how().to_owned(),
        };
        MoveFigure {
            bench: "move".to_owned(),
            tree: self.tree.kind.name().to_owned(),
            run: run.name().to_owned(),
            contestant: contestant.name().to_owned(),
            standing: contestant.standing().name().to_owned(),
            how,
            objects,
            bytes,
            seconds,
            median_s,
            mebibytes_per_second: Some(float(bytes) / MEBIBYTE / median_s).filter(|_| bytes > 0),
            objects_per_second: Some(float(objects) / median_s).filter(|_| objects > 0),
            ratio: of_ratios(|ratios| middle(ratios.iter().copied())),
            ratio_min: of_ratios(least),
            ratio_max: of_ratios(most),
            cpu_s: Some(cpu_s),
            cpu_s_per_gib: Some(cpu_s / (float(bytes) / MEBIBYTE / 1024.0)).filter(|_| run == Run::First),
            peak_source_mib: peak(|sample| sample.usage.peak_source_bytes).map(|bytes| float(bytes) / MEBIBYTE),
            peak_target_mib: peak(|sample| sample.usage.peak_target_bytes).map(|bytes| float(bytes) / MEBIBYTE),
            began_s: each(|more| if let More::First { began, .. } = more { Some(*began) } else { None }),
            verified_s: each(|more| if let More::First { verified, .. } = more { Some(*verified) } else { None }),
            question_s: each(|more| if let More::Unchanged { question, .. } = more { Some(*question) } else { None }),
        }
    }

    /// Theirs by ours, round by round.
    fn ratios(&self, contestant: Contestant, run: Run, theirs: &[f64]) -> Vec<f64> {
        if contestant.standing() == Standing::Ours {
            return Vec::new();
        }
        let ours = self.of(Contestant::Shardlift, run);
        theirs.iter().zip(ours).map(|(theirs, ours)| theirs / ours.usage.seconds).collect()
    }

    /// What a second run would be if somebody had killed the target.
    fn restarted(&self, unchanged: &MoveFigure, samples: &[&Sample]) -> Option<MoveFigure> {
        let restarted =
            |more: &More| if let More::Unchanged { restarted, .. } = more { Some(*restarted) } else { None };
        let seconds: Vec<f64> = samples.iter().filter_map(|sample| restarted(sample.more.as_ref()?)).collect();
        if seconds.is_empty() {
            return None;
        }
        Some(MoveFigure {
            contestant: RESTARTED.to_owned(),
            how: "the target is killed and started: its index is compared with its folder".to_owned(),
            median_s: middle(seconds.iter().copied()),
            seconds,
            cpu_s: None,
            peak_source_mib: None,
            peak_target_mib: None,
            question_s: None,
            ..unchanged.clone()
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::trees::Kind;
    use super::super::usage::Usage;
    use super::*;
    use std::path::PathBuf;

    /// A tree of nothing, and samples of these seconds.
    pub(in crate::bench::moving) fn rows(kind: Kind, seconds: &[(Contestant, Run, [f64; 3])]) -> Vec<MoveFigure> {
        let mut manifest = super::super::manifest::Manifest::default();
        manifest.add(PathBuf::from("config"), 1 << 30, &super::super::manifest::sha256(b"x"));
        let (base_manifest, changed_manifest) = (manifest.clone(), manifest);
        let (base, changed, added_bytes) = (PathBuf::new(), PathBuf::new(), 1 << 20);
        let (gone, added) = (vec![PathBuf::new()], vec![PathBuf::new()]);
        let tree = Tree { kind, base, base_manifest, changed, changed_manifest, gone, added, added_bytes };
        let usage = |seconds| Usage { seconds, cpu_seconds: 2.0, peak_source_bytes: 0, peak_target_bytes: 50 << 20 };
        let sample = |(contestant, run, seconds): &(Contestant, Run, [f64; 3])| {
            let more = (*contestant == Contestant::Shardlift).then_some(match run {
                Run::First => More::First { began: 0.1, verified: 9.0 },
                _ => More::Unchanged { question: 0.002, restarted: 0.5 },
            });
            seconds.map(|seconds| Sample { contestant: *contestant, run: *run, usage: usage(seconds), more })
        };
        let samples = seconds.iter().flat_map(sample).collect();
        Measured { tree: &tree, samples, ways: BTreeMap::new() }.figures()
    }

    #[test]
    fn ratios_are_those_of_one_round_and_more_is_in_our_favour() {
        let ours = (Contestant::Shardlift, Run::First, [1.0, 2.0, 4.0]);
        let theirs = (Contestant::RsyncSsh, Run::First, [2.0, 8.0, 4.0]);
        let rows = rows(Kind::Large, &[ours, theirs]);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].median_s, rows[0].ratio, rows[0].verified_s), (2.0, None, Some(9.0)));
        assert_eq!((rows[1].ratio, rows[1].ratio_min, rows[1].ratio_max), (Some(2.0), Some(1.0), Some(4.0)));
        assert_eq!((rows[1].mebibytes_per_second, rows[1].cpu_s_per_gib), (Some(256.0), Some(2.0)));
        assert_eq!((rows[1].peak_source_mib, rows[1].peak_target_mib), (None, Some(50.0)));
    }

    #[test]
    fn a_target_that_was_started_again_has_a_row_of_its_own() {
        let rows = rows(Kind::Small, &[(Contestant::Shardlift, Run::Unchanged, [0.1, 0.1, 0.1])]);
        let names: Vec<_> = rows.iter().map(|row| (row.contestant.as_str(), row.median_s)).collect();
        assert_eq!(names, [(RESTARTED, 0.5), ("shardlift", 0.1)]);
        assert!(rows.iter().all(|row| row.objects_per_second.is_none()));
    }

    #[test]
    fn a_limit_is_told_with_its_spread() {
        let limit = MoveLimit::new("tls-1", &[3.0, 1.0, 2.0]);
        assert_eq!((limit.median, limit.min, limit.max), (2.0, 1.0, 3.0));
    }
}
