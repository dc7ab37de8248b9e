//! Waiting without luck: ask again until it holds or the deadline is over.

use anyhow::{Context as _, Result, anyhow};
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Repeats `attempt` until it answers `Ok`, at most for `limit`. An `Err` means "not yet"; the last one is the cause of
/// the failure when time is up. An attempt that hangs is cut off at the deadline.
///
/// # Errors
/// When `limit` has passed without an `Ok`.
pub async fn eventually<T, F, Fut>(what: &str, limit: Duration, mut attempt: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let deadline = Instant::now() + limit;
    let mut pause = PAUSE_MIN;
    let mut last = anyhow!("no attempt came to an end");
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match timeout(left, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = error,
            Err(_) => return Err(last).with_context(|| format!("not within {limit:?}: {what}")),
        }
        // An attempt that is over at once never meets the timeout above.
        if Instant::now() >= deadline {
            return Err(last).with_context(|| format!("not within {limit:?}: {what}"));
        }
        sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_returns_as_soon_as_the_condition_holds() {
        let mut asked = 0;
        let value = eventually("the third time", Duration::from_secs(5), || {
            asked += 1;
            let asked = asked;
            async move { if asked == 3 { Ok(asked) } else { Err(anyhow!("asked {asked} times")) } }
        })
        .await;
        assert_eq!(value.unwrap(), 3);
    }

    #[tokio::test]
    async fn it_gives_up_at_the_deadline_and_names_the_last_reason() {
        let error = eventually("never", Duration::from_millis(50), || async { Err::<(), _>(anyhow!("still dark")) })
            .await
            .unwrap_err();
        assert!(format!("{error:#}").contains("never: still dark"), "{error:#}");
    }

    #[tokio::test]
    async fn an_attempt_that_hangs_is_cut_off() {
        let wait = eventually("a hang", Duration::from_millis(50), std::future::pending::<Result<()>>);
        assert!(timeout(Duration::from_secs(5), wait).await.unwrap().is_err());
    }
}
