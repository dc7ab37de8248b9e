//! The serving side: what one other shard may read of one node.
//!
//! Default deny: a node is readable by the one shard that its persisted offer names, by no other, and whether a node
//! exists is not told to those who may not read it. Nothing here changes anything but the record of rot that is found.

mod outgoing;
mod reader;
mod stream;

use crate::auth::htpasswd::Passwords;
use crate::control::fault::of_engine;
use crate::engine::{Change, DigestPart, Engine, Op};
use crate::replication::locate::PLACES_MAX;
use crate::replication::side::Side;
use crate::throttle::Seat;
use futures::{Stream, StreamExt as _};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1::replication_server::Replication;
use shardlift_api::{OBJECTS_ALPN, convert, v1};
use shardlift_model::digest::{Prefix, Summary};
use shardlift_model::{NodeId, ObjectKey, ObjectKind, Peer, Role, Sha256};
use shardlift_pki::tls::{Connection, Incoming};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// Most objects or changes of one page.
const PAGE_MAX: u32 = 20_000;

/// Most objects of one transfer.
pub(crate) const FETCH_OBJECTS_MAX: usize = 5000;

/// Transfers of the whole shard at the same time.
const TRANSFERS_MAX: usize = 64;

/// What an object stream encrypts before it writes to its socket, in bytes.
const SEND_BYTES: usize = 512 * 1024;

/// Longest wait for a change.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a transfer may wait for others to end; whoever asked waits for longer.
const SEAT_TIME_MAX: Duration = Duration::from_secs(20);

/// What was sent to other shards. Only grows.
#[derive(Debug, Default)]
pub struct ReplicationCounters {
    objects: AtomicU64,
    bytes: AtomicU64,
    pages: AtomicU64,
}

impl ReplicationCounters {
    /// Objects sent.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }

    /// Their bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Pages of lists sent.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    fn sent(&self, bytes: u64) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What other shards pull from, by gRPC and on object streams.
#[derive(Debug, Clone)]
pub struct Serving {
    engine: Arc<Engine>,
    passwords: Arc<Passwords>,
    counters: Arc<ReplicationCounters>,
    transfers: Arc<Semaphore>,
    /// Whoever waits for a change gets an answer at once: a shard that ends does not wait for its followers.
    stop: CancellationToken,
}

impl Serving {
    pub(crate) fn new(
        engine: Arc<Engine>,
        passwords: Arc<Passwords>,
        counters: Arc<ReplicationCounters>,
        stop: CancellationToken,
    ) -> Self {
        Self { engine, passwords, counters, transfers: Arc::new(Semaphore::new(TRANSFERS_MAX)), stop }
    }

    /// Takes the connections for object streams out of a listener's; what is left is for gRPC.
    pub fn take_streams(&self, incoming: Incoming) -> impl Stream<Item = std::io::Result<Connection>> + use<> {
        let serving = self.clone();
        incoming.filter_map(move |accepted| {
            let left = match accepted {
                Ok(mut connection) if connection.alpn_protocol() == Some(OBJECTS_ALPN) => {
                    connection.send_in_pieces_of(SEND_BYTES);
                    let peer = connection.peer().clone();
                    serving.engine.background().spawn(serving.clone().serve_objects(connection, peer));
                    None
                }
                accepted => Some(accepted),
            };
            std::future::ready(left)
        })
    }

    /// The node, if it is offered to who asks.
    fn offered<T>(&self, request: &Request<T>, node: &str) -> Result<NodeId, Fault> {
        self.offered_to(request.extensions().get::<Peer>(), node)
    }

    fn offered_to(&self, peer: Option<&Peer>, node: &str) -> Result<NodeId, Fault> {
        let node = convert::node(node)?;
        let shard = peer.and_then(Peer::identity).filter(|identity| identity.role() == Role::Shard);
        let offered_to = self.engine.node(&node).and_then(|snapshot| snapshot.offered_to);
        match (shard, offered_to) {
            (Some(shard), Some(offered_to)) if shard.name() == offered_to.as_str() => {
                self.engine.hurry_if_fenced(&node);
                Ok(node)
            }
            _ => Err(Fault::new(FaultKind::Forbidden, "the node is not offered to this shard")),
        }
    }

    /// The seat of a transfer; none is needed for the last changes of a node whose clients wait.
    async fn seat(&self, node: &NodeId) -> Result<Option<Seat>, Fault> {
        if self.engine.is_fenced(node) {
            return Ok(None);
        }
        let seat = tokio::time::timeout(SEAT_TIME_MAX, self.engine.throttle().serve()).await;
        let taken = |_| Fault::new(FaultKind::Unavailable, "as many transfers as this shard may serve are under way");
        seat.map(Some).map_err(taken)
    }

    async fn page(&self, node: &NodeId, request: v1::ListObjectsRequest) -> Result<v1::ListObjectsResponse, Fault> {
        let asked = request.after.map(ObjectKey::try_from).transpose()?;
        let after = if request.locks_only { asked.max(Some(before_locks())) } else { asked };
        let limit = bounded(request.limit)?;
        let page = self.engine.page_objects(node, after, limit, request.locks_only).await.map_err(of_engine)?;
        self.counters.pages.fetch_add(1, Ordering::Relaxed);
        Ok(v1::ListObjectsResponse {
            objects: page.objects.into_iter().map(Into::into).collect(),
            more: page.more,
            seq: page.seq,
            objects_total: page.objects_total,
            bytes_total: page.bytes_total,
        })
    }

    async fn changes(&self, node: &NodeId, request: &v1::ReadJournalRequest) -> Result<v1::ReadJournalResponse, Fault> {
        let limit = bounded(request.limit)?;
        let wait = Duration::from_millis(request.wait_ms.into()).min(WAIT_MAX);
        let end = tokio::time::Instant::now() + wait;
        let gone = || Fault::new(FaultKind::Unavailable, "the node is being closed");
        // Subscribed before the first look: a change in between is not slept through.
        let mut seq = self.engine.watch_seq(node).ok_or_else(gone)?;
        loop {
            seq.mark_unchanged();
            let (changes, last) = self.engine.changes(node, request.after_seq, limit).await.map_err(of_engine)?;
            if !changes.is_empty() || tokio::time::Instant::now() >= end {
                return Ok(v1::ReadJournalResponse { changes: changes.into_iter().map(change).collect(), seq: last });
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(gone()),
                changed = tokio::time::timeout_at(end, seq.changed()) => match changed {
                    Ok(Ok(())) | Err(_) => {}
                    Ok(Err(_closed)) => return Err(gone()),
                },
            }
        }
    }
}

/// The greatest key that is not a lock's.
pub(crate) const fn before_locks() -> ObjectKey {
    ObjectKey::Named(ObjectKind::Snapshots, Sha256([0xff; 32]))
}

fn bounded(limit: u32) -> Result<usize, Fault> {
    let limit = if limit == 0 { PAGE_MAX } else { limit.min(PAGE_MAX) };
    usize::try_from(limit).map_err(Fault::internal)
}

fn change(change: Change) -> v1::Change {
    let what = match change.op {
        Op::Put(record) => v1::change::What::Put(record.into()),
        Op::Delete(key) => v1::change::What::Delete(key.into()),
    };
    v1::Change { seq: change.seq, at_unix_ms: change.at.0, what: Some(what) }
}

fn part(part: DigestPart) -> v1::DigestPart {
    match part {
        DigestPart::Leaf(objects) => {
            v1::DigestPart { objects: objects.into_iter().map(Into::into).collect(), children: vec![] }
        }
        DigestPart::Branch(children) => {
            let child = |(digit, summary): (u8, Summary)| v1::DigestChild {
                digit: digit.into(),
                hash: summary.hash.0.to_vec(),
                objects: summary.objects,
            };
            v1::DigestPart { children: children.into_iter().map(child).collect(), objects: vec![] }
        }
    }
}

#[tonic::async_trait]
impl Replication for Serving {
    async fn list_objects(
        &self,
        request: Request<v1::ListObjectsRequest>,
    ) -> Result<Response<v1::ListObjectsResponse>, Status> {
        let node = self.offered(&request, &request.get_ref().node)?;
        Ok(Response::new(self.page(&node, request.into_inner()).await?))
    }

    async fn read_journal(
        &self,
        request: Request<v1::ReadJournalRequest>,
    ) -> Result<Response<v1::ReadJournalResponse>, Status> {
        let node = self.offered(&request, &request.get_ref().node)?;
        Ok(Response::new(self.changes(&node, request.get_ref()).await?))
    }

    async fn get_digest(&self, request: Request<v1::GetDigestRequest>) -> Result<Response<v1::NodeDigest>, Status> {
        let node = self.offered(&request, &request.get_ref().node)?;
        let with_locks = !request.get_ref().without_locks;
        let (digest, seq) = self.engine.digest_of(&node, with_locks).await.map_err(of_engine)?;
        Ok(Response::new(convert::node_digest(&digest, seq)))
    }

    async fn read_digest(
        &self,
        request: Request<v1::ReadDigestRequest>,
    ) -> Result<Response<v1::ReadDigestResponse>, Status> {
        let node = self.offered(&request, &request.get_ref().node)?;
        let places = request.into_inner().places;
        if places.len() > PLACES_MAX {
            return Err(Fault::new(FaultKind::Invalid, "more than 64 places of a digest").into());
        }
        let places = places.into_iter().map(Prefix::try_from).collect::<Result<Vec<_>, _>>()?;
        let (parts, seq) = self.engine.digest_parts(&node, places).await.map_err(of_engine)?;
        Ok(Response::new(v1::ReadDigestResponse { parts: parts.into_iter().map(part).collect(), seq }))
    }

    async fn get_side_data(&self, request: Request<v1::GetSideDataRequest>) -> Result<Response<v1::SideData>, Status> {
        let node = self.offered(&request, &request.get_ref().node)?;
        let data = self.engine.side_data(&node).await.map_err(of_engine)?;
        let passwords = self.passwords.clone();
        let account = node.account().to_owned();
        let credentials = shardlift_net::spawn_blocking(move || passwords.lines_of(&account)).await;
        let side = Side { data, credentials: credentials.map_err(Fault::internal)? };
        Ok(Response::new(side.message()))
    }
}
