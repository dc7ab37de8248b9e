//! Looks at every shard and router in turn: what they are, which nodes they serve, which certificates they have seen.
//!
//! One task for each part, so that a slow one holds up nobody. What was seen is kept in memory; what must be recorded
//! (an address, an unknown node, a certificate in use) becomes an input.

mod activity;
mod pages;
mod routers;
mod shards;

pub(crate) use shards::{describe, list as list_nodes};

use crate::effects::Context;
use shardlift_migration::World;
use shardlift_model::Role;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often the set of parts is compared with what is recorded, should no change announce itself.
const COMPARE: Duration = Duration::from_secs(1);

/// Keeps one task for each recorded part until told to stop.
pub(crate) async fn run(context: Context, shutdown: CancellationToken) {
    let mut tasks: BTreeMap<(Role, String), JoinHandle<()>> = BTreeMap::new();
    let mut changes = context.shared.changes();
    loop {
        let (shards, routers) = context.shared.world(|world| {
            let shards: Vec<_> = world.shards.keys().cloned().collect();
            let routers: Vec<_> = world.routers.keys().cloned().collect();
            (shards, routers)
        });
        for shard in shards {
            let key = (Role::Shard, shard.to_string());
            tasks.entry(key).or_insert_with(|| tokio::spawn(shards::run(context.clone(), shard)));
        }
        for router in routers {
            let key = (Role::Router, router.to_string());
            tasks.entry(key).or_insert_with(|| tokio::spawn(routers::run(context.clone(), router)));
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            _ = tokio::time::sleep(COMPARE) => {}
            changed = changes.changed() => if changed.is_err() { break },
        }
    }
    tasks.into_values().for_each(|task| task.abort());
}

/// True while a move is under way and views should be fresh.
fn is_active(world: &World) -> bool {
    world.nodes.values().any(|node| {
        node.migration.as_ref().is_some_and(|m| !m.stage.is_over() && m.stage != shardlift_migration::Stage::Planned)
    })
}

async fn pause(context: &Context) {
    let pace = context.pace;
    let active = context.shared.once_a_revision(is_active);
    tokio::time::sleep(if active { pace.inventory_active } else { pace.inventory_idle }).await;
}
