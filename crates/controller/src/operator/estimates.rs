//! How long a plan takes, as things are and under other conditions. Only asked: nothing is changed.

use super::OperatorService;
use crate::clock;
use crate::estimates::{self, Left, Outlook};
use crate::observed::Observed;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::{convert, v1};
use shardlift_migration::World;
use shardlift_model::ShardId;
use shardlift_planner::estimate::{Cap, Conditions};
use shardlift_planner::{WINDOWS_MAX, Window, parse};
use std::collections::{BTreeMap, BTreeSet};

/// Targets whose caps one request may name.
const TARGETS_MAX: usize = 1000;

/// Nodes that may be supposed to copy at the same time.
const WORKERS_MAX: u32 = 10_000;

/// Conditions other than the present ones; what is absent stays.
#[derive(Debug, Default, PartialEq)]
struct Supposed {
    /// 0: none.
    cap: Option<u64>,
    windows: Option<Vec<Window>>,
    workers: Option<u16>,
    /// 0: none.
    target_caps: BTreeMap<ShardId, u64>,
}

impl Supposed {
    fn read(request: &v1::EstimatePlanRequest) -> Result<Self, Fault> {
        let invalid = |text: String| Fault::new(FaultKind::Invalid, text);
        if request.target_caps.len() > TARGETS_MAX {
            return Err(Fault::new(FaultKind::Exhausted, format!("more than {TARGETS_MAX} targets in one request")));
        }
        if request.workers > WORKERS_MAX {
            return Err(invalid(format!("workers: at most {WORKERS_MAX} can be supposed")));
        }
        let target = |cap: &v1::TargetCap| Ok((convert::name("target", &cap.shard)?, cap.bytes_per_second));
        Ok(Self {
            cap: request.bytes_per_second,
            windows: request.windows.as_deref().map(windows).transpose()?,
            workers: u16::try_from(request.workers).ok().filter(|workers| *workers > 0),
            target_caps: request.target_caps.iter().map(target).collect::<Result<_, Fault>>()?,
        })
    }

    /// The conditions as supposed.
    fn of(&self, present: Conditions) -> Conditions {
        let mut other = present;
        if let Some(cap) = self.cap {
            other.source = supposed_cap(cap);
        }
        if let Some(windows) = &self.windows {
            other.windows.clone_from(windows);
        }
        other.workers = self.workers.unwrap_or(other.workers);
        for (shard, cap) in &self.target_caps {
            match cap {
                0 => other.targets.remove(shard),
                cap => other.targets.insert(shard.clone(), Cap::always(*cap)),
            };
        }
        other
    }
}

/// A cap at any time, in place of what the shard has by time of day; 0: none.
fn supposed_cap(bytes_per_second: u64) -> Cap {
    if bytes_per_second > 0 { Cap::always(bytes_per_second) } else { Cap::default() }
}

/// `02:00-06:00, 22:00-23:30`; empty: all hours.
fn windows(text: &str) -> Result<Vec<Window>, Fault> {
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.len() > WINDOWS_MAX {
        return Err(Fault::new(FaultKind::Invalid, format!("windows: at most {WINDOWS_MAX}")));
    }
    let window = |part: &str| {
        part.parse().map_err(|error| Fault::new(FaultKind::Invalid, format!("windows: {part:?}: {error}")))
    };
    parts.into_iter().map(window).collect()
}

impl OperatorService {
    pub(super) fn estimate_plan_text(
        &self,
        request: &v1::EstimatePlanRequest,
    ) -> Result<v1::EstimatePlanResponse, Fault> {
        let supposed = Supposed::read(request)?;
        self.context.shared.both(|recorded, observed| {
            let world = &recorded.world;
            if let Some(shard) = supposed.target_caps.keys().find(|shard| !world.shards.contains_key(*shard)) {
                let text = format!("shard {shard} is not known\n`shardlift shard list` shows all shards");
                return Err(Fault::new(FaultKind::NotFound, text));
            }
            let left = asked(world, observed, &request.toml)?;
            Ok(answer(world, observed, &left, &supposed))
        })
    }
}

/// What is left of the plan that is asked about.
fn asked(world: &World, observed: &Observed, toml: &str) -> Result<Vec<Left>, Fault> {
    let now = clock::now();
    let none = |what: &str| Fault::new(FaultKind::NotFound, format!("{what}\n`shardlift plan make` drafts a plan"));
    if toml.is_empty() {
        let left = estimates::left(world, observed, now);
        return match world.plan {
            None => Err(none("no plan is in force")),
            Some(_) if left.is_empty() => Err(none("all batches of the plan in force are over")),
            Some(_) => Ok(left),
        };
    }
    let file = parse(toml).map_err(|findings| {
        let first = findings.into_iter().next();
        let place =
            first.map(|finding| format!("line {}, column {}: {}", finding.line, finding.column, finding.message));
        let text = place.unwrap_or_else(|| "this is no plan file".to_owned());
        Fault::new(FaultKind::Invalid, format!("{text}\n`shardlift plan check` shows all of it"))
    })?;
    let left = estimates::left_of_file(world, observed, &file, now).map_err(|unknown| {
        let text = format!("node {} is not known\n`shardlift plan check` shows all that is wrong", unknown.0);
        Fault::new(FaultKind::Invalid, text)
    })?;
    if left.is_empty() { Err(none("all batches of this plan are over")) } else { Ok(left) }
}

fn answer(world: &World, observed: &Observed, left: &[Left], supposed: &Supposed) -> v1::EstimatePlanResponse {
    let now = clock::now();
    let conditions = |source: &ShardId| estimates::conditions(world, observed, left, source);
    let present = estimates::outlook(left, &observed.measured, conditions, now);
    let other = (*supposed != Supposed::default())
        .then(|| estimates::outlook(left, &observed.measured, |source| supposed.of(conditions(source)), now))
        .flatten();
    let of = |outlook: &Option<Outlook>, left: &Left| {
        outlook.as_ref().and_then(|outlook| outlook.batches.get(&left.batch)).map(estimates::view)
    };
    let batch = |left: &Left| v1::BatchOutlook {
        batch: left.batch.to_string(),
        nodes: left.nodes,
        bytes: left.bytes(),
        present: of(&present, left),
        other: of(&other, left),
    };
    let whole = |outlook: &Option<Outlook>| outlook.as_ref().map(|outlook| estimates::view(&outlook.whole));
    let sources: BTreeSet<&ShardId> = left.iter().flat_map(Left::sources).collect();
    v1::EstimatePlanResponse {
        batches: left.iter().map(batch).collect(),
        present: whole(&present),
        other: whole(&other),
        measured: sources
            .iter()
            .map(|source| estimates::measured_words(&observed.measured, source, conditions(source).workers))
            .collect(),
        conditions: sources
            .iter()
            .map(|source| estimates::condition_words(observed, source, &conditions(source)))
            .collect(),
    }
}
