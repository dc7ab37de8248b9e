//! What the shards say of the copy: asked with the controller's certificate, or, for what a follower asks, with the target's.

use crate::bench::moving::command::RUN_TIME_MAX;
use crate::cluster::Cluster;
use anyhow::{Context as _, Result, bail, ensure};
use shardlift_api::v1::replication_client::ReplicationClient;
use shardlift_api::v1::shard_control_client::ShardControlClient;
use shardlift_api::v1::{GetNodeRequest, NodeStatus, ReadJournalRequest, Replica, ReplicaPhase};
use shardlift_model::Role;
use shardlift_pki::tls::{CredentialPaths, Credentials, Expected, channel};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Code;
use tonic::transport::Channel;

/// Between two looks at a copy that is made: as exact as the figure is.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Between two looks at a copy that catches up.
const CLOSE_LOOK_PAUSE: Duration = Duration::from_millis(5);

/// Sees both shards.
pub(super) struct Watch {
    node: String,
    controller: Arc<Credentials>,
    as_target: Arc<Credentials>,
    source_address: String,
    source: ShardControlClient<Channel>,
    target: ShardControlClient<Channel>,
}

fn credentials(folder: &Path, certificate: &str, key: &str) -> Result<Arc<Credentials>> {
    shardlift_pki::install_crypto_provider();
    let paths = CredentialPaths {
        certificate: folder.join(certificate),
        key: folder.join(key),
        ca: folder.join("cluster/ca.pem"),
        legacy_ca: Vec::new(),
    };
    Credentials::load(paths).with_context(|| format!("loading {certificate}"))
}

fn is_level(replica: &Replica, seq: u64) -> bool {
    let follows = replica.phase() == ReplicaPhase::Following && replica.waiting_for.is_empty();
    follows && replica.applied_seq == seq && replica.source_seq == seq
}

impl Watch {
    pub(super) fn new(cluster: &Cluster, node: &str, target: &str) -> Result<Self> {
        let controller = credentials(cluster.folder(), "cluster/controller.pem", "cluster/controller.key")?;
        let as_target = credentials(cluster.folder(), &format!("{target}/shard.pem"), &format!("{target}/shard.key"))?;
        let line = |shard: &str| -> Result<_> {
            let address = cluster.address(shard, "control")?.to_string();
            Ok(ShardControlClient::new(channel(&controller, &address, Expected::one(Role::Shard, shard))))
        };
        let (source_address, source) = (cluster.address("source", "control")?.to_string(), line("source")?);
        let target = line(target)?;
        Ok(Self { node: node.to_owned(), controller, as_target, source_address, source, target })
    }

    fn request(&self) -> GetNodeRequest {
        GetNodeRequest { node: self.node.clone() }
    }

    /// The last change at the source.
    pub(super) async fn source_seq(&mut self) -> Result<u64> {
        let request = self.request();
        Ok(self.source.get_node(request).await?.into_inner().seq)
    }

    /// The copy, as soon as there is one. A copy that failed is an error.
    async fn copy(&mut self) -> Result<Option<Replica>> {
        let request = self.request();
        let status: NodeStatus = match self.target.get_node(request).await {
            Ok(status) => status.into_inner(),
            // It does not know the node yet, or has just been started.
            Err(status) if matches!(status.code(), Code::NotFound | Code::Unavailable) => return Ok(None),
            Err(status) => return Err(status).context("asking the target"),
        };
        if let Some(replica) = &status.replica {
            ensure!(replica.failure.is_empty(), "the copy failed: {}", replica.failure);
        }
        Ok(status.replica)
    }

    async fn until(&mut self, pause: Duration, mut done: impl FnMut(&Replica) -> bool) -> Result<Replica> {
        let mut tick = tokio::time::interval(pause);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (deadline, mut last) = (Instant::now() + RUN_TIME_MAX, None);
        while Instant::now() < deadline {
            tick.tick().await;
            last = self.copy().await?;
            if let Some(replica) = &last
                && done(replica)
            {
                return Ok(replica.clone());
            }
        }
        bail!("not within {RUN_TIME_MAX:?}; the copy is at {last:?}")
    }

    /// Comes back when the target has all of this many objects and follows; says when it had begun, by `since`.
    pub(super) async fn copied(&mut self, objects: u64, since: Instant) -> Result<f64> {
        let mut began = None;
        let copy = self.until(LOOK_PAUSE, |replica| {
            began.get_or_insert_with(|| since.elapsed().as_secs_f64());
            replica.objects_done == objects && is_level(replica, replica.source_seq)
        });
        let copy = copy.await?;
        ensure!(copy.objects_total == objects, "the source has {} objects instead of {objects}", copy.objects_total);
        began.context("nothing was seen of the copy")
    }

    /// Comes back when all was read again at the target and found equal.
    pub(super) async fn verified(&mut self) -> Result<()> {
        self.until(LOOK_PAUSE, |replica| replica.verified.is_some()).await.map(drop)
    }

    /// Comes back when the target has applied all up to this change.
    pub(super) async fn caught_up(&mut self, seq: u64) -> Result<()> {
        self.until(CLOSE_LOOK_PAUSE, |replica| is_level(replica, seq)).await.map(drop)
    }

    fn new_line(&self, credentials: &Arc<Credentials>) -> Channel {
        channel(credentials, &self.source_address, Expected::one(Role::Shard, "source"))
    }

    /// What a follower asks, on a new connection; there must be nothing to tell.
    pub(super) async fn asks_for_changes(&self, seq: u64) -> Result<()> {
        let request = ReadJournalRequest { node: self.node.clone(), after_seq: seq, limit: 1, wait_ms: 0 };
        let mut line = ReplicationClient::new(self.new_line(&self.as_target));
        let answer = line.read_journal(request).await?.into_inner();
        ensure!(answer.changes.is_empty() && answer.seq == seq, "there were changes after {seq}: {answer:?}");
        Ok(())
    }

    /// Any other question, on a new connection.
    pub(super) async fn question(&self) -> Result<()> {
        let mut line = ShardControlClient::new(self.new_line(&self.controller));
        line.get_node(self.request()).await?;
        Ok(())
    }
}
