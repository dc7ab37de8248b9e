//! Passes client connections through to the shard that their server name leads to.
//!
//! The route is looked up when a connection begins: a flip moves new connections, never one that is open. Only a route that severs
//! ends those that lead elsewhere.

use crate::hello::{self, HELLO_BYTES_MAX, Hello, Refusal};
use crate::links::{Link, Links};
use crate::metrics::{Closed, Metrics};
use crate::splice::Count;
pub use crate::splice::Pipes;
use crate::store::RouteStore;
use crate::table::Route;
use shardlift_model::ServerName;
use shardlift_net::{Listener, Stream};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a client may take for its hello.
pub const HELLO_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a connection to a shard may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a shard that takes no more may still be heard.
const LAST_WORDS_TIME_MAX: Duration = Duration::from_secs(1);

/// How long to wait after the system refused to accept, typically for lack of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Unknown names that are logged per second; all are counted.
const LOGGED_PER_SECOND: u64 = 10;

/// Bytes of one connection, counted as they pass.
#[derive(Debug, Default)]
struct Copied {
    up: Count,
    down: Count,
}

/// The listener that clients connect to.
#[derive(Debug)]
pub struct Proxy {
    /// Where names lead.
    pub routes: Arc<RouteStore>,
    /// The connections that are passed through.
    pub links: Arc<Links>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Connections at the same time.
    pub connections_max: usize,
    /// How long a client may take for its hello.
    pub hello_time_max: Duration,
    /// What bytes pass through.
    pub pipes: Pipes,
}

impl Proxy {
    /// Accepts until `stop`; then waits for the open connections, for as long as the caller does.
    pub async fn serve(self, listener: Listener, stop: CancellationToken) {
        let proxy = Arc::new(self);
        let slots = Arc::new(Semaphore::new(proxy.connections_max));
        let log = Arc::new(LogLimit::default());
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match (accepted, slots.clone().try_acquire_owned()) {
                (Ok((client, address)), Ok(slot)) => {
                    tasks.spawn(proxy.clone().pass(client, address, slot, log.clone()));
                }
                (Ok(_), Err(_full)) => proxy.metrics.close(Closed::Full),
                (Err(error), _) => {
                    tracing::warn!(%error, "cannot accept a client");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        tasks.close();
        tasks.wait().await;
    }

    async fn pass(
        self: Arc<Self>,
        mut client: Stream,
        address: SocketAddr,
        _slot: OwnedSemaphorePermit,
        log: Arc<LogLimit>,
    ) {
        let Some((name, hello)) = self.read_name(&mut client, address).await else { return };
        let Some(link) = self.links.find(|| self.routes.table().find(&name).cloned()) else {
            self.metrics.close(Closed::UnknownName);
            if log.admits() {
                tracing::warn!(%address, %name, "a client asked for a name without a route; closed");
            }
            return;
        };
        // Both sockets are closed in there: the link tells of their end.
        self.through(client, &hello, &link).await;
        drop(link);
    }

    /// Connects and copies until both sides have ended, or the connection is cut.
    async fn through(&self, mut client: Stream, hello: &[u8], link: &Link) {
        let (node, shard) = (&link.route().node, &link.route().shard);
        let mut stream = match link.unless_cut(connect(link.route())).await {
            Some(Ok(stream)) => stream,
            Some(Err(error)) => {
                self.metrics.close(Closed::ShardUnreachable);
                tracing::warn!(%node, %shard, %error, "the shard of a client cannot be reached");
                return;
            }
            None => return,
        };
        let _open = self.metrics.pass();
        let copied = Copied::default();
        match link.unless_cut(self.copy(&mut client, &mut stream, hello, &copied)).await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%node, %shard, %error, "a connection ended early"),
            None => {
                tracing::debug!(%node, %shard, "a connection was cut");
                // What has not left this machine yet is not to arrive after the end.
                for stream in [&stream, &client].into_iter().filter_map(Stream::kernel) {
                    if let Err(error) = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)) {
                        tracing::debug!(%error, "a connection ends in the usual way");
                    }
                }
            }
        }
        self.metrics.copied(copied.up.get(), copied.down.get());
    }

    /// Passes on what was read already, then copies both ways until both sides have ended.
    async fn copy(&self, client: &mut Stream, shard: &mut Stream, hello: &[u8], copied: &Copied) -> io::Result<()> {
        client.set_nodelay(true)?;
        shard.write_all(hello).await?;
        copied.up.set(hello.len() as u64);
        if let (Some(client), Some(shard)) = (client.kernel(), shard.kernel()) {
            let up = self.pipes.pass(client, shard, &copied.up);
            let down = self.pipes.pass(shard, client, &copied.down);
            return both(up, down).await;
        }
        // A simulated connection has no socket that the kernel could read.
        let (up, down) = tokio::io::copy_bidirectional(client, shard).await?;
        copied.up.set(hello.len() as u64 + up);
        copied.down.set(down);
        Ok(())
    }

    /// The server name, and the bytes read to find it. `None`: the connection is over, and counted.
    async fn read_name(&self, client: &mut Stream, address: SocketAddr) -> Option<(ServerName, Vec<u8>)> {
        let read = tokio::time::timeout(self.hello_time_max, read_hello(client));
        match read.await {
            Ok(Ok(Ok(found))) => Some(found),
            Ok(Ok(Err(refusal))) => {
                self.metrics.close(Closed::NoHello);
                tracing::debug!(%address, %refusal, "a client was closed");
                None
            }
            Ok(Err(error)) => {
                self.metrics.close(Closed::NoHello);
                tracing::debug!(%address, %error, "a client ended before its hello");
                None
            }
            Err(_elapsed) => {
                self.metrics.close(Closed::Slow);
                None
            }
        }
    }
}

/// Waits for both directions, and ends with the first that fails.
///
/// A shard that refuses a certificate says so and closes while the client still sends: then writing to it fails with its alert not
/// yet read. So what it has said is passed on for a moment longer.
async fn both(up: impl Future<Output = io::Result<()>>, down: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::pin!(up, down);
    tokio::select! {
        ended = &mut up => match ended {
            Ok(()) => down.await,
            Err(error) => {
                let _ = tokio::time::timeout(LAST_WORDS_TIME_MAX, down).await;
                Err(error)
            }
        },
        ended = &mut down => {
            ended?;
            up.await
        }
    }
}

async fn read_hello(client: &mut Stream) -> io::Result<Result<(ServerName, Vec<u8>), Refusal>> {
    let mut bytes = Vec::with_capacity(2048);
    loop {
        let space = (HELLO_BYTES_MAX - bytes.len()) as u64;
        if (&mut *client).take(space).read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match hello::read(&bytes) {
            Hello::Incomplete => {}
            Hello::Name(name) => return Ok(Ok((name, bytes))),
            Hello::Refused(refusal) => return Ok(Err(refusal)),
        }
    }
}

async fn connect(route: &Route) -> io::Result<Stream> {
    let stream = tokio::time::timeout(CONNECT_TIME_MAX, Stream::connect(&route.client_address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Lets a few lines per second through.
#[derive(Debug)]
struct LogLimit {
    start: Instant,
    second: AtomicU64,
    lines: AtomicU64,
}

impl Default for LogLimit {
    fn default() -> Self {
        Self { start: Instant::now(), second: AtomicU64::new(0), lines: AtomicU64::new(0) }
    }
}

impl LogLimit {
    /// Approximate under contention, which only means a line more or less.
    fn admits(&self) -> bool {
        let second = self.start.elapsed().as_secs();
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.lines.store(0, Ordering::Relaxed);
        }
        self.lines.fetch_add(1, Ordering::Relaxed) < LOGGED_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn what_a_shard_said_before_it_closed_still_reaches_the_client() {
        let passed = Cell::new(false);
        let down = async {
            tokio::task::yield_now().await;
            passed.set(true);
            Ok(())
        };
        let ended = both(async { Err(io::ErrorKind::BrokenPipe.into()) }, down).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(passed.get());
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_takes_nothing_and_says_nothing_is_left() {
        let ended = both(async { Err(io::ErrorKind::BrokenPipe.into()) }, std::future::pending()).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_client_that_is_gone_ends_the_connection() {
        let ended = both(std::future::pending(), async { Err(io::ErrorKind::BrokenPipe.into()) }).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
