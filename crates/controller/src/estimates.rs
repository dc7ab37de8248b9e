//! How long batches take: throughput is measured while nodes copy, and what is left is estimated from it.
//!
//! In order: `meter` turns looks at copies into samples, `measured` keeps them (and finds how many nodes copying at the same
//! time are worth it), `kept` is the file in which they survive a restart, `left` says what is still to be done, `outlook` how
//! long that takes, `size` whether the next batch is larger than those before it advise.
//!
//! All of it is observation. It is not recorded, and nothing waits for it; what becomes of it by the loop's decision is how
//! many nodes may begin to copy.

mod kept;
mod left;
mod measured;
mod meter;
mod outlook;
mod size;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use kept::beside;
pub(crate) use left::{Left, batch_since, left, left_of_file};
pub(crate) use measured::Measured;
pub(crate) use outlook::{Outlook, condition_words, conditions, measured_words, outlook, view};
pub(crate) use size::{advice, advised};

use crate::clock;
use crate::effects::Context;
use crate::observed::{Observed, ShardSeen, arrived};
use meter::{CopyLook, Meter};
use shardlift_migration::{BatchPhase, Input, Stage, World};
use shardlift_model::{ShardId, UnixMillis};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Looks at copies that make one sample.
const LOOKS_OF_A_SAMPLE: u64 = 10;

/// How often what was measured is written at most.
const WRITE: Duration = Duration::from_secs(60);

/// Measures until told to stop; what was measured is kept in this file, if in any.
pub(crate) async fn run(context: Context, file: Option<PathBuf>, shutdown: CancellationToken) {
    if let Some(path) = file.clone()
        && let Ok(measured) = shardlift_net::spawn_blocking(move || kept::read(&path)).await
    {
        context.shared.observe(|observed| observed.measured = measured);
    }
    let begun = clock::now();
    let mut meter = Meter::new(millis(context.pace.measure).saturating_mul(LOOKS_OF_A_SAMPLE));
    let mut tick = tokio::time::interval(context.pace.measure);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut looked, mut written, mut is_new) = (Instant::now(), Instant::now(), false);
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            _ = tick.tick() => {}
        }
        let elapsed = looked.elapsed();
        looked += elapsed;
        is_new |= turn(&context, &mut meter, begun, elapsed).await;
        if is_new && written.elapsed() >= WRITE {
            write(&context, file.as_ref()).await;
            (written, is_new) = (Instant::now(), false);
        }
    }
    if is_new {
        write(&context, file.as_ref()).await;
    }
}

/// One look; true when something was learnt.
async fn turn(context: &Context, meter: &mut Meter, begun: UnixMillis, elapsed: Duration) -> bool {
    let (looks, cap) = context
        .shared
        .both(|recorded, observed| (copies(&recorded.world, observed, begun), recorded.world.limits.seeding_nodes_max));
    let taken = meter.look(clock::now(), millis(elapsed), looks);
    if taken.is_empty() {
        return false;
    }
    let mut advised = None;
    context.shared.observe(|observed| advised = observed.measured.take(&taken, cap));
    // The loop records it when it is news.
    let is_news = |count: &u32| context.shared.world(|world| world.seeding_nodes() != *count);
    if let Some(count) = advised.filter(is_news) {
        context.inputs.report(Input::AdviseSeeding { count }).await;
    }
    true
}

/// The nodes of batches that are being prepared, as far as their copies were begun.
fn copies(world: &World, observed: &Observed, begun: UnixMillis) -> Vec<CopyLook> {
    let answers = |shard: &ShardId| observed.shards.get(shard).is_some_and(ShardSeen::is_reachable);
    let preparing = world.batches.values().filter(|batch| batch.phase == BatchPhase::Preparing);
    let begun_moves = preparing.flat_map(|batch| world.remaining(batch)).filter(|(_, m)| m.stage != Stage::Planned);
    let look = |(node, moving): (&shardlift_migration::Node, &shardlift_migration::Migration)| CopyLook {
        node: node.node.clone(),
        source: moving.source.clone(),
        target: moving.target.clone(),
        at_target: observed.replica(node).map(arrived),
        copying: moving.stage.is_seeding() && !moving.is_idle() && answers(&moving.source) && answers(&moving.target),
        fresh: moving.record.times.started.is_some_and(|at| at >= begun) && !node.old_copies.contains(&moving.target),
    };
    begun_moves.map(look).collect()
}

/// How many nodes copy now and may, and why; empty while none does.
pub(crate) fn seeding_words(world: &World, observed: &Observed) -> String {
    let preparing = world.batches.values().filter(|batch| batch.phase == BatchPhase::Preparing);
    let moves = preparing.flat_map(|batch| world.remaining(batch));
    let copying = moves.filter(|(_, moving)| moving.stage.is_seeding() && !moving.is_idle()).count();
    if copying == 0 {
        return String::new();
    }
    let (most, cap) = (world.seeding_nodes(), world.limits.seeding_nodes_max);
    let why = match observed.measured.why.as_str() {
        "" => "not measured yet",
        why => why,
    };
    format!("{copying} of at most {most} nodes copy at the same time (hard cap {cap}); {why}")
}

async fn write(context: &Context, file: Option<&PathBuf>) {
    let Some(path) = file.cloned() else { return };
    let measured = context.shared.observed(|observed| observed.measured.clone());
    let written = shardlift_net::spawn_blocking(move || kept::write(&path, &measured)).await;
    let problem = match written {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(panicked) => panicked.to_string(),
    };
    tracing::warn!(
        problem,
        "measured throughput was not written: after a restart, measuring begins where the last file ends"
    );
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
