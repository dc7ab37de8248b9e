//! The rehearsal of a batch: the way back of one of its nodes, which the controller chooses, but for seal and commit.

use super::ends::{Wish, rehearsed};
use super::wait_for_node;
use crate::cli::{Global, RollBackBatch};
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::{batch_text, clean, print, talk};
use shardlift_api::v1;

pub(super) async fn batch(
    connection: &Connection,
    global: &Global,
    arguments: RollBackBatch,
    before: &v1::BatchView,
) -> Result<(), Failure> {
    let batch = arguments.batch.to_string();
    let mut client = connection.client.clone();
    let request = v1::RollBackBatchRequest { batch: batch.clone(), rehearse: true, ..Default::default() };
    let begun = connection.answer(client.roll_back_batch(request)).await?;
    let canary = canary(before, &begun).cloned();
    if let Some(canary) = &canary {
        talk(&clean(&format!("batch {batch}: {} rehearses its way back", canary.node)));
    }
    if !arguments.wait {
        return print(global.output, &begun, |begun| batch_text(begun, crate::output::now()));
    }
    let Some(canary) = canary else {
        let failure = Failure::new(Exit::Failed, format!("no node of batch {batch} is seen to rehearse its way back"));
        return Err(failure.advise(format!("`shardlift batch status {batch}` says how far its nodes are")));
    };
    let before = before.nodes.iter().find(|node| node.node == canary.node).map_or("", rehearsed).to_owned();
    wait_for_node(connection, global, canary, Wish::Rehearsed { before }, arguments.timeout).await
}

/// The node that rehearses. A rehearsal may be over, well or not, before the answer is made.
fn canary<'b>(before: &v1::BatchView, begun: &'b v1::BatchView) -> Option<&'b v1::FleetNode> {
    let told = |node: &v1::FleetNode| node.way_back.as_ref().map(|way| (way.rehearsed.clone(), way.failed.clone()));
    let is_new = |node: &&v1::FleetNode| {
        let earlier = before.nodes.iter().find(|earlier| earlier.node == node.node);
        earlier.is_some_and(|earlier| told(earlier) != told(node))
    };
    begun.nodes.iter().find(|node| node.phase == "rolling_back").or_else(|| begun.nodes.iter().find(is_new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(nodes: &[(&str, &str, &str)]) -> v1::BatchView {
        let node = |(name, phase, rehearsed): &(&str, &str, &str)| v1::FleetNode {
            node: (*name).into(),
            phase: (*phase).into(),
            way_back: Some(v1::WayBack { rehearsed: (*rehearsed).into(), ..Default::default() }),
            ..Default::default()
        };
        v1::BatchView { nodes: nodes.iter().map(node).collect(), ..Default::default() }
    }

    #[test]
    fn the_canary_is_the_node_under_way_or_the_one_with_something_new_to_tell() {
        let before = batch(&[("a", "soaking", "then"), ("b", "soaking", "")]);
        let of = |begun: &v1::BatchView| canary(&before, begun).map(|node| node.node.clone());
        assert_eq!(of(&batch(&[("a", "soaking", "then"), ("b", "rolling_back", "")])).as_deref(), Some("b"));
        assert_eq!(of(&batch(&[("a", "soaking", "now"), ("b", "soaking", "")])).as_deref(), Some("a"));
        assert_eq!(of(&before), None);
    }
}
