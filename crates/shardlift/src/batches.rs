//! Batches: started, watched, released.

use crate::cli::{BatchCommand, Global, Span};
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::follow::Follower;
use crate::output::{batch_table, batch_text, print, talk};
use crate::progress::Display;
use shardlift_api::v1;
use shardlift_model::BatchId;

pub(crate) async fn run(global: &Global, command: BatchCommand) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let mut client = connection.client.clone();
    let request = |batch: &BatchId| v1::BatchRequest { batch: batch.to_string() };
    let changed = match command {
        BatchCommand::List => {
            let listed = connection.answer(client.list_batches(v1::ListBatchesRequest {})).await?;
            return print(global.output, &listed, |listed| batch_table(&listed.batches));
        }
        BatchCommand::Status { batch } => {
            let listed = connection.answer(client.list_batches(v1::ListBatchesRequest {})).await?;
            find(listed.batches, &batch)?
        }
        BatchCommand::Start(start) => {
            let started = connection.answer(client.start_batch(request(&start.batch))).await?;
            if start.wait { wait(&connection, &start.batch, start.timeout).await? } else { started }
        }
        BatchCommand::Wait(arguments) => wait(&connection, &arguments.batch, arguments.timeout).await?,
        BatchCommand::Pause { batch } => connection.answer(client.pause_batch(request(&batch))).await?,
        BatchCommand::Resume { batch } => connection.answer(client.resume_batch(request(&batch))).await?,
        BatchCommand::Release { batch } => connection.answer(client.release_batch(request(&batch))).await?,
    };
    print(global.output, &changed, batch_text)
}

fn find(batches: Vec<v1::BatchView>, batch: &BatchId) -> Result<v1::BatchView, Failure> {
    let unknown = || {
        let failure = Failure::new(Exit::Failed, format!("batch {batch} is not known"));
        failure.advise("`shardlift batch list` shows all batches")
    };
    batches.into_iter().find(|view| view.batch == batch.as_str()).ok_or_else(unknown)
}

async fn wait(connection: &Connection, batch: &BatchId, limit: Option<Span>) -> Result<v1::BatchView, Failure> {
    let waiting = until_it_soaks(connection, batch);
    let Some(Span(limit)) = limit else { return waiting.await };
    match tokio::time::timeout(limit, waiting).await {
        Ok(ended) => ended,
        Err(_elapsed) => {
            let failure = Failure::new(Exit::Failed, format!("batch {batch} does not soak after {limit:?}"));
            Err(failure.advise(format!("it goes on by itself; `shardlift batch wait {batch}` waits again")))
        }
    }
}

async fn until_it_soaks(connection: &Connection, batch: &BatchId) -> Result<v1::BatchView, Failure> {
    let mut follower = Follower::new(connection.clone());
    let mut display = Display::to_stderr(Some(batch.as_str()));
    loop {
        let status = follower.next().await?;
        for line in display.show(&status) {
            talk(&line);
        }
        let view = find(status.batches, batch)?;
        if let Some(ended) = ended(view) {
            display.finish();
            return ended;
        }
    }
}

/// How waiting ends, when it does.
fn ended(batch: v1::BatchView) -> Option<Result<v1::BatchView, Failure>> {
    match batch.phase.as_str() {
        "soaking" | "released" => {
            let left: Vec<&str> =
                batch.nodes.iter().filter(|n| n.phase == "aborted").map(|n| n.node.as_str()).collect();
            if !left.is_empty() {
                talk(&format!("left the batch and stay where they were: {}", left.join(", ")));
            }
            Some(Ok(batch))
        }
        "aborted" => {
            let failure = Failure::new(Exit::Failed, format!("batch {} was aborted: no node has moved", batch.batch));
            Some(Err(failure.advise("`shardlift node explain NODE` says why")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_the_soak_or_with_the_batch() {
        let of = |phase: &str| ended(v1::BatchView { batch: "b1".into(), phase: phase.into(), ..Default::default() });
        for phase in ["planned", "preparing", "cutting_over", "committed"] {
            assert!(of(phase).is_none(), "{phase}");
        }
        assert!(of("soaking").unwrap().is_ok() && of("released").unwrap().is_ok());
        assert_eq!(of("aborted").unwrap().unwrap_err().exit, Exit::Failed);
    }
}
