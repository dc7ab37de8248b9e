//! Connections to the shards that requests are forwarded to: one for each, made when it is needed and again when it has ended.

use super::lent::Lent;
use super::{FORWARD_ALPN, ForwardError};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use shardlift_model::{Role, ShardId};
use shardlift_net::Stream;
use shardlift_pki::tls::{Credentials, Expected, connect};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a connection may take, TLS included.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Those who waited for an attempt that failed do not each make their own.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(50);

/// How often an idle connection is asked whether it still lives, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// How long a request may still take to notice that its connection has ended.
const END_NOTICE: Duration = Duration::from_secs(1);

/// HTTP/2 window of one answer: what a slow client may leave lying here.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// HTTP/2 window of all together. Far larger, so that some who stand still (a slow client, a parked upload) do not stop the rest.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 256 << 20;

/// Largest HTTP/2 frame.
const FRAME_BYTES_MAX: u32 = 256 * 1024;

/// Where to.
type Place = (ShardId, String);

/// A connection to a shard. Its copies are one and the same.
#[derive(Clone)]
pub(crate) struct Link {
    pub(super) sender: SendRequest<Lent>,
    ended: CancellationToken,
}

impl Link {
    /// Waits for an answer for as long as there is a connection that it can come by. The client library may leave a request that
    /// crosses the other end's GOAWAY without either answer or error.
    pub(super) async fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, ForwardError>>,
    ) -> Result<T, ForwardError> {
        unless_ended(&self.ended, answer).await
    }
}

async fn unless_ended<T>(
    ended: &CancellationToken,
    answer: impl Future<Output = Result<T, ForwardError>>,
) -> Result<T, ForwardError> {
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answered = answer.as_mut() => answered,
        () = ended.cancelled() => {
            // What had arrived before the end is still an answer.
            tokio::time::timeout(END_NOTICE, answer).await.unwrap_or(Err(ForwardError::Unanswered))
        }
    }
}

#[derive(Default)]
struct Slot {
    link: Option<Link>,
    failed: Option<Instant>,
}

/// All connections. As many as there are shards that nodes were moved to.
pub(crate) struct Pool {
    credentials: Arc<Credentials>,
    slots: Mutex<BTreeMap<Place, Arc<tokio::sync::Mutex<Slot>>>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(credentials: &Arc<Credentials>) -> Self {
        Self { credentials: Arc::clone(credentials), slots: Mutex::default() }
    }

    /// The connection to a shard. One task connects; the others wait for it.
    pub(crate) async fn link(&self, shard: &ShardId, address: &str) -> Result<Link, ForwardError> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry((shard.clone(), address.to_owned())).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(link) = slot.link.as_ref().filter(|link| !link.sender.is_closed()) {
            return Ok(link.clone());
        }
        if slot.failed.is_some_and(|failed| failed.elapsed() < ATTEMPT_INTERVAL) {
            return Err(ForwardError::JustFailed);
        }
        slot.link = None;
        let connecting = tokio::time::timeout(CONNECT_TIME_MAX, self.connect(shard, address));
        match connecting.await.unwrap_or(Err(ForwardError::Timeout(CONNECT_TIME_MAX))) {
            Ok(link) => {
                tracing::info!(%shard, "requests are forwarded");
                (slot.link, slot.failed) = (Some(link.clone()), None);
                Ok(link)
            }
            Err(error) => {
                slot.failed = Some(Instant::now());
                Err(error)
            }
        }
    }

    async fn connect(&self, shard: &ShardId, address: &str) -> Result<Link, ForwardError> {
        let stream = Stream::connect(address).await.map_err(ForwardError::Unreachable)?;
        stream.set_nodelay(true).map_err(ForwardError::Unreachable)?;
        let expected = Expected::one(Role::Shard, shard.as_str());
        let stream = connect(&self.credentials, stream, host_of(address), expected, &[FORWARD_ALPN]).await?;
        if stream.get_ref().1.alpn_protocol() != Some(FORWARD_ALPN) {
            return Err(ForwardError::OtherProtocol);
        }
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX)
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await?;
        let (shard, ended) = (shard.clone(), CancellationToken::new());
        let end = ended.clone().drop_guard();
        tokio::spawn(async move {
            let _end = end;
            if let Err(error) = connection.await {
                tracing::debug!(%shard, %error, "a connection for forwarded requests ended early");
            }
        });
        Ok(Link { sender, ended })
    }
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_cannot_come_any_more_is_not_waited_for() {
        let ended = CancellationToken::new();
        let late = async {
            tokio::time::sleep(END_NOTICE / 2).await;
            Ok(1)
        };
        assert_eq!(unless_ended(&ended, async { Ok(0) }).await.unwrap(), 0);
        ended.cancel();
        assert_eq!(unless_ended(&ended, late).await.unwrap(), 1, "it had arrived");
        let never = unless_ended(&ended, std::future::pending::<Result<u8, _>>()).await;
        assert!(matches!(never, Err(ForwardError::Unanswered)), "{never:?}");
    }

    #[test]
    fn the_host_of_an_address_is_what_stands_before_the_port() {
        for (address, host) in [("a.example:1", "a.example"), ("127.0.0.1:9", "127.0.0.1"), ("[::1]:9", "::1")] {
            assert_eq!(host_of(address), host);
        }
    }
}
