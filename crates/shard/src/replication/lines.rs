//! Connections to a source for the bytes of objects; `docs/object-stream.md` says what is spoken on them.
//!
//! One transfer has a connection for itself, and the next one takes it over when all that was asked for has come. As many at the same
//! time as it takes to keep network and disk busy. One that was left in the middle is closed: nobody knows what is still to come.

use super::error::PullError;
use super::frame::{self, Kind};
use super::source::malformed;
use futures::FutureExt as _;
use prost::Message as _;
use shardlift_api::fault::chain;
use shardlift_api::{OBJECTS_ALPN, v1};
use shardlift_model::{Role, ShardId};
use shardlift_net::Stream;
use shardlift_pki::tls::{Credentials, Expected, dial};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

/// Connections to one source at the same time.
const LINES_MAX: usize = 8;

/// Of those, how many are kept for whoever comes next.
const IDLE_MAX: usize = 4;

/// What one read from the socket takes at most, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// How long the source may take to take a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Decrypted bytes that wait to be looked at: heads of frames and small objects. Larger reads go past them.
const WAITING_BYTES: usize = 16 * 1024;

type Socket = BufReader<TlsStream<BufReader<Stream>>>;

/// The connections to one source.
pub(super) struct Lines {
    credentials: Arc<Credentials>,
    source: ShardId,
    address: String,
    seats: Arc<Semaphore>,
    idle: Mutex<Vec<Socket>>,
}

/// A connection that somebody has for a while.
pub(super) struct Line {
    pub(super) socket: Socket,
    lines: Arc<Lines>,
    _seat: OwnedSemaphorePermit,
}

impl Lines {
    pub(super) fn new(credentials: &Arc<Credentials>, source: &ShardId, address: &str) -> Arc<Self> {
        Arc::new(Self {
            credentials: Arc::clone(credentials),
            source: source.clone(),
            address: address.to_owned(),
            seats: Arc::new(Semaphore::new(LINES_MAX)),
            idle: Mutex::default(),
        })
    }

    /// Asks for objects on a connection of its own.
    pub(super) async fn ask(self: &Arc<Self>, request: &v1::FetchObjectsRequest) -> Result<Line, PullError> {
        let length = request.encoded_len();
        if length > Kind::Request.bytes_max() {
            return Err(PullError::Failed("more objects are asked for than fit into a request".to_owned()));
        }
        // The seats are never taken away.
        let seat = Arc::clone(&self.seats).acquire_owned().await.map_err(|_| PullError::Interrupted)?;
        let mut socket = match self.idle() {
            Some(socket) => socket,
            None => self.dial().await?,
        };
        let mut bytes = Vec::with_capacity(frame::HEAD_BYTES + length);
        frame::put(&mut bytes, Kind::Request, request);
        let sending = async {
            socket.write_all(&bytes).await?;
            socket.flush().await
        };
        match timeout(REQUEST_TIMEOUT, sending).await {
            Ok(Ok(())) => Ok(Line { socket, lines: Arc::clone(self), _seat: seat }),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_elapsed) => Err(PullError::Waiting("the source takes no request".to_owned())),
        }
    }

    async fn dial(&self) -> Result<Socket, PullError> {
        let expected = Expected::one(Role::Shard, self.source.as_str());
        let dialled = dial(&self.credentials, &self.address, expected, OBJECTS_ALPN, READ_BYTES).await;
        let socket = dialled.map_err(|error| unreachable(&error))?;
        match socket.get_ref().1.alpn_protocol() {
            Some(OBJECTS_ALPN) => Ok(BufReader::with_capacity(WAITING_BYTES, socket)),
            _ => Err(PullError::Waiting("the source knows no object stream: it is of another version".to_owned())),
        }
    }

    /// One that is at rest and still open. What has something to say while nobody asks is at its end.
    fn idle(&self) -> Option<Socket> {
        loop {
            let mut socket = self.lock().pop()?;
            if socket.read_u8().now_or_never().is_none() {
                return Some(socket);
            }
        }
    }

    /// The others have the same end, and are not worth another try each.
    fn broken(&self, error: &io::Error) -> PullError {
        self.lock().clear();
        match error.kind() {
            io::ErrorKind::TimedOut => PullError::Waiting("the source sends nothing".to_owned()),
            io::ErrorKind::UnexpectedEof => PullError::Waiting("the source ended a transfer early".to_owned()),
            io::ErrorKind::InvalidData => malformed(&error.to_string()),
            _ => unreachable(error),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Socket>> {
        // Entries are put in and taken out whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Nothing more comes on it.
    pub(super) fn broken(&self, error: &io::Error) -> PullError {
        self.lines.broken(error)
    }

    /// All that was asked for has come.
    pub(super) fn give_back(self) {
        let mut idle = self.lines.lock();
        if idle.len() < IDLE_MAX {
            idle.push(self.socket);
        }
    }
}

fn unreachable(error: &(dyn std::error::Error + 'static)) -> PullError {
    PullError::Waiting(format!("the source cannot be reached: {}", chain(error)))
}
