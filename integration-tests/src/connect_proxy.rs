//! A CONNECT proxy that stands in for DNS.
//!
//! A client with `HTTPS_PROXY` set to [`ConnectProxy::url`] reaches `node-7.backup.example` at an address on loopback.
//! It only ever connects to the addresses a test gave it. Go programs ignore proxies for `localhost` and `127.*`, and
//! for no other name.

use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

const HEAD_BYTES_MAX: usize = 8 * 1024;
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Routes {
    fallback: Option<SocketAddr>,
    hosts: BTreeMap<String, SocketAddr>,
    asked: Vec<String>,
    tunnels: JoinSet<()>,
}

/// A running proxy; it ends, with all its tunnels, when dropped.
pub struct ConnectProxy {
    address: SocketAddr,
    routes: Arc<Mutex<Routes>>,
    acceptor: JoinHandle<()>,
}

fn lock(routes: &Mutex<Routes>) -> MutexGuard<'_, Routes> {
    routes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ConnectProxy {
    /// Starts a proxy that maps every host name to `fallback`; with `None`, only names given by [`Self::map`] work.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(fallback: Option<SocketAddr>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("binding the proxy")?;
        let address = listener.local_addr()?;
        let routes = Arc::new(Mutex::new(Routes { fallback, ..Routes::default() }));
        let acceptor = tokio::spawn(accept(listener, Arc::clone(&routes)));
        Ok(Self { address, routes, acceptor })
    }

    /// What goes into `HTTPS_PROXY`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on `host` leads to `address`.
    pub fn map(&self, host: &str, address: SocketAddr) {
        lock(&self.routes).hosts.insert(host.to_ascii_lowercase(), address);
    }

    /// From now on all other hosts lead to `address`.
    pub fn set_fallback(&self, address: Option<SocketAddr>) {
        lock(&self.routes).fallback = address;
    }

    /// Cuts all tunnels, as a network would.
    pub fn cut(&self) {
        lock(&self.routes).tunnels.abort_all();
    }

    /// The hosts asked for so far, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        lock(&self.routes).asked.clone()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, routes: Arc<Mutex<Routes>>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let tunnel = tunnel(client, Arc::clone(&routes));
                let mut routes = lock(&routes);
                while routes.tunnels.try_join_next().is_some() {}
                routes.tunnels.spawn(async move {
                    if let Err(error) = tunnel.await {
                        eprintln!("proxy: {error:#}");
                    }
                });
            }
            Err(error) => {
                eprintln!("proxy: accept: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn read_head(client: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        anyhow::ensure!(head.len() < HEAD_BYTES_MAX, "the head of the request is too long");
        // One byte at a time: what follows the head belongs to the tunnel.
        head.push(client.read_u8().await.context("reading the request")?);
    }
    String::from_utf8(head).context("the request is not text")
}

async fn tunnel(mut client: TcpStream, routes: Arc<Mutex<Routes>>) -> Result<()> {
    let head = tokio::time::timeout(HEAD_TIME_MAX, read_head(&mut client)).await.context("a slow request")??;
    let mut words = head.split_whitespace();
    let (Some("CONNECT"), Some(authority)) = (words.next(), words.next()) else {
        client.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nAllow: CONNECT\r\nContent-Length: 0\r\n\r\n").await?;
        return Ok(());
    };
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_ascii_lowercase();
    let address = {
        let mut routes = lock(&routes);
        routes.asked.push(host.clone());
        routes.hosts.get(&host).copied().or(routes.fallback)
    };
    let server = match address {
        Some(address) => TcpStream::connect(address).await.with_context(|| format!("connecting to {address}")),
        None => Err(anyhow::anyhow!("no address for {host}")),
    };
    let mut server = match server {
        Ok(server) => server,
        Err(error) => {
            client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await?;
            return Err(error);
        }
    };
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    // How a tunnel ends is the business of the two ends. Each direction goes to its own end: one that can no longer send to a server
    // is still to hear why.
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.split(), server.split());
    let up = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        let _ = to_server.shutdown().await;
    };
    let down = async {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(up, down);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for _ in 0..10 {
                let (mut peer, _) = listener.accept().await.unwrap();
                peer.write_all(answer).await.unwrap();
            }
        });
        address
    }

    async fn through(proxy: &ConnectProxy, request: &str) -> String {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(10), end).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn each_host_leads_where_the_table_says() {
        let (any, one) = (server(b"any").await, server(b"one").await);
        let proxy = ConnectProxy::start(Some(any)).await.unwrap();
        proxy.map("One.backup.example", one);
        assert!(through(&proxy, "CONNECT one.BACKUP.example:8443 HTTP/1.1\r\n\r\n").await.ends_with("\r\n\r\none"));
        assert!(through(&proxy, "CONNECT two.backup.example:8443 HTTP/1.1\r\n\r\n").await.ends_with("\r\n\r\nany"));
        assert_eq!(proxy.asked(), ["one.backup.example", "two.backup.example"]);
    }

    #[tokio::test]
    async fn a_name_without_address_and_other_methods_are_refused() {
        let proxy = ConnectProxy::start(None).await.unwrap();
        assert!(through(&proxy, "CONNECT a.example:1 HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 502"));
        assert!(through(&proxy, "GET http://a.example/ HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405"));
    }
}
