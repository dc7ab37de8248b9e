//! What must be true of the parts when all is mended and every move has ended. What clients find is their own to judge.

use crate::ground::SHARDS;
use crate::operator::Operator;
use anyhow::Result;
use shardlift_api::v1;
use shardlift_api::v1::shard_control_client::ShardControlClient;
use shardlift_model::Role;
use shardlift_pki::tls::{Expected, channel};
use std::collections::BTreeMap;
use std::time::Duration;

/// How often the doctor is asked again while a part does not answer.
const DIAGNOSES_MAX: usize = 60;

/// Compares what is recorded with what all shards say, and lets the controller do the same.
///
/// # Errors
/// When a part does not answer although all is mended.
pub async fn look(operator: &Operator) -> Result<()> {
    let story = &operator.shared.story;
    let mut serving: BTreeMap<String, Vec<(&str, u64)>> = BTreeMap::new();
    for shard in SHARDS {
        let to = channel(&operator.asking, &format!("{shard}:8001"), Expected::one(Role::Shard, shard));
        let request = v1::ListNodesRequest { after: String::new(), limit: 100 };
        let listed = ShardControlClient::new(to).list_nodes(request).await?.into_inner();
        for node in listed.nodes {
            let mode = node.mode();
            story.tell("oracle", format_args!("{} at {shard}: {mode:?}, {} objects", node.node, node.objects));
            if node.missing > 0 {
                story.violate("oracle", format_args!("{} misses {} objects at {shard}", node.node, node.missing));
            }
            if mode == v1::NodeMode::Serving {
                serving.entry(node.node).or_default().push((shard, node.generation));
            }
        }
    }
    for node in operator.fleet().await? {
        let expected = vec![(node.shard.as_str(), node.generation)];
        let found = serving.get(&node.node).cloned().unwrap_or_default();
        if found != expected {
            story.violate("oracle", format_args!("{} is served by {found:?}, recorded is {expected:?}", node.node));
        }
    }
    let diagnosed = diagnose(operator).await?;
    for finding in diagnosed.findings {
        story.violate("oracle", format_args!("doctor: {}: {}", finding.subject, finding.what));
    }
    for unchecked in diagnosed.unchecked {
        story.violate("oracle", format_args!("doctor: nothing is known of {unchecked}"));
    }
    Ok(())
}

/// What the controller's own comparison says, once it has reached all parts: a connection from before may take its time to end.
async fn diagnose(operator: &Operator) -> Result<v1::DiagnoseResponse> {
    let ask = async || {
        operator.call(async |mut client| client.diagnose(v1::DiagnoseRequest { node: String::new() }).await).await
    };
    let mut diagnosed = ask().await?;
    for _try in 0..DIAGNOSES_MAX {
        if diagnosed.unchecked.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        diagnosed = ask().await?;
    }
    Ok(diagnosed)
}
