//! Asks a shard what its nodes do: what plans are made from. Seldom, because it changes by the hour.

use super::pages::{PAGE, Pages};
use super::shards::DEADLINE;
use crate::channels::{Deadline as _, Within as _};
use crate::effects::Context;
use shardlift_api::v1;
use shardlift_api::v1::shard_control_client::ShardControlClient;
use shardlift_model::{Activity, HOURS, HourOfWeek, NodeId, ShardId};
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// From one question to the next.
const EVERY: Duration = Duration::from_secs(60);

/// When to ask again.
#[derive(Debug, Default)]
pub(super) struct Due(Option<Instant>);

impl Due {
    /// Asks if it is time. What a shard of an older release does not know is left as it is.
    pub(super) async fn look(
        &mut self,
        context: &Context,
        shard: &ShardId,
        client: &mut ShardControlClient<Channel>,
    ) -> Result<(), Status> {
        if self.0.is_some_and(|due| Instant::now() < due) {
            return Ok(());
        }
        let heard = match list(client).await {
            Err(status) if status.code() == Code::Unimplemented => Vec::new(),
            listed => listed?,
        };
        self.0 = Some(Instant::now() + EVERY);
        context.shared.observe_in(|world, observed| {
            let own = |node: &NodeId| world.nodes.get(node).is_some_and(|known| known.shard == *shard);
            let heard: Vec<_> = heard.into_iter().filter(|(node, _)| own(node)).collect();
            let seen = observed.shards.entry(shard.clone()).or_default();
            seen.counted = true;
            seen.peak = peak(heard.iter().map(|(_, activity)| activity));
            observed.activities.extend(heard);
        });
        Ok(())
    }
}

/// The busiest hour of all of them together, and its load in KiB.
fn peak<'a>(activities: impl Iterator<Item = &'a Activity>) -> Option<(HourOfWeek, u64)> {
    let mut load = [0_u64; HOURS];
    for activity in activities {
        load.iter_mut().zip(activity.load_kib()).for_each(|(sum, kib)| *sum = sum.saturating_add(kib));
    }
    HourOfWeek::all().zip(load).max_by_key(|(_, kib)| *kib).filter(|(_, kib)| *kib > 0)
}

async fn list(client: &mut ShardControlClient<Channel>) -> Result<Vec<(NodeId, Activity)>, Status> {
    let mut heard = Vec::new();
    let mut pages = Pages::of("what nodes do");
    loop {
        let request = v1::ListActivityRequest { after: pages.after(), limit: PAGE };
        let page = client.list_activity(DEADLINE.on(request)).within(DEADLINE).await?.into_inner();
        for v1::NodeActivity { node, activity } in page.nodes {
            match (node.parse(), Activity::decode(&activity)) {
                (Ok(node), Ok(activity)) => heard.push((node, activity)),
                (Err(error), _) => tracing::warn!(%error, "a shard listed a node whose name is none"),
                (_, Err(error)) => tracing::warn!(%node, %error, "what the node does cannot be read"),
            }
        }
        if !pages.turn(page.next)? {
            return Ok(heard);
        }
    }
}
