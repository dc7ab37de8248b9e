//! A node's quota, append-only flag and holds.
//!
//! They are kept by the node's shard, travel with the node, and are changed there under the node's present token; then they are
//! recorded as well, for a shard that takes the node over without that one. That token is
//! equal to the one of the stage's own command, so a change never comes between a command and its repetition, and one that was
//! delayed past the next command is stale (INV-03).

use super::OperatorService;
use crate::channels::{Deadline as _, Within as _};
use crate::{clock, wire};
use shardlift_api::convert;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_migration::{Input, Migration, Settings};
use shardlift_model::{NodeId, ShardId, Token};
use std::time::Duration;

/// How long the shard may take.
const DEADLINE: Duration = Duration::from_secs(10);

impl OperatorService {
    pub(super) async fn change_settings_checked(
        &self,
        request: v1::ChangeSettingsRequest,
    ) -> Result<v1::FleetNode, Fault> {
        let node = convert::node(&request.node)?;
        if request == (v1::ChangeSettingsRequest { node: request.node.clone(), ..Default::default() }) {
            return Err(Fault::new(FaultKind::Invalid, "nothing to change\ngive a quota, append-only or a hold"));
        }
        let _others_wait = self.changing_settings.lock().await;
        let (shard, token) = self.writer(&node)?;
        let address = self.context.shard_address(&shard);
        let address = address.ok_or_else(|| Fault::internal(format!("shard {shard} has no address")))?;
        let mut client = self.context.channels.shard(&shard, &address);
        let name = node.as_str().to_owned();
        let asked = client.get_node(DEADLINE.on(v1::GetNodeRequest { node: name.clone() })).within(DEADLINE).await;
        let found = asked.map_err(|status| unanswered(&shard, &status))?.into_inner();
        let settings = changed(found.settings.unwrap_or_default(), request);
        recordable(&settings)?;
        let request = v1::SetNodeRequest { node: name, token: Some(token.into()), settings: Some(settings.clone()) };
        let set = client.set_node(DEADLINE.on(request)).within(DEADLINE).await;
        let status = set.map_err(|status| unanswered(&shard, &status))?.into_inner();
        let settings = status.settings.unwrap_or(settings);
        let recorded = recordable(&settings)?;
        let generation = token.generation;
        self.submit(Input::RecordSettings { node: node.clone(), generation, settings: recorded }).await?;
        let mut view = self.node_view(&node)?;
        // What the shard has just said is newer than what was observed of it.
        view.quota_bytes = settings.quota_bytes;
        view.append_only = settings.append_only;
        view.holds = settings.holds.iter().map(|hold| format!("{}: {}", hold.id, hold.reason)).collect();
        Ok(view)
    }

    /// Who serves a node, and the token of its present stage.
    pub(super) fn writer(&self, node: &NodeId) -> Result<(ShardId, Token), Fault> {
        let found = self.context.shared.world(|world| {
            let known = world.nodes.get(node)?;
            let moves = known.migration.as_ref().is_some_and(Migration::changes_hands);
            Some((known.shard.clone(), world.token(known), moves))
        });
        match found {
            Some((shard, token, false)) => Ok((shard, token)),
            Some(_) => Err(Fault::new(
                FaultKind::Refused,
                format!(
                    "node {node} changes hands right now\ntry again when `shardlift node show {node}` says soaking"
                ),
            )),
            None => Err(Fault::new(
                FaultKind::NotFound,
                format!("node {node} is not known\n`shardlift node list` shows all nodes"),
            )),
        }
    }
}

fn recordable(settings: &v1::NodeSettings) -> Result<Settings, Fault> {
    let recorded = wire::settings(settings);
    let text = "the holds of a node are too many, or their texts too long\nend one first, or give shorter reasons";
    if recorded.is_bounded() { Ok(recorded) } else { Err(Fault::new(FaultKind::Refused, text)) }
}

fn changed(mut settings: v1::NodeSettings, request: v1::ChangeSettingsRequest) -> v1::NodeSettings {
    settings.quota_bytes = request.quota_bytes.unwrap_or(settings.quota_bytes);
    settings.append_only = request.append_only.unwrap_or(settings.append_only);
    let replaced = |id: &String| request.holds.iter().any(|hold| hold.id == *id) || request.ended_holds.contains(id);
    settings.holds.retain(|hold| !replaced(&hold.id));
    let placed = clock::now().0;
    let new = request.holds.into_iter();
    settings.holds.extend(new.map(|hold| v1::Hold { id: hold.id, reason: hold.reason, placed_at_unix_ms: placed }));
    settings
}

fn unanswered(shard: &ShardId, status: &tonic::Status) -> Fault {
    let kind = FaultKind::from(status);
    let advice = if kind.is_retryable() { "the outcome is unknown; give the command again" } else { status.message() };
    Fault::new(kind, format!("shard {shard} did not change the settings\n{advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(id: &str, reason: &str) -> v1::Hold {
        v1::Hold { id: id.into(), reason: reason.into(), placed_at_unix_ms: 1 }
    }

    #[test]
    fn only_what_is_given_changes() {
        let before = v1::NodeSettings {
            customer: "acme".into(),
            quota_bytes: 5,
            append_only: true,
            holds: vec![hold("a", "court"), hold("b", "audit")],
            legacy_credentials_ended: true,
            ..Default::default()
        };
        let nothing = v1::ChangeSettingsRequest::default();
        assert_eq!(changed(before.clone(), nothing), before);
        let request = v1::ChangeSettingsRequest {
            quota_bytes: Some(0),
            holds: vec![v1::NewHold { id: "a".into(), reason: "new".into() }],
            ended_holds: vec!["b".into(), "unknown".into()],
            ..Default::default()
        };
        let after = changed(before.clone(), request);
        assert_eq!((after.quota_bytes, after.append_only, after.legacy_credentials_ended), (0, true, true));
        assert_eq!(after.holds.iter().map(|hold| hold.reason.as_str()).collect::<Vec<_>>(), ["new"]);
        assert_eq!(after.customer, before.customer);
    }
}
