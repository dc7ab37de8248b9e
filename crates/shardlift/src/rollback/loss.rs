//! The way back of a node whose shard is gone for good: shows what is lost by it, has the node's name typed, and begins.
//!
//! What is agreed to is a number: everything after it is lost. A program has to name it; for a person it is the one that was
//! just shown.

use super::ends::Wish;
use super::wait_for_node;
use crate::cli::{Global, RollBackNode};
use crate::confirm::{can_ask, confirm_name};
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::{clean, loss_text, node_text, print, talk};
use shardlift_api::v1;

pub(super) async fn node(
    connection: &Connection,
    global: &Global,
    arguments: RollBackNode,
    given: Option<u64>,
) -> Result<(), Failure> {
    let name = arguments.node.to_string();
    let after_seq = match agreed(given, arguments.yes, can_ask()) {
        Agreed::To(after_seq) => after_seq,
        Agreed::Missing => {
            let failure = Failure::new(Exit::Usage, "--yes agrees to a loss only with its number");
            return Err(failure.advise(format!("`shardlift node rollback {name} --accept-loss` shows it")));
        }
        way @ (Agreed::Ask | Agreed::Unasked) => {
            let preview = preview(connection, &name).await?;
            let after_seq = given.unwrap_or(preview.followed_seq);
            if way == Agreed::Unasked {
                print(global.output, &preview, loss_text)?;
                refused(&preview.problem)?;
                return Err(unasked(&name, after_seq));
            }
            // The answer on stdout is the node's; what the question is about goes where the question goes.
            loss_text(&preview).lines().for_each(talk);
            refused(&preview.problem)?;
            let question =
                format!("Move {name} back without {} and lose what it stored after {after_seq}?", preview.writer);
            confirm_name(&clean(&question), &name).await?;
            after_seq
        }
    };
    let accepted_loss = Some(v1::AcceptedLoss { after_seq });
    let request = v1::RollBackNodeRequest { node: name, reason: arguments.reason, rehearse: false, accepted_loss };
    let begun = connection.answer(connection.client.clone().roll_back_node(request)).await?;
    if !arguments.wait || begun.batch.is_empty() {
        return print(global.output, &begun, node_text);
    }
    wait_for_node(connection, global, begun, Wish::TakenOver, arguments.timeout).await
}

async fn preview(connection: &Connection, node: &str) -> Result<v1::LossPreview, Failure> {
    connection.answer(connection.client.clone().preview_loss(v1::PreviewLossRequest { node: node.to_owned() })).await
}

/// How an operator agrees to a loss.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Agreed<T> {
    To(T),
    Ask,
    Unasked,
    Missing,
}

pub(super) fn agreed<T>(given: Option<T>, yes: bool, can_ask: bool) -> Agreed<T> {
    match (given, yes, can_ask) {
        (Some(given), true, _) => Agreed::To(given),
        (None, true, _) => Agreed::Missing,
        (_, false, true) => Agreed::Ask,
        (_, false, false) => Agreed::Unasked,
    }
}

/// What the controller would refuse is not asked about.
pub(super) fn refused(problem: &str) -> Result<(), Failure> {
    let mut lines = problem.lines();
    match lines.next() {
        None => Ok(()),
        Some(what) => Err(Failure::new(Exit::Refused, what).advise(lines.collect::<Vec<_>>().join("\n"))),
    }
}

fn unasked(node: &str, after_seq: u64) -> Failure {
    let failure = Failure::new(Exit::Usage, "this asks before it begins, and stdin is no terminal");
    failure
        .advise(format!("to agree to what is shown: `shardlift node rollback {node} --accept-loss {after_seq} --yes`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_agreed_to_by_its_number_or_by_a_person() {
        assert_eq!(agreed(Some(7), true, false), Agreed::To(7));
        assert_eq!(agreed(Some(7), true, true), Agreed::To(7));
        assert_eq!([true, false].map(|can_ask| agreed::<u64>(None, true, can_ask)), [Agreed::Missing, Agreed::Missing]);
        assert_eq!([agreed(None, false, true), agreed(Some(7), false, true)], [Agreed::Ask, Agreed::Ask]);
        assert_eq!([agreed(None, false, false), agreed(Some(7), false, false)], [Agreed::Unasked, Agreed::Unasked]);
    }

    #[test]
    fn what_would_be_refused_is_a_refusal_with_its_advice() {
        assert_eq!(refused(""), Ok(()));
        let failure = refused("b answers\nroll back with it").unwrap_err();
        assert_eq!((failure.exit, failure.to_string().as_str()), (Exit::Refused, "b answers\n  roll back with it"));
        let told = unasked("acme/web-1", 4711);
        assert_eq!(told.exit, Exit::Usage);
        assert!(told.advice.contains("`shardlift node rollback acme/web-1 --accept-loss 4711 --yes`"), "{told}");
    }
}
