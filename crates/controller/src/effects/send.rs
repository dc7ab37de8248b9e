//! Sends one command to one shard until the world has moved on.
//!
//! An answer that is lost is asked for by sending the same command with the same token again. What may pass by itself is
//! retried; what may not is reported once per try, as the command's own sort of bad news.

use super::Context;
use crate::backoff::{Backoff, Bounds};
use crate::channels::{Deadline as _, Within as _};
use crate::wire::{final_state, node_digest, with_settings};
use shardlift_api::fault::{CODE_HEADER, Fault, FaultKind};
use shardlift_api::v1::{self, shard_control_client::ShardControlClient};
use shardlift_migration::{Command, Outcome, Settings};
use shardlift_model::{NodeId, ShardId, Token};
use std::time::Duration;
use tonic::Status;
use tonic::transport::Channel;

/// How long a shard may take for a command that only records something.
const RECORDED: Duration = Duration::from_secs(10);

/// How long what reads, renames or deletes a large node may take, or breaks its requests off.
const LARGE: Duration = Duration::from_secs(60);

/// A shard that was given up is asked this much less often: it may come back in a month, or never.
const GIVEN_UP_PATIENCE: u32 = 15;

/// Internal errors of a shard in a row that are put down to a restart under way.
const BROKEN_TRIES_MAX: u32 = 30;

/// A command and its addressee.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) node: NodeId,
    pub(super) token: Token,
    pub(super) shard: ShardId,
    pub(super) command: Command,
}

/// Why a try came to nothing.
#[derive(Debug)]
struct Failure {
    kind: FaultKind,
    reason: String,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        // Without a code of ours it is the connection that speaks: broken streams arrive as INTERNAL too.
        let is_ours = status.metadata().contains_key(CODE_HEADER);
        let kind = match FaultKind::from(&status) {
            FaultKind::Internal if !is_ours => FaultKind::Unavailable,
            kind => kind,
        };
        Self { kind, reason: status.message().to_owned() }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { kind: fault.kind(), reason: fault.public().to_owned() }
    }
}

pub(super) async fn run(context: Context, order: Order) {
    let mut backoff = Backoff::new(bounds(&order.command, context.pace.retry));
    let mut broken_tries = 0;
    let mut told = String::new();
    loop {
        let Order { node, token, shard, command } = &order;
        let outcome = match attempt(&context, &order).await {
            Ok(outcome) => {
                context.wait(node, None);
                Some(outcome)
            }
            Err(failure) => {
                let Failure { kind, reason } = &failure;
                // That a shard which was given up is silent is what everybody expects; the stage says what it waits for.
                let expected = matches!(command, Command::Depose) && *kind == FaultKind::Unavailable;
                context.wait(node, (!expected).then(|| format!("{shard}: {reason}")));
                if *reason != told {
                    tracing::warn!(%node, %token, %shard, command = word(command), ?kind, reason, "a command failed");
                    told.clone_from(reason);
                }
                broken_tries += u32::from(*kind == FaultKind::Internal);
                verdict(command, &failure, broken_tries)
            }
        };
        if let Some(outcome) = outcome
            && !context.answer(node, *token, outcome).await
        {
            return;
        }
        backoff.wait().await;
    }
}

fn bounds(command: &Command, retry: Bounds) -> Bounds {
    match command {
        Command::Depose => Bounds { max: retry.max * GIVEN_UP_PATIENCE, ..retry },
        _ => retry,
    }
}

/// What to report of a failure; nothing for one that may pass.
fn verdict(command: &Command, failure: &Failure, broken_tries: u32) -> Option<Outcome> {
    let reason = failure.reason.clone();
    match (command, failure.kind) {
        (_, FaultKind::Unavailable) => None,
        // A shard that broke in the middle does not know itself what it did, until it was restarted. In a cutover the bound of
        // the cutover ends the wait.
        (Command::Fence | Command::CompleteReplica { .. } | Command::Seal { .. }, FaultKind::Internal) => None,
        (_, FaultKind::Internal) if broken_tries < BROKEN_TRIES_MAX => None,
        // Missing counts as done: there is nothing to discard, and a former writer that came back without its data has nothing
        // to give up.
        (Command::DiscardReplica | Command::Detach | Command::Depose, FaultKind::NotFound) => Some(Outcome::Done),
        // The lease is over, the source was restarted, or somebody else fenced: all of these lead to a new fence.
        (Command::Fence | Command::Seal { .. }, FaultKind::Refused | FaultKind::StaleToken)
        | (Command::CompleteReplica { .. }, FaultKind::Refused | FaultKind::StaleToken) => {
            Some(Outcome::FenceLost { reason })
        }
        _ => Some(Outcome::Refused { reason }),
    }
}

async fn attempt(context: &Context, order: &Order) -> Result<Outcome, Failure> {
    let Order { node, token, shard, command } = order;
    let unavailable = |text: &str| Failure { kind: FaultKind::Unavailable, reason: text.to_owned() };
    let address = context.shard_address(shard).ok_or_else(|| unavailable("the shard is not recorded"))?;
    let mut client = context.channels.shard(shard, &address);
    let (node, token) = (node.as_str().to_owned(), Some((*token).into()));
    match command {
        Command::Fence | Command::CompleteReplica { .. } | Command::Seal { .. } => {
            attempt_cutover(context, &mut client, command, node, token).await
        }
        Command::StartReplica { source, accept_damaged } => {
            let addresses = addresses(context, source)?;
            let request = v1::StartReplicaRequest {
                node,
                token,
                source: source.as_str().to_owned(),
                source_peer_address: addresses.peer,
                accept_damaged: *accept_damaged,
            };
            client.start_replica(RECORDED.on(request)).within(RECORDED).await?;
            Ok(Outcome::Done)
        }
        Command::Promote { expected, follower, settings } => {
            if let Some(settings) = settings {
                set(&mut client, &node, token, settings).await?;
            }
            let (r#final, follower) = (Some(node_digest(expected)), follower.as_str().to_owned());
            let request = v1::PromoteRequest { node, token, r#final, follower };
            let status = client.promote(LARGE.on(request)).within(LARGE).await?.into_inner();
            Ok(Outcome::Promoted { seq: status.promoted_seq, snapshots: status.snapshots })
        }
        Command::Retire { target, from_seq } => {
            let addresses = addresses(context, target)?;
            let request = v1::RetireRequest {
                node,
                token,
                target: target.as_str().to_owned(),
                target_client_address: addresses.client,
                target_peer_address: addresses.peer,
                from_seq: *from_seq,
            };
            client.retire(RECORDED.on(request)).within(RECORDED).await?;
            Ok(Outcome::Done)
        }
        Command::TakeStock => {
            let answer = client.take_stock(LARGE.on(v1::TakeStockRequest { node, token })).within(LARGE).await?;
            Ok(Outcome::StockTaken { state: final_state(answer.into_inner().digest)? })
        }
        _ => {
            attempt_plain(&mut client, command, node, token).await?;
            Ok(Outcome::Done)
        }
    }
}

/// Gives a shard what is recorded for a node that it is about to serve: before that, so that no client finds it without its
/// holds. Under the token of the promotion: both are one step.
async fn set(
    client: &mut ShardControlClient<Channel>,
    node: &str,
    token: Option<v1::Token>,
    settings: &Settings,
) -> Result<(), Failure> {
    let asked = RECORDED.on(v1::GetNodeRequest { node: node.to_owned() });
    let said = client.get_node(asked).within(RECORDED).await?.into_inner().settings.unwrap_or_default();
    let settings = Some(with_settings(said, settings));
    client
        .set_node(RECORDED.on(v1::SetNodeRequest { node: node.to_owned(), token, settings }))
        .within(RECORDED)
        .await?;
    Ok(())
}

/// Where a shard is reached by other shards and by clients.
struct Addresses {
    peer: String,
    client: String,
}

fn addresses(context: &Context, shard: &ShardId) -> Result<Addresses, Failure> {
    let known = context.shared.world(|world| {
        let known = world.shards.get(shard)?;
        Some(Addresses { peer: known.peer_address.clone(), client: known.client_address.clone() })
    });
    let said = known.filter(|known| !known.peer.is_empty() && !known.client.is_empty());
    said.ok_or_else(|| Failure {
        kind: FaultKind::Unavailable,
        reason: format!("shard {shard} has not said where it can be reached"),
    })
}

/// Commands that are answered by having been carried out.
async fn attempt_plain(
    client: &mut ShardControlClient<Channel>,
    command: &Command,
    node: String,
    token: Option<v1::Token>,
) -> Result<(), Status> {
    match command {
        Command::Offer { target } => {
            let request = v1::OfferNodeRequest { node, token, target: target.as_str().to_owned() };
            client.offer_node(RECORDED.on(request)).within(RECORDED).await?;
        }
        Command::VerifyReplica => {
            client.verify_replica(RECORDED.on(v1::VerifyReplicaRequest { node, token })).within(RECORDED).await?;
        }
        Command::Detach => {
            client.detach(RECORDED.on(v1::DetachRequest { node, token })).within(RECORDED).await?;
        }
        Command::Depose => {
            client.depose(LARGE.on(v1::DeposeRequest { node, token })).within(LARGE).await?;
        }
        Command::Quarantine => {
            client.quarantine(LARGE.on(v1::QuarantineRequest { node, token })).within(LARGE).await?;
        }
        Command::Restore => {
            client.restore(LARGE.on(v1::RestoreRequest { node, token })).within(LARGE).await?;
        }
        Command::EndLegacyCredentials => {
            let request = v1::EndLegacyCredentialsRequest { node, token };
            client.end_legacy_credentials(RECORDED.on(request)).within(RECORDED).await?;
        }
        Command::Unfence => {
            client.unfence(RECORDED.on(v1::UnfenceRequest { node, token })).within(RECORDED).await?;
        }
        Command::DiscardReplica => {
            client.discard_replica(LARGE.on(v1::DiscardReplicaRequest { node, token })).within(LARGE).await?;
        }
        Command::StartReplica { .. }
        | Command::Fence
        | Command::CompleteReplica { .. }
        | Command::Seal { .. }
        | Command::Promote { .. }
        | Command::TakeStock
        | Command::Retire { .. } => {
            return Err(Status::internal("this command is answered with more than a word"));
        }
    }
    Ok(())
}

async fn attempt_cutover(
    context: &Context,
    client: &mut ShardControlClient<Channel>,
    command: &Command,
    node: String,
    token: Option<v1::Token>,
) -> Result<Outcome, Failure> {
    let limits = context.shared.world(|world| world.limits.clone());
    match command {
        Command::CompleteReplica { expected } => {
            let deadline = limits.cutover_max().max(RECORDED);
            let request = v1::CompleteReplicaRequest { node, token, r#final: Some(node_digest(expected)) };
            let answer = client.complete_replica(deadline.on(request)).within(deadline).await?;
            Ok(Outcome::Completed { state: final_state(answer.into_inner().digest)? })
        }
        Command::Seal { expected } => {
            let request = v1::SealRequest { node, token, r#final: Some(node_digest(expected)) };
            client.seal(RECORDED.on(request)).within(RECORDED).await?;
            Ok(Outcome::Done)
        }
        _ => {
            let (lease_ms, drain_ms_max) = (limits.fence_lease_ms, limits.drain_ms_max);
            // The source drains, then cancels, then reads its digest.
            let deadline = Duration::from_millis(drain_ms_max.into()) + RECORDED;
            let request = v1::FenceRequest { node, token, lease_ms, drain_ms_max };
            let answer = client.fence(deadline.on(request)).within(deadline).await?;
            Ok(Outcome::Fenced { state: final_state(answer.into_inner().r#final)? })
        }
    }
}

const fn word(command: &Command) -> &'static str {
    match command {
        Command::Offer { .. } => "offer",
        Command::StartReplica { .. } => "start_replica",
        Command::VerifyReplica => "verify_replica",
        Command::Fence => "fence",
        Command::CompleteReplica { .. } => "complete_replica",
        Command::Seal { .. } => "seal",
        Command::Promote { .. } => "promote",
        Command::Retire { .. } => "retire",
        Command::Detach => "detach",
        Command::TakeStock => "take_stock",
        Command::Depose => "depose",
        Command::Quarantine => "quarantine",
        Command::Restore => "restore",
        Command::EndLegacyCredentials => "end_legacy_credentials",
        Command::Unfence => "unfence",
        Command::DiscardReplica => "discard_replica",
    }
}

#[cfg(test)]
mod tests;
