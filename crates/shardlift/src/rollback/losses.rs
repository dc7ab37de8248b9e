//! The way back of a batch of which shards are gone for good: shows what is lost by it, node by node and in sum, and has the
//! batch's name typed. As with one node, what is agreed to are numbers: a program has to name them.

use super::loss::{Agreed, agreed, refused};
use crate::cli::{Global, NodeSeq, RollBackBatch};
use crate::confirm::{can_ask, confirm_name};
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::{batch_loss_text, clean, print, talk};
use shardlift_api::v1;

/// Most nodes whose numbers are told in one command line.
const TOLD_MAX: usize = 10;

/// What an operator gives up.
pub(super) async fn accepted(
    connection: &Connection,
    global: &Global,
    arguments: &RollBackBatch,
    given: &[NodeSeq],
) -> Result<Vec<v1::NodeLoss>, Failure> {
    let batch = arguments.batch.to_string();
    match agreed((!given.is_empty()).then_some(given), arguments.yes, can_ask()) {
        Agreed::To(given) => Ok(given.iter().map(loss).collect()),
        Agreed::Missing => {
            let failure = Failure::new(Exit::Usage, "--yes agrees to losses only with their numbers");
            Err(failure.advise(format!("`shardlift batch rollback {batch} --accept-loss` shows them")))
        }
        way @ (Agreed::Ask | Agreed::Unasked) => {
            let request = v1::PreviewBatchLossRequest { batch: batch.clone() };
            let preview = connection.answer(connection.client.clone().preview_batch_loss(request)).await?;
            let losses = losses(&preview, given);
            if way == Agreed::Unasked {
                print(global.output, &preview, batch_loss_text)?;
                refused(&preview.problem)?;
                return Err(unasked(&batch, &losses));
            }
            // The answer on stdout is the batch's; what the question is about goes where the question goes.
            batch_loss_text(&preview).lines().for_each(talk);
            refused(&preview.problem)?;
            let question = format!("Move batch {batch} back and lose what is shown of {} nodes?", losses.len());
            confirm_name(&clean(&question), &batch).await?;
            Ok(losses)
        }
    }
}

fn loss(given: &NodeSeq) -> v1::NodeLoss {
    v1::NodeLoss { node: given.node.to_string(), after_seq: given.seq }
}

/// Of each node whose shard is gone, all that its old copy lacks; or what was given for it.
fn losses(preview: &v1::BatchLossPreview, given: &[NodeSeq]) -> Vec<v1::NodeLoss> {
    let gone = preview.nodes.iter().filter(|node| !node.writer_answers);
    let losses = gone.map(|node| match given.iter().find(|given| given.node.as_str() == node.node) {
        Some(given) => loss(given),
        None => v1::NodeLoss { node: node.node.clone(), after_seq: node.followed_seq },
    });
    losses.collect()
}

fn unasked(batch: &str, losses: &[v1::NodeLoss]) -> Failure {
    let failure = Failure::new(Exit::Usage, "this asks before it begins, and stdin is no terminal");
    let numbers: Vec<String> = losses.iter().map(|loss| format!("{}={}", loss.node, loss.after_seq)).collect();
    failure.advise(if numbers.len() > TOLD_MAX {
        format!(
            "to agree to what is shown: `shardlift batch rollback {batch} --accept-loss NODE=SEQ ... --yes`, with the number of \
             each of the {} nodes; `-o json` prints them as followed_seq",
            numbers.len()
        )
    } else {
        let numbers = numbers.join(" ");
        format!("to agree to what is shown: `shardlift batch rollback {batch} --accept-loss {numbers} --yes`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preview() -> v1::BatchLossPreview {
        let node = |name: &str, writer_answers, followed_seq| v1::LossPreview {
            node: name.into(),
            writer_answers,
            followed_seq,
            ..Default::default()
        };
        let nodes = vec![node("a", false, 7), node("b", true, 9), node("c", false, 3)];
        v1::BatchLossPreview { batch: "one".into(), nodes, problem: String::new() }
    }

    #[test]
    fn what_is_shown_or_named_is_given_up_and_nothing_of_a_node_whose_shard_answers() {
        let of = |given: &[&str]| {
            let given: Vec<NodeSeq> = given.iter().map(|given| given.parse().unwrap()).collect();
            losses(&preview(), &given).into_iter().map(|loss| (loss.node, loss.after_seq)).collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), [("a".to_owned(), 7), ("c".to_owned(), 3)]);
        assert_eq!(of(&["c=1", "b=2"]), [("a".to_owned(), 7), ("c".to_owned(), 1)]);
    }

    #[test]
    fn a_program_is_told_how_to_agree() {
        let told = unasked("one", &losses(&preview(), &[]));
        assert_eq!(told.exit, Exit::Usage);
        assert!(told.advice.contains("`shardlift batch rollback one --accept-loss a=7 c=3 --yes`"), "{told}");
        let many = vec![v1::NodeLoss { node: "a".into(), after_seq: 1 }; 11];
        assert!(unasked("one", &many).advice.contains("each of the 11 nodes"));
    }
}
