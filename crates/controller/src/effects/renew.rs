//! Renews a fence at a third of its lease, so that two lost renewals do not lose the fence.
//!
//! Reports the loss only on the source's own word. A source out of reach says nothing about its fence; the bound of
//! the cutover deals with that.

use super::Context;
use crate::channels::{Deadline as _, Within as _};
use shardlift_api::fault::FaultKind;
use shardlift_api::v1::{self, NodeMode};
use shardlift_migration::Outcome;
use shardlift_model::{NodeId, ShardId, Token};
use std::time::Duration;

/// After a renewal that was not answered.
const AGAIN: Duration = Duration::from_millis(250);

/// How long a renewal may take.
const DEADLINE: Duration = Duration::from_secs(3);

enum Renewed {
    Yes,
    Unanswered,
    No(String),
}

pub(super) async fn run(context: Context, node: NodeId, token: Token, shard: ShardId) {
    loop {
        let lease_ms = context.shared.world(|world| world.limits.fence_lease_ms);
        let pause = match renew(&context, &node, token, &shard, lease_ms).await {
            Renewed::Yes => Duration::from_millis(u64::from(lease_ms) / 3),
            Renewed::Unanswered => AGAIN,
            Renewed::No(reason) => {
                tracing::warn!(%node, %token, %shard, reason, "the fence was not renewed");
                if !context.answer(&node, token, Outcome::FenceLost { reason }).await {
                    return;
                }
                AGAIN
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn renew(context: &Context, node: &NodeId, token: Token, shard: &ShardId, lease_ms: u32) -> Renewed {
    let Some(address) = context.shard_address(shard) else { return Renewed::Unanswered };
    let mut client = context.channels.shard(shard, &address);
    let name = node.as_str().to_owned();
    let request = v1::RenewFenceRequest { node: name.clone(), token: Some(token.into()), lease_ms };
    let status = match client.renew_fence(DEADLINE.on(request)).within(DEADLINE).await {
        Ok(_renewed) => return Renewed::Yes,
        Err(status) => status,
    };
    // Only these are the source's word that the fence is gone; a broken connection or disk says nothing about it.
    if !matches!(FaultKind::from(&status), FaultKind::Refused | FaultKind::StaleToken | FaultKind::NotFound) {
        return Renewed::Unanswered;
    }
    // A seal ends the fence, and its answer may still be on the way: then nothing was lost.
    match client.get_node(DEADLINE.on(v1::GetNodeRequest { node: name })).within(DEADLINE).await {
        Ok(found) if found.get_ref().mode() == NodeMode::Sealed => Renewed::Unanswered,
        Ok(_) => Renewed::No(status.message().to_owned()),
        Err(_unanswered) => Renewed::Unanswered,
    }
}
