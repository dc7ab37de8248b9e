//! A shard that says whatever a test wants: gRPC from a service of the test's, and any bytes on object streams.

use super::world::World;
use crate::replication::frame::{self, Kind};
use futures::StreamExt as _;
use shardlift_api::v1::replication_server::{Replication, ReplicationServer};
use shardlift_api::{OBJECTS_ALPN, v1};
use shardlift_model::{ObjectRecord, Role};
use shardlift_pki::tls::{ALPN_HTTP2, Connection, Incoming, mutual_server_config};
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What comes on an object stream for one request.
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    /// The connection ends after it.
    pub(crate) last: bool,
}

impl From<Vec<u8>> for Answer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, last: false }
    }
}

pub(crate) type Giving = Arc<dyn Fn(v1::FetchObjectsRequest) -> Answer + Send + Sync>;

pub(crate) struct StandIn {
    pub(crate) address: String,
    serving: JoinHandle<()>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves under the name of a shard.
pub(crate) async fn stand_in(world: &World, name: &str, asked: impl Replication, giving: Giving) -> StandIn {
    let tls = mutual_server_config(&world.credentials(Role::Shard, name), &[ALPN_HTTP2, OBJECTS_ALPN]).unwrap();
    let incoming = Incoming::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), tls).unwrap();
    let address = incoming.local_address().to_string();
    let rest = incoming.filter_map(move |accepted| {
        let connection = accepted.unwrap();
        let is_stream = connection.alpn_protocol() == Some(OBJECTS_ALPN);
        let rest = if is_stream {
            tokio::spawn(give(connection, Arc::clone(&giving)));
            None
        } else {
            Some(Ok::<_, std::io::Error>(connection))
        };
        std::future::ready(rest)
    });
    let server = tonic::transport::Server::builder().add_service(ReplicationServer::new(asked));
    let serving = tokio::spawn(async move { server.serve_with_incoming(rest).await.unwrap() });
    StandIn { address, serving }
}

async fn give(mut connection: Connection, giving: Giving) {
    while let Ok(Some((Kind::Request, length))) = frame::next(&mut connection).await {
        let request = frame::message(&mut connection, length).await.unwrap();
        let answer = giving(request);
        // The peer may have seen enough in the middle of it.
        let sent = async {
            connection.write_all(&answer.bytes).await?;
            connection.flush().await
        };
        if sent.await.is_err() || answer.last {
            return;
        }
    }
}

/// The frames of one object, as an honest source sends them.
pub(crate) fn frames(position: u32, record: ObjectRecord, data: &[u8], sha256_read: &[u8]) -> Vec<u8> {
    let mut frames = head(position, record);
    for part in data.chunks(Kind::Data.bytes_max()) {
        frames.extend_from_slice(&Kind::Data.head(part.len()));
        frames.extend_from_slice(part);
    }
    frame::put(&mut frames, Kind::End, &v1::ObjectEnd { sha256_read: sha256_read.to_vec() });
    frames
}

pub(crate) fn head(position: u32, record: ObjectRecord) -> Vec<u8> {
    let mut frames = Vec::new();
    let head = v1::ObjectHead { position, record: Some(record.into()), ..Default::default() };
    frame::put(&mut frames, Kind::Object, &head);
    frames
}

pub(crate) fn absent(count: usize) -> Vec<u8> {
    let mut frames = Vec::new();
    for position in (0..).take(count) {
        frame::put(&mut frames, Kind::Object, &v1::ObjectHead { position, absent: true, ..Default::default() });
    }
    frames
}
