//! The status as it changes. A controller that goes away is waited for: what it does goes on when it is back.

use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::talk;
use shardlift_api::v1;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Streaming;

/// How often something new is shown at most.
const INTERVAL_MS: u32 = 250;

/// How long a controller may be away.
const ABSENCE_MAX: Duration = Duration::from_secs(120);

/// Between two tries to reach it.
const RETRY: Duration = Duration::from_millis(500);

/// Views in their order.
pub(crate) struct Follower {
    connection: Connection,
    /// The batch whose nodes are wanted in any case.
    batch: String,
    stream: Option<Streaming<v1::StatusView>>,
    has_seen_one: bool,
    away_since: Option<Instant>,
}

impl Follower {
    pub(crate) fn new(connection: Connection, batch: Option<&str>) -> Self {
        let batch = batch.unwrap_or_default().to_owned();
        Self { connection, batch, stream: None, has_seen_one: false, away_since: None }
    }

    /// The next view. One that was never reached is not waited for.
    pub(crate) async fn next(&mut self) -> Result<v1::StatusView, Failure> {
        loop {
            match self.try_next().await {
                Ok(view) => {
                    self.has_seen_one = true;
                    if self.away_since.take().is_some() {
                        talk("the controller answers again");
                    }
                    return Ok(view);
                }
                Err(failure) if failure.exit == Exit::Unreachable && self.has_seen_one => self.wait(failure).await?,
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn try_next(&mut self) -> Result<v1::StatusView, Failure> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let request = v1::WatchStatusRequest { interval_ms: INTERVAL_MS, batch: self.batch.clone() };
                let mut client = self.connection.client.clone();
                none.insert(self.connection.answer(client.watch_status(request)).await?)
            }
        };
        let next = stream.message().await;
        match next {
            Ok(Some(view)) => Ok(view),
            Ok(None) => {
                self.stream = None;
                Err(self.connection.explain(&tonic::Status::unavailable("it ended the connection")))
            }
            Err(status) => {
                self.stream = None;
                Err(self.connection.explain(&status))
            }
        }
    }

    async fn wait(&mut self, failure: Failure) -> Result<(), Failure> {
        if self.away_since.is_none() {
            talk(&format!("the controller at {} does not answer; waiting for it", self.connection.context.controller));
        }
        let since = *self.away_since.get_or_insert_with(Instant::now);
        if since.elapsed() > ABSENCE_MAX {
            return Err(failure);
        }
        tokio::time::sleep(RETRY).await;
        Ok(())
    }
}
