//! What an operator does when something is wanted, one call for each order.

use crate::cluster::Order;
use crate::ground::SHARDS;
use crate::mutant::Mutant;
use crate::operator::Operator;
use crate::tally::Sort;
use shardlift_api::v1;
use shardlift_api::v1::shard_control_client::ShardControlClient;
use shardlift_migration::{Phase, Stage};
use shardlift_model::Role;
use shardlift_pki::tls::{Expected, channel};
use tonic::Status;

const REASON: &str = "as planned";

/// Calls one method of the operator's service with a request that can be repeated.
macro_rules! ask {
    ($operator:expr, $method:ident, $request:expr) => {{
        let request = $request;
        $operator
            .call(|mut client| {
                let request = request.clone();
                async move { client.$method(request).await }
            })
            .await
    }};
}

impl Operator {
    /// Does what is wanted, or tells why not.
    pub(crate) async fn carry_out(&self, order: &Order) {
        self.note_midway(order);
        let done = match order.clone() {
            Order::Start(batch) => ask!(self, start_batch, v1::BatchRequest { batch: batch.into() }).map(drop),
            Order::RollBack(node) => {
                let (node, reason) = (node.into(), REASON.into());
                ask!(self, roll_back_node, v1::RollBackNodeRequest { node, reason, ..Default::default() }).map(drop)
            }
            Order::RollBackBatch(batch) | Order::Rehearse(batch) => {
                let (batch, reason) = (batch.into(), REASON.into());
                let rehearse = matches!(order, Order::Rehearse(_));
                ask!(self, roll_back_batch, v1::RollBackBatchRequest { batch, reason, rehearse, ..Default::default() })
                    .map(drop)
            }
            Order::Abort(node) => {
                let (node, reason) = (node.into(), REASON.into());
                ask!(self, abort_node, v1::AbortNodeRequest { node, reason }).map(drop)
            }
            Order::GiveUp(node) => self.give_up(node).await,
            Order::Release(batch) => {
                ask!(self, release_batch, v1::ReleaseBatchRequest { batch: batch.into(), force: true }).map(drop)
            }
            Order::Restore(node) => ask!(self, restore_node, v1::RestoreNodeRequest { node: node.into() }).map(drop),
        };
        match done {
            Ok(()) => {
                order.sort().into_iter().for_each(|sort| self.shared.tally.count(sort));
                self.tell(format_args!("{order:?}: done"));
            }
            Err(status) => self.tell(format_args!("{order:?}: {:?}: {}", status.code(), status.message())),
        }
    }

    /// Counts orders that come while a node is between two places.
    fn note_midway(&self, order: &Order) {
        let (Order::RollBack(node) | Order::Abort(node)) = order else { return };
        let is_midway = |stage: Stage| {
            matches!(stage.phase(), Phase::Fenced | Phase::Sealed | Phase::Committed | Phase::RollingBack)
        };
        if self.shared.witness.stage(node).is_some_and(is_midway) {
            self.shared.tally.count(Sort::AskedMidway);
        }
    }

    /// Looks what would be lost, and accepts exactly that. From here on the oracle allows what the writer recorded after that seq to
    /// be missing, and nothing else.
    async fn give_up(&self, node: &'static str) -> Result<(), Status> {
        let preview = ask!(self, preview_loss, v1::PreviewLossRequest { node: node.into() })?;
        if !preview.problem.is_empty() {
            return Err(Status::failed_precondition(preview.problem));
        }
        let after_seq = preview.followed_seq;
        // A source that has not begun to follow names its own last change: it has nothing of the writer's.
        let has_none = self.mode_at_source(node).await? == v1::NodeMode::Sealed;
        let allowed_after = match self.shared.mutant {
            Some(Mutant::DeniedLoss) => u64::MAX,
            _ if has_none => 0,
            _ => after_seq,
        };
        let (followed, heard) = (preview.followed_seq, preview.heard_seq);
        self.tell(format_args!("{node}: {} has {followed} of {heard} that were heard of", preview.follower));
        // The order may be carried out although its answer is lost.
        self.shared.witness.give_up(node, &preview.writer, allowed_after);
        let accepted_loss = Some(v1::AcceptedLoss { after_seq });
        let request =
            v1::RollBackNodeRequest { node: node.into(), reason: REASON.into(), rehearse: false, accepted_loss };
        let given_up = ask!(self, roll_back_node, request);
        if given_up.is_err() && self.shared.witness.stage(node) == Some(Stage::Soaking) {
            self.shared.witness.keep(node);
        }
        given_up.map(drop)
    }

    async fn mode_at_source(&self, node: &str) -> Result<v1::NodeMode, Status> {
        let source = SHARDS[0];
        let to = channel(&self.asking, &format!("{source}:8001"), Expected::one(Role::Shard, source));
        let request = v1::ListNodesRequest { after: String::new(), limit: 100 };
        let listed = ShardControlClient::new(to).list_nodes(request).await?.into_inner();
        let found = listed.nodes.iter().find(|known| known.node == node);
        found.map(v1::NodeStatus::mode).ok_or_else(|| Status::not_found(format!("{source} does not have {node}")))
    }
}
