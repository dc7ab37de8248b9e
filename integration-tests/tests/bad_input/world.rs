//! A cluster with real repositories, and what must be the same before and after.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use integration_tests::cluster::{Cluster, ClusterOptions};
use integration_tests::conformance::{Login, Peer, Protocol, ask};
use integration_tests::{Restic, TestRoot, TreeShape, fill_tree, tool};
use serde_json::Value;
use shardlift_pki::tls::{CredentialPaths, Credentials};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) struct World {
    // Dropped before the folder it writes to.
    pub(crate) cluster: Cluster,
    pub(crate) restic: PathBuf,
    pub(crate) root: TestRoot,
}

/// Fields that move by themselves: the clock, what is counted by the hour, and the disk, which others use too.
const VOLATILE: [&str; 4] = ["now_unix_ms", "activity", "free_bytes", "capacity_bytes"];

fn without_volatile(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !VOLATILE.contains(&name.as_str()));
            fields.values_mut().for_each(without_volatile);
        }
        Value::Array(values) => values.iter_mut().for_each(without_volatile),
        _ => {}
    }
}

impl World {
    /// A cluster whose source has these repositories, one snapshot each. `None` when restic is missing.
    pub(crate) async fn set(test: &str, nodes: &[&str], options: ClusterOptions) -> Result<Option<Self>> {
        let Some(restic) = tool(test, "restic") else { return Ok(None) };
        let root = TestRoot::new("bad-input")?;
        let data = match &options.source_data {
            Some(data) => data.clone(),
            None => root.folder("old-data")?,
        };
        let tree = root.folder("tree")?;
        fill_tree(&tree, 3, TreeShape { files: 12, large_files: 0, large_bytes: 0 })?;
        for node in nodes {
            std::fs::create_dir_all(data.join(node).parent().unwrap_or(&data))?;
            let local = Restic::new(&restic, &root.path().join("home"), &data.to_string_lossy(), node)?;
            local.init().await?;
            local.backup(&tree).await?;
        }
        let options = ClusterOptions { source_data: Some(data), ..options };
        let cluster = Cluster::start(root.path(), options).await?;
        cluster.wait_nodes(nodes.len() as u64).await?;
        Ok(Some(Self { cluster, restic, root }))
    }

    /// All that the controller tells, and how many events it has recorded.
    pub(crate) async fn state(&self) -> Result<Value> {
        let cli = self.cluster.cli();
        let mut state = Value::Array(vec![cli.json(&["status"]).await?, cli.json(&["node", "list"]).await?]);
        without_volatile(&mut state);
        ensure!(state[0]["revision"].as_u64().is_some_and(|revision| revision > 0), "no revision in {state}");
        Ok(state)
    }

    /// Insists that nothing has changed since `before`.
    pub(crate) async fn unchanged(&self, before: &Value, by: &str) -> Result<()> {
        let now = self.state().await?;
        ensure!(now == *before, "{by} has changed something\nbefore: {before:#}\nafter: {now:#}");
        Ok(())
    }

    /// What a client with this login is answered when it lists a node's snapshots.
    pub(crate) async fn listing(&self, node: &str, login: Login) -> Result<Option<u16>> {
        ask(&self.cluster.peer(node, login)?, "GET", &format!("/{node}/snapshots/"), None).await
    }

    /// What such a client is answered when it uploads an object.
    pub(crate) async fn upload(&self, node: &str, login: Login, name: &str, body: Bytes) -> Result<Option<u16>> {
        // As restic does: over HTTP/2 an answer arrives whole even when it comes before the end of the upload.
        let peer = Peer { protocols: vec![Protocol::Http2], ..self.cluster.peer(node, login)? };
        ask(&peer, "POST", &format!("/{node}/data/{name}"), Some(body)).await
    }

    /// A part's or a person's certificate and key, as files of the cluster.
    pub(crate) fn credentials(&self, certificate: &Path, key: &Path) -> Result<Arc<Credentials>> {
        shardlift_pki::install_crypto_provider();
        let folder = self.cluster.folder();
        let paths = CredentialPaths {
            certificate: folder.join(certificate),
            key: folder.join(key),
            ca: folder.join("cluster/ca.pem"),
            legacy_ca: Vec::new(),
        };
        Credentials::load(paths).with_context(|| format!("loading {}", certificate.display()))
    }

    /// Applies a plan that moves these nodes to `shard-b` in one batch called `batch`.
    pub(crate) async fn apply_plan(&self, nodes: &[&str]) -> Result<()> {
        let moves: String = nodes.iter().map(|node| format!("\"{node}\" = \"shard-b\"\n")).collect();
        let text = format!(
            "version = 1\nrevision = 1\nbased_on = 0\nsource = \"source\"\nheadroom_percent = 1\n\
             [[batch]]\nname = \"batch\"\n[batch.nodes]\n{moves}"
        );
        let file = self.root.file("good.toml", text)?;
        let apply = ["plan".as_ref(), "apply".as_ref(), file.as_os_str(), "--revision".as_ref(), "1".as_ref()];
        self.cluster.cli().must(&apply).await
    }
}
