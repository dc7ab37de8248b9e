//! The change, made by clients of the source: deletes and uploads over HTTPS with a client certificate, through the router.

use crate::bench::line::Line;
use crate::bench::moving::trees::Tree;
use crate::cluster::Cluster;
use crate::conformance::{Login, Peer};
use crate::{Validity, eventually};
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Clients at work at the same time.
const CLIENTS: usize = 8;

/// How long the router may take to lead to the source.
const ROUTE_TIME_MAX: Duration = Duration::from_secs(30);

/// One change.
enum Change {
    Delete(PathBuf),
    Put(PathBuf),
}

fn line(peer: &Peer) -> Result<Line> {
    Line::new(peer.address, &peer.server_name, &peer.ca_pem, peer.owner.certificate_pem.as_deref())
}

fn address(node: &str, path: &Path) -> Result<String> {
    // `data/ab/abc…` on disk is `data/abc…` for clients.
    let name = path.file_name().and_then(|name| name.to_str()).context("an object without a name")?;
    Ok(format!("/{node}/data/{name}"))
}

async fn one(line: &mut Line, node: &str, tree: &Path, change: &Change) -> Result<()> {
    let (method, path, body) = match change {
        Change::Delete(path) => ("DELETE", path, Bytes::new()),
        Change::Put(path) => ("POST", path, Bytes::from(std::fs::read(tree.join(path))?)),
    };
    let (status, said) = line.ask(method, &address(node, path)?, body).await?;
    ensure!(status == 200, "{method} {}: {status}: {}", path.display(), String::from_utf8_lossy(&said));
    Ok(())
}

/// Makes all changes of the tree; each is acknowledged, and so durable, when this comes back.
pub(super) async fn make(cluster: &Cluster, node: &str, tree: &Tree) -> Result<()> {
    let certificate = cluster.old_ca().client("bench-client", "bench", Validity::Now)?;
    let pem = std::fs::read_to_string(&certificate.both_path)?;
    let peer = Arc::new(cluster.peer(node, Login::certificate(&pem))?);
    let probe = Mutex::new(line(&peer)?);
    eventually("a client reaches its repository", ROUTE_TIME_MAX, || async {
        let (status, _) = probe.lock().await.ask("HEAD", &format!("/{node}/config"), Bytes::new()).await?;
        ensure!(status == 200, "{status}");
        Ok(())
    })
    .await?;
    let deletes = tree.gone.iter().cloned().map(Change::Delete);
    let puts = tree.added.iter().cloned().map(Change::Put);
    let mut shares: Vec<Vec<Change>> = (0..CLIENTS).map(|_| Vec::new()).collect();
    for (number, change) in deletes.chain(puts).enumerate() {
        shares[number % CLIENTS].push(change);
    }
    let mut clients = JoinSet::new();
    for share in shares {
        let (peer, node, tree) = (Arc::clone(&peer), node.to_owned(), tree.changed.clone());
        clients.spawn(async move {
            let mut line = line(&peer)?;
            for change in &share {
                one(&mut line, &node, &tree, change).await?;
            }
            Ok(())
        });
    }
    clients.join_all().await.into_iter().collect()
}
