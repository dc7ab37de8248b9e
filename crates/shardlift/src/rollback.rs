//! The way back, for one node or for a batch: shows what it will be like, asks, begins, and follows it to its end.
//!
//! What was asked for and does not come about is a failure, also when nothing was lost by it: a way back that was undone leaves
//! the node where it soaked, and who waited for it has to know.

mod ends;
mod loss;
mod losses;
mod rehearsal;

use crate::cli::{Global, RollBackBatch, RollBackNode, Span};
use crate::confirm::confirm;
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::{batch_text, batch_way_back, clean, node_text, node_way_back, print, talk};
use crate::progress::Watched;
use crate::wait::{find, until, within};
use ends::{BatchEnd, Wish, rehearsed};
use shardlift_api::v1;
use shardlift_model::BatchId;
use std::time::Duration;

pub(crate) async fn node(global: &Global, arguments: RollBackNode) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    if let Some(given) = arguments.accept_loss {
        return loss::node(&connection, global, arguments, given).await;
    }
    let mut client = connection.client.clone();
    let name = arguments.node.to_string();
    let before = connection.answer(client.show_node(v1::ShowNodeRequest { node: name.clone() })).await?;
    talk(&clean(&format!("{name}: {}", node_way_back(&before))));
    let wish = if arguments.rehearse {
        Wish::Rehearsed { before: rehearsed(&before).to_owned() }
    } else {
        confirm(&format!("Move {name} back?"), arguments.yes).await?;
        Wish::RolledBack
    };
    let RollBackNode { reason, rehearse, .. } = arguments;
    let request = v1::RollBackNodeRequest { node: name.clone(), reason, rehearse, accepted_loss: None };
    let begun = connection.answer(client.roll_back_node(request)).await?;
    // A node that is back already has no batch any more.
    if !arguments.wait || begun.batch.is_empty() {
        return print(global.output, &begun, node_text);
    }
    wait_for_node(&connection, global, begun, wish, arguments.timeout).await
}

/// Waits for the end of a node's way back, shows the node as it is then, and fails when it is not what was wished for.
async fn wait_for_node(
    connection: &Connection,
    global: &Global,
    begun: v1::FleetNode,
    wish: Wish,
    timeout: Option<Span>,
) -> Result<(), Failure> {
    let v1::FleetNode { node: name, batch, .. } = begun;
    let waiting = node_end(connection, &name, &batch, &wish);
    let late = |limit| late(&format!("the way back of {name}"), limit, &format!("shardlift node explain {name}"));
    let failure = within(timeout, waiting, late).await?;
    let mut client = connection.client.clone();
    let after = connection.answer(client.show_node(v1::ShowNodeRequest { node: name })).await?;
    print(global.output, &after, node_text)?;
    failure.map_or(Ok(()), Err)
}

/// Waits for the end; a failure in it is about the node, one beside it about the waiting.
async fn node_end(connection: &Connection, node: &str, batch: &str, wish: &Wish) -> Result<Option<Failure>, Failure> {
    let watched = Watched::Node { batch: batch.to_owned(), node: node.to_owned() };
    until(connection, watched, |status| {
        let batches = status.batches.into_iter().filter(|view| view.batch == batch);
        let Some(view) = batches.flat_map(|view| view.nodes).find(|view| view.node == node) else {
            let failure = Failure::new(Exit::Failed, format!("{node} is no longer in batch {batch}"));
            return Err(failure.advise(format!("`shardlift node explain {node}` says where it is")));
        };
        Ok(wish.ended(&view))
    })
    .await
    .map(Result::err)
}

pub(crate) async fn batch(connection: &Connection, global: &Global, arguments: RollBackBatch) -> Result<(), Failure> {
    let mut client = connection.client.clone();
    let name = &arguments.batch;
    let listed = connection.answer(client.list_batches(v1::ListBatchesRequest { batch: name.to_string() })).await?;
    let before = find(listed.batches, name)?;
    let words = batch_way_back(&before.nodes);
    words.lines().for_each(|line| talk(&clean(&format!("batch {name}: {line}"))));
    if arguments.rehearse {
        return rehearsal::batch(connection, global, arguments, &before).await;
    }
    let accepted_losses = match &arguments.accept_loss {
        Some(given) => losses::accepted(connection, global, &arguments, given).await?,
        None => {
            confirm(&format!("Move batch {name} back?"), arguments.yes).await?;
            Vec::new()
        }
    };
    let (batch, reason) = (name.to_string(), arguments.reason.clone());
    let request = v1::RollBackBatchRequest { batch, reason, rehearse: false, accepted_losses };
    let begun = connection.answer(client.roll_back_batch(request)).await?;
    let end = BatchEnd::begun(&begun);
    let after = if arguments.wait {
        let waiting = batch_end(connection, name, &end);
        let late =
            |limit| late(&format!("the way back of batch {name}"), limit, &format!("shardlift batch status {name}"));
        within(arguments.timeout, waiting, late).await?
    } else {
        begun
    };
    print(global.output, &after, |after| batch_text(after, crate::output::now()))?;
    end.failure(&after).map_or(Ok(()), Err)
}

async fn batch_end(connection: &Connection, batch: &BatchId, end: &BatchEnd) -> Result<v1::BatchView, Failure> {
    until(connection, Watched::Batch(batch.to_string()), |status| {
        let view = find(status.batches, batch)?;
        Ok(end.is_reached(&view).then_some(view))
    })
    .await
}

fn late(what: &str, limit: Duration, command: &str) -> Failure {
    let failure = Failure::new(Exit::Failed, format!("{what} has not ended after {limit:?}"));
    failure.advise(format!("it goes on by itself; `{command}` says how far it is"))
}
