//! Ways to break a part, each of which an oracle must notice: what shows that the oracles look.

use crate::cluster::Order;
use crate::disk::Lie;
use crate::faults::{Fault, Moment, Planned, plan};
use crate::ground::{NODES, SHARDS};
use crate::operator::BATCHES;
use anyhow::Result;
use shardlift_migration::Stage;
use std::path::Path;
use std::time::Duration;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// The source names its final state and lets its clients go on ([`crate::liar`]).
    OpenFence,
    /// The source comes back from a crash with its disk as it was before the move: it has forgotten that it sealed.
    OldDisk,
    /// A target comes back from a crash without an object that it had acknowledged.
    LostObject,
    /// The source comes back from a crash with an object that its client had deleted.
    Resurrection,
    /// A target never comes back.
    Dark,
    /// A target acknowledges what it has not made durable: its files are not synced.
    UnsyncedBytes,
    /// A target acknowledges what has no durable name: its folders are not synced.
    UnsyncedNames,
    /// A writer is given up and nobody has said what may be lost.
    DeniedLoss,
    /// A writer is given up, and the follower loses what it had followed.
    FollowerLoses,
}

impl Mutant {
    /// All.
    pub const ALL: [Self; 9] = [
        Self::OpenFence,
        Self::OldDisk,
        Self::LostObject,
        Self::Resurrection,
        Self::Dark,
        Self::UnsyncedBytes,
        Self::UnsyncedNames,
        Self::DeniedLoss,
        Self::FollowerLoses,
    ];

    /// What a host's disk does not do.
    #[must_use]
    pub fn lie(self, host: &str) -> Option<Lie> {
        match self {
            Self::UnsyncedBytes if host == BATCHES[0].1 => Some(Lie::Bytes),
            Self::UnsyncedNames if host == BATCHES[0].1 => Some(Lie::Names),
            _ => None,
        }
    }

    /// The plan of a seed, and what the mutant needs to show itself.
    #[must_use]
    pub fn plan(self, seed: u64) -> Vec<Planned> {
        let (node, target) = (NODES[0].0, BATCHES[0].1);
        let crash = |host: &'static str, stage| Planned {
            when: Moment::Stage { node, stage, nth: 1, after: Duration::from_millis(1500) },
            lasts: Duration::from_millis(300),
            fault: Fault::Crash(host),
        };
        // Starts alone: what else goes wrong in a seed would hide which of the two was noticed.
        let is_start = |planned: &Planned| matches!(planned.fault, Fault::Order(Order::Start(_)));
        let mut planned: Vec<_> = plan(seed).into_iter().filter(is_start).collect();
        match self {
            Self::OpenFence => {}
            Self::OldDisk => planned.push(crash(SHARDS[0], Stage::Soaking)),
            Self::LostObject | Self::Dark | Self::UnsyncedBytes | Self::UnsyncedNames => {
                planned.push(crash(target, Stage::Soaking))
            }
            Self::Resurrection => {
                // Before any move, so that nobody else has a say.
                let at = Duration::from_secs(4);
                planned = vec![Planned { when: Moment::At(at), ..crash(SHARDS[0], Stage::Soaking) }];
            }
            Self::DeniedLoss | Self::FollowerLoses => planned.extend(lost_target(node, target)),
        }
        planned
    }
}

/// A target that is cut off from its follower, then dies and is given up.
fn lost_target(node: &'static str, target: &'static str) -> [Planned; 3] {
    let at = |after, lasts, fault| {
        let (after, lasts) = (Duration::from_millis(after), Duration::from_millis(lasts));
        Planned { when: Moment::Stage { node, stage: Stage::Soaking, nth: 1, after }, lasts, fault }
    };
    [
        at(1500, 9000, Fault::Partition((SHARDS[0], target))),
        at(5000, 20_000, Fault::Dead(target)),
        at(6000, 0, Fault::Order(Order::GiveUp(node))),
    ]
}

/// The same files in another place, whatever was there before.
///
/// # Errors
/// When a file cannot be read or written.
pub fn replace(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    copy(from, to)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&path, &target)?;
        } else {
            std::fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

/// Brings back files that are not there any more. The index stays what it is.
///
/// # Errors
/// When a file cannot be read or written.
pub fn bring_back(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&target)?;
            bring_back(&entry.path(), &target)?;
        } else if !target.exists() {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Removes all packs of a repository.
///
/// # Errors
/// When a file cannot be removed.
pub fn lose(repository: &Path) -> Result<()> {
    for folder in std::fs::read_dir(repository.join("data"))? {
        for file in std::fs::read_dir(folder?.path())? {
            std::fs::remove_file(file?.path())?;
        }
    }
    Ok(())
}
