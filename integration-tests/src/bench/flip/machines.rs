//! The machines of many nodes, each with an address of its own, as it is outside of a benchmark: the controller bounds how many
//! certificates one address may ask for in a short time.
//!
//! The program connects to a listener here, and each connection goes on to the controller from another address of
//! loopback. What passes is TLS from end to end.

use crate::cluster::Cluster;
use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// Machines that get their certificate at the same time.
const AT_ONCE_MAX: usize = 6;

/// A listener that ends when dropped.
struct Street {
    address: SocketAddr,
    acceptor: JoinHandle<()>,
}

impl Drop for Street {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// From the address with this number.
async fn onward(mut client: TcpStream, number: u16, server: SocketAddr) -> Result<()> {
    let [high, low] = number.to_be_bytes();
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(127, 1, high, low), 0)))?;
    let mut onward = socket.connect(server).await?;
    copy_bidirectional(&mut client, &mut onward).await?;
    Ok(())
}

impl Street {
    async fn open(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let acceptor = tokio::spawn(async move {
            for number in 1..u16::MAX {
                let Ok((client, _)) = listener.accept().await else { return };
                tokio::spawn(async move {
                    if let Err(error) = onward(client, number, server).await {
                        eprintln!("machine {number}: {error:#}");
                    }
                });
            }
        });
        Ok(Self { address, acceptor })
    }
}

/// Every node gets its new certificate, on its own machine.
pub(super) async fn enrol(cluster: &Cluster, nodes: &[String]) -> Result<()> {
    let street = Street::open(cluster.address("controller", "enrolment")?).await?;
    let each = nodes.iter().map(|node| one(cluster, node, street.address));
    futures::stream::iter(each).buffer_unordered(AT_ONCE_MAX).try_collect().await
}

async fn one(cluster: &Cluster, node: &str, server: SocketAddr) -> Result<()> {
    let (token, _server) = cluster.token(node).await?;
    let machine = cluster.machine(node);
    std::fs::create_dir_all(&machine)?;
    let (server, folder) = (server.to_string(), machine.join("shardlift"));
    let folder = folder.to_str().context("a folder whose name is no text")?;
    let command = ["node", "enroll", "--server", &server, "--token", &token, "--out", folder];
    let outcome = cluster.cli().run(&command).await?;
    // Not the command: it carries the token.
    ensure!(outcome.is_ok(), "{node} got no certificate: {}", outcome.stderr);
    Ok(())
}
