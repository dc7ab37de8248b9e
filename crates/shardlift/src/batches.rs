//! Batches: started, watched, released, moved back.

use crate::cli::{BatchCommand, Global, Span};
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::{self, batch_table, batch_text, print};
use crate::progress::Watched;
use crate::rollback;
use crate::wait::{find, until, within};
use shardlift_api::v1;
use shardlift_model::BatchId;
use std::time::Duration;

pub(crate) async fn run(global: &Global, command: BatchCommand) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let mut client = connection.client.clone();
    let request = |batch: &BatchId| v1::BatchRequest { batch: batch.to_string() };
    let changed = match command {
        BatchCommand::List => {
            let listed = connection.answer(client.list_batches(v1::ListBatchesRequest::default())).await?;
            return print(global.output, &listed, |listed| batch_table(&listed.batches, output::now()));
        }
        BatchCommand::Status { batch } => {
            let named = v1::ListBatchesRequest { batch: batch.to_string() };
            let listed = connection.answer(client.list_batches(named)).await?;
            find(listed.batches, &batch)?
        }
        BatchCommand::Start(start) => {
            let started = connection.answer(client.start_batch(request(&start.batch))).await?;
            if start.wait {
                return wait(global, &connection, &start.batch, start.timeout).await;
            }
            started
        }
        BatchCommand::Wait(arguments) => return wait(global, &connection, &arguments.batch, arguments.timeout).await,
        BatchCommand::Pause { batch } => connection.answer(client.pause_batch(request(&batch))).await?,
        BatchCommand::Resume { batch } => connection.answer(client.resume_batch(request(&batch))).await?,
        BatchCommand::Release(release) => {
            let request = v1::ReleaseBatchRequest { batch: release.batch.to_string(), force: release.force };
            connection.answer(client.release_batch(request)).await?
        }
        BatchCommand::Rollback(arguments) => return rollback::batch(&connection, global, arguments).await,
    };
    shown(global, &changed)
}

fn shown(global: &Global, batch: &v1::BatchView) -> Result<(), Failure> {
    print(global.output, batch, |batch| batch_text(batch, output::now()))
}

/// Waits for the soak, shows the batch as it is then, and fails when not all of it is there.
async fn wait(global: &Global, connection: &Connection, batch: &BatchId, limit: Option<Span>) -> Result<(), Failure> {
    let waiting = until(connection, Watched::Batch(batch.to_string()), |status| {
        let view = find(status.batches, batch)?;
        Ok(ended(&view).map(|end| (view, end)))
    });
    let late = |limit: Duration| {
        let failure = Failure::new(Exit::Failed, format!("batch {batch} does not soak after {limit:?}"));
        failure.advise(format!("it goes on by itself; `shardlift batch wait {batch}` waits again"))
    };
    let (view, end) = within(limit, waiting, late).await?;
    shown(global, &view)?;
    end
}

/// How waiting ends, when it does.
fn ended(batch: &v1::BatchView) -> Option<Result<(), Failure>> {
    let failed = |what: &str| Failure::new(Exit::Failed, format!("batch {} {what}", batch.batch));
    match batch.phase.as_str() {
        "soaking" | "released" => Some(missing(batch).map_or(Ok(()), Err)),
        "aborted" => {
            let failure = failed("was aborted: no node has moved");
            Some(Err(failure.advise("`shardlift node explain NODE` says why")))
        }
        "rolled_back" => {
            let failure = failed("was moved back: its nodes are served by their sources");
            Some(Err(failure.advise("`shardlift node explain NODE` says why")))
        }
        _ => None,
    }
}

/// The nodes that are not where the batch was to bring them.
fn missing(batch: &v1::BatchView) -> Option<Failure> {
    let named = |phases: [&str; 2]| {
        let nodes = batch.nodes.iter().filter(|node| phases.contains(&node.phase.as_str()));
        nodes.map(|node| node.node.as_str()).collect::<Vec<_>>()
    };
    let (left, back) = (named(["undoing", "aborted"]), named(["rolling_back", "rolled_back"]));
    let told = [("left it and stay where they were", &left), ("were moved back or are on their way", &back)];
    let told = told.iter().filter(|(_, nodes)| !nodes.is_empty());
    let told: Vec<String> = told.map(|(what, nodes)| format!("{what}: {}", nodes.join(", "))).collect();
    if told.is_empty() {
        return None;
    }
    let is_empty = left.len() + back.len() == batch.nodes.len();
    let exit = if is_empty { Exit::Failed } else { Exit::Partly };
    let failure = Failure::new(exit, format!("not all nodes of batch {} moved; {}", batch.batch, told.join("; ")));
    Some(failure.advise("`shardlift node explain NODE` says why"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(phase: &str, nodes: &[(&str, &str)]) -> v1::BatchView {
        let node = |(name, phase): &(&str, &str)| v1::FleetNode {
            node: (*name).into(),
            phase: (*phase).into(),
            ..Default::default()
        };
        let nodes = nodes.iter().map(node).collect();
        v1::BatchView { batch: "b1".into(), phase: phase.into(), nodes, ..Default::default() }
    }

    #[test]
    fn waiting_ends_with_the_soak_or_with_the_batch() {
        let of = |phase: &str| ended(&batch(phase, &[("a", phase)]));
        for phase in ["planned", "preparing", "cutting_over", "committed"] {
            assert!(of(phase).is_none(), "{phase}");
        }
        assert!(of("soaking").unwrap().is_ok() && of("released").unwrap().is_ok());
        for phase in ["aborted", "rolled_back"] {
            assert_eq!(of(phase).unwrap().unwrap_err().exit, Exit::Failed, "{phase}");
        }
    }

    #[test]
    fn a_soak_without_all_nodes_of_the_batch_is_told_by_the_exit_code() {
        let of = |nodes: &[(&str, &str)]| ended(&batch("soaking", nodes)).unwrap();
        assert_eq!(of(&[("a", "soaking"), ("b", "released"), ("c", "restoring")]), Ok(()));
        let failure = of(&[("a", "soaking"), ("b", "aborted"), ("c", "undoing"), ("d", "rolled_back")]).unwrap_err();
        assert_eq!(failure.exit, Exit::Partly);
        assert_eq!(
            failure.what,
            "not all nodes of batch b1 moved; left it and stay where they were: b, c; were moved back or are on their way: d"
        );
        assert_eq!(of(&[("a", "aborted"), ("b", "rolling_back")]).unwrap_err().exit, Exit::Failed);
    }
}
