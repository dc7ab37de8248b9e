//! Deep verify on an operator's word: the writer, or another shard that has a copy, reads all objects of it again from its disk.
//!
//! It goes under the node's present token, as settings do (ADR 10), and has a number of its own beside it, so that it can be
//! asked for again and again in a stage that lasts for months. It is refused while the stage has a command of its own for that shard:
//! an equal token would make that one look like a repetition.

use super::OperatorService;
use super::fleet::unknown;
use crate::channels::{Deadline as _, Within as _};
use crate::observed::Observed;
use shardlift_api::convert;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_migration::{Effect, Node, effects};
use shardlift_model::{ByteCount, NodeId, ShardId, Token};
use std::time::Duration;
use tonic::Status;

/// How long the shard may take to begin.
const DEADLINE: Duration = Duration::from_secs(10);

/// What a shard says of the last deep verify of a node, or of the one under way.
pub(super) fn view(node: &Node, shard: &ShardId, status: &v1::NodeStatus) -> Option<v1::DeepVerifyView> {
    let run = status.deep_verify.clone()?;
    Some(v1::DeepVerifyView {
        node: node.node.to_string(),
        shard: shard.to_string(),
        role: role(node, shard).to_owned(),
        objects_total: run.objects_total,
        objects_read: run.objects_read,
        bytes_total: run.bytes_total,
        bytes_read: run.bytes_read,
        bytes_per_second: run.bytes_per_second,
        damaged: run.damaged,
        missing: run.missing,
        known_damaged: run.known_damaged,
        names: run.names,
        begun_unix_ms: run.begun_unix_ms,
        ended_unix_ms: run.ended_unix_ms,
        waiting_for: run.waiting_for,
        failure: run.failure,
    })
}

/// What a shard is to a node; its place in a move that is under way says most.
fn role(node: &Node, shard: &ShardId) -> &'static str {
    match node.migration.as_ref().filter(|moving| !moving.stage.is_over()) {
        Some(moving) if moving.target == *shard => "target",
        Some(moving) if moving.source == *shard => "source",
        _ if node.shard == *shard => "writer",
        _ => "other",
    }
}

/// How far the deep verify of a node's writer is, in words, while it goes on.
pub(super) fn under_way(observed: &Observed, node: &Node) -> Option<String> {
    let view = view(node, &node.shard, observed.at_writer(node)?)?;
    (view.ended_unix_ms == 0).then(|| words(&view))
}

fn words(view: &v1::DeepVerifyView) -> String {
    let read = (u128::from(view.bytes_read) * 100).checked_div(u128::from(view.bytes_total)).unwrap_or(0).min(100);
    let pace = match (view.waiting_for.as_str(), view.bytes_per_second) {
        ("", 0) => String::new(),
        ("", rate) => format!(", {}/s", ByteCount(rate)),
        (reason, _) => format!(", waits for {reason}"),
    };
    format!("a deep verify of the {}: {read} %{pace}", view.role)
}

impl OperatorService {
    pub(super) async fn verify_node_checked(
        &self,
        request: &v1::VerifyNodeRequest,
    ) -> Result<v1::DeepVerifyView, Fault> {
        let node = convert::node(&request.node)?;
        let shard = self.shard_to_verify(&node, &request.shard)?;
        let asked = self.context.node_at(&shard, &node).await;
        let mut status = asked.map_err(|status| unanswered(&shard, &status))?;
        let goes_on = status.deep_verify.as_ref().is_some_and(|run| run.ended_unix_ms == 0);
        if !request.look && !goes_on {
            status = self.begin(&node, &shard, request.bytes_per_second, &status).await?;
        }
        let known = self.context.shared.world(|world| world.nodes.get(&node).cloned());
        let known = known.ok_or_else(|| unknown(&node))?;
        Ok(view(&known, &shard, &status).unwrap_or_else(|| v1::DeepVerifyView {
            node: node.to_string(),
            shard: shard.to_string(),
            role: role(&known, &shard).to_owned(),
            ..Default::default()
        }))
    }

    fn shard_to_verify(&self, node: &NodeId, named: &str) -> Result<ShardId, Fault> {
        let named: Option<ShardId> = if named.is_empty() { None } else { Some(convert::name("shard", named)?) };
        self.context.shared.world(|world| {
            let known = world.nodes.get(node).ok_or_else(|| unknown(node))?;
            let shard = named.unwrap_or_else(|| known.shard.clone());
            let absent = || format!("shard {shard} is not known\n`shardlift shard list` shows all shards");
            let found = world.shards.contains_key(&shard);
            if found { Ok(shard) } else { Err(Fault::new(FaultKind::NotFound, absent())) }
        })
    }

    async fn begin(
        &self,
        node: &NodeId,
        shard: &ShardId,
        bytes_per_second: u64,
        status: &v1::NodeStatus,
    ) -> Result<v1::NodeStatus, Fault> {
        let (_, token) = self.writer(node)?;
        if self.commands(node, shard) {
            let text = format!("a command for node {node} is on its way to shard {shard}\ntry again in a moment");
            return Err(Fault::new(FaultKind::Refused, text));
        }
        let address = self.context.shard_address(shard);
        let address = address.ok_or_else(|| Fault::internal(format!("shard {shard} has no address")))?;
        let mut client = self.context.channels.shard(shard, &address);
        let run = next_run(token, status);
        let (node, token) = (node.as_str().to_owned(), Some(token.into()));
        let request = v1::DeepVerifyRequest { node, token, bytes_per_second, run };
        let begun = client.deep_verify(DEADLINE.on(request)).within(DEADLINE).await;
        begun.map(tonic::Response::into_inner).map_err(|status| unanswered(shard, &status))
    }

    /// True while the node's stage has a command of its own for this shard.
    fn commands(&self, node: &NodeId, shard: &ShardId) -> bool {
        let to_it =
            |effect: &Effect| matches!(effect, Effect::Send { node: of, shard: to, .. } if of == node && to == shard);
        self.context.shared.world(|world| effects(world).iter().any(to_it))
    }
}

/// After the one that is there. A soak's own has the number 0.
fn next_run(token: Token, status: &v1::NodeStatus) -> u64 {
    let last = status.deep_verify.as_ref();
    let same = last.filter(|run| {
        run.token.as_ref().is_some_and(|of| (of.generation, of.step) == (token.generation.0, token.step.0))
    });
    same.map_or(1, |run| run.run.saturating_add(1))
}

fn unanswered(shard: &ShardId, status: &Status) -> Fault {
    let kind = FaultKind::from(status);
    let advice = if kind.is_retryable() { "give the command again: one that is under way is joined" } else { "" };
    let text = format!("shard {shard}: {}\n{advice}", status.message());
    Fault::new(kind, text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_new_under_the_token_of_the_last_one() {
        let token = Token::new(3, 2, 8);
        let of = |token: Token, run| v1::NodeStatus {
            deep_verify: Some(v1::DeepVerify { token: Some(token.into()), run, ..Default::default() }),
            ..Default::default()
        };
        assert_eq!(next_run(token, &v1::NodeStatus::default()), 1);
        assert_eq!(next_run(token, &of(Token::new(3, 2, 7), 5)), 1);
        assert_eq!(next_run(token, &of(Token::new(1, 2, 8), 0)), 1, "the soak's, under another leader");
        assert_eq!(next_run(token, &of(token, 4)), 5);
    }

    #[test]
    fn what_goes_on_is_told_with_its_pace_or_its_reason() {
        let mut view = v1::DeepVerifyView {
            role: "target".into(),
            bytes_read: 61,
            bytes_total: 100,
            bytes_per_second: 120 << 20,
            ..Default::default()
        };
        assert_eq!(words(&view), format!("a deep verify of the target: 61 %, {}/s", ByteCount(120 << 20)));
        view.waiting_for = "its turn".into();
        assert_eq!(words(&view), "a deep verify of the target: 61 %, waits for its turn");
        assert_eq!(
            words(&v1::DeepVerifyView { role: "writer".into(), ..Default::default() }),
            "a deep verify of the writer: 0 %"
        );
    }
}
