//! By whose clock a certificate is judged: that of the part itself, on both sides of a connection.

use crate::world::{Listener, Pair, World, plain_client, plain_server};
use shardlift_model::Role;
use shardlift_net::disk::Disk;
use shardlift_net::{Listening, Machine, Pending, Socket};
use shardlift_pki::tls::{Credentials, Expected, TlsError, connect, mutual_server_config};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};

/// Longer than any certificate of a part is valid.
const YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A machine whose clock is wrong and which has nothing else.
struct Wrong(Duration);

impl Machine for Wrong {
    fn connect(&self, _address: &str) -> Pending<'static, Box<dyn Socket>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn bind(&self, _address: SocketAddr) -> Pending<'static, Box<dyn Listening>> {
        Box::pin(async { Err::<Box<dyn Listening>, _>(io::ErrorKind::Unsupported.into()) })
    }

    fn since_epoch(&self) -> Duration {
        self.0
    }

    fn spread(&self) -> f64 {
        0.5
    }

    fn disk(&self, _path: &Path) -> Option<Arc<dyn Disk>> {
        None
    }
}

/// Times at which nothing is valid any more, or not yet.
fn wrong_times() -> [Duration; 2] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    [now + YEARS, now - YEARS]
}

async fn believes(client: &Arc<Credentials>, pair: &Pair) -> Result<(), TlsError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(plain_server(pair));
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        // Whether the client went on is what the client says.
        drop(acceptor.accept(stream).await);
    };
    let connecting = async {
        let stream = TcpStream::connect(address).await.unwrap();
        connect(client, stream, "localhost", Expected::one(Role::Shard, "a"), &[]).await.map(drop)
    };
    tokio::join!(connecting, serving).0
}

#[tokio::test]
async fn a_client_judges_its_server_by_its_own_clock() {
    let world = World::new("c1");
    let (client, shard) = (world.credentials(Role::Controller, "one"), world.issue(Role::Shard, "a"));
    believes(&client, &shard).await.unwrap();
    for time in wrong_times() {
        let _installed = shardlift_net::install(Arc::new(Wrong(time)));
        assert!(matches!(believes(&client, &shard).await, Err(TlsError::Handshake { .. })), "{time:?}");
    }
    believes(&client, &shard).await.unwrap();
}

#[tokio::test]
async fn a_server_judges_its_clients_by_its_own_clock() {
    let world = World::new("c1");
    let server = world.credentials(Role::Shard, "a");
    let listener = Listener::start(mutual_server_config(&server, &[]).unwrap()).await;
    let client = plain_client(&world.authority.ca_pem(), Some(&world.issue(Role::Controller, "one")));
    assert!(listener.greets(&client).await.is_ok());
    for time in wrong_times() {
        let _installed = shardlift_net::install(Arc::new(Wrong(time)));
        assert!(listener.greets(&client).await.is_err(), "{time:?}");
    }
    assert!(listener.greets(&client).await.is_ok());
}
