//! Waiting for what the controller does, with its progress on stderr. Giving up ends the waiting and nothing else.

use crate::cli::Span;
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::follow::Follower;
use crate::output::talk;
use crate::progress::{Display, Watched};
use shardlift_api::v1;
use shardlift_model::BatchId;
use std::time::Duration;

/// Follows the status until `ended` finds its end in a view.
pub(crate) async fn until<T>(
    connection: &Connection,
    watched: Watched,
    mut ended: impl FnMut(v1::StatusView) -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let mut follower = Follower::new(connection.clone(), watched.batch());
    let mut display = Display::to_stderr(watched);
    loop {
        let seen = follower.next().await.and_then(|status| {
            for line in display.show(&status) {
                talk(&line);
            }
            ended(status)
        });
        if let Some(end) = seen.transpose() {
            display.finish();
            return end;
        }
    }
}

/// The same within a limit; `late` is what is said after it.
pub(crate) async fn within<T>(
    limit: Option<Span>,
    waiting: impl Future<Output = Result<T, Failure>>,
    late: impl FnOnce(Duration) -> Failure,
) -> Result<T, Failure> {
    let Some(Span(limit)) = limit else { return waiting.await };
    tokio::time::timeout(limit, waiting).await.unwrap_or_else(|_elapsed| Err(late(limit)))
}

/// One batch out of all.
pub(crate) fn find(batches: Vec<v1::BatchView>, batch: &BatchId) -> Result<v1::BatchView, Failure> {
    let unknown = || {
        let failure = Failure::new(Exit::Failed, format!("batch {batch} is not known"));
        failure.advise("`shardlift batch list` shows all batches")
    };
    batches.into_iter().find(|view| view.batch == batch.as_str()).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_without_an_end_ends_at_its_limit() {
        let late = |limit: Duration| Failure::new(Exit::Failed, format!("not after {limit:?}"));
        let never = std::future::pending::<Result<(), Failure>>();
        let failure = within(Some(Span(Duration::from_millis(20))), never, late).await.unwrap_err();
        assert_eq!((failure.exit, failure.what.as_str()), (Exit::Failed, "not after 20ms"));
        assert_eq!(within(None, async { Ok(7) }, late).await, Ok(7));
    }

    #[test]
    fn a_batch_is_found_by_its_name_or_told_to_be_unknown() {
        let view = |name: &str| v1::BatchView { batch: name.into(), ..Default::default() };
        let of = |name: &str| find(vec![view("a"), view("b")], &name.parse().unwrap());
        assert_eq!(of("b").unwrap().batch, "b");
        assert_eq!(of("c").unwrap_err().exit, Exit::Failed);
    }
}
