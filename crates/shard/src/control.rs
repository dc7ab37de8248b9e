//! The controller's commands and questions: the `ShardControl` service.
//!
//! Every command is checked for its form, its token is persisted by the engine before anything else happens (INV-03), and
//! what it does is idempotent: a repetition with the same token has the same outcome. Whether a command is legal in the
//! node's mode is decided by [`crate::admission`] and the engine, inside the transaction that holds the token; here is only
//! the order of things around it, above all that a replica job has ended before its node is promoted or discarded.

mod aftermath;
mod commands;
mod describe;
pub(crate) mod fault;
mod limits;
pub(crate) mod message;

use crate::engine::Engine;
use crate::replication::ReplicaJobs;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_api::v1::shard_control_server::{ShardControl, ShardControlServer};
use shardlift_custody::RevokedFiles;
use shardlift_model::{Peer, Role, ShardId};
use std::fmt;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// What a shard says about itself.
#[derive(Debug, Clone)]
pub struct About {
    /// Its name.
    pub shard: ShardId,
    /// `host:port` that routers pass clients to.
    pub client_address: String,
    /// `host:port` that other shards pull from.
    pub peer_address: String,
    /// Bytes per second that it serves its clients without strain; `None`: nobody has said.
    pub load_capacity: Option<u64>,
}

/// Says how many client connections a node has. Asked for every status, so it must be cheap.
pub type ConnectionCount = Arc<dyn Fn(&shardlift_model::NodeId) -> u64 + Send + Sync>;

/// The service behind the control listener.
#[derive(Clone)]
pub struct Control {
    about: About,
    engine: Arc<Engine>,
    jobs: Arc<ReplicaJobs>,
    connections: ConnectionCount,
    revoked: Arc<RevokedFiles>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("about", &self.about).finish_non_exhaustive()
    }
}

/// The gRPC service for the controller.
#[must_use]
pub fn service(
    about: About,
    engine: &Arc<Engine>,
    jobs: &Arc<ReplicaJobs>,
    connections: ConnectionCount,
    revoked: &Arc<RevokedFiles>,
) -> ShardControlServer<Control> {
    let (engine, jobs, revoked) = (Arc::clone(engine), Arc::clone(jobs), Arc::clone(revoked));
    ShardControlServer::new(Control { about, engine, jobs, connections, revoked })
}

/// The policy layer has asked already; a service that is served without it stays closed all the same.
fn controller_only<T>(request: Request<T>) -> Result<T, Fault> {
    let identity = request.extensions().get::<Peer>().and_then(Peer::identity);
    match identity.map(shardlift_model::Identity::role) {
        Some(Role::Controller) => Ok(request.into_inner()),
        Some(_) => Err(Fault::new(FaultKind::Forbidden, "only the controller may call this")),
        None => Err(Fault::new(FaultKind::Unauthenticated, "a certificate of this cluster is required")),
    }
}

macro_rules! answers {
    ($($method:ident($request:ident) -> $response:ident;)*) => {
        #[tonic::async_trait]
        impl ShardControl for Control {
            $(async fn $method(
                &self,
                request: Request<v1::$request>,
            ) -> Result<Response<v1::$response>, Status> {
                let request = controller_only(request)?;
                Ok(Response::new(self.$method(request).await?))
            })*
        }
    };
}

answers! {
    describe_shard(DescribeShardRequest) -> DescribeShardResponse;
    get_limits(GetLimitsRequest) -> LimitsStatus;
    set_limits(SetLimitsRequest) -> LimitsStatus;
    take_revocations(TakeRevocationsRequest) -> TakeRevocationsResponse;
    list_nodes(ListNodesRequest) -> ListNodesResponse;
    get_node(GetNodeRequest) -> NodeStatus;
    get_history(GetHistoryRequest) -> NodeHistory;
    list_activity(ListActivityRequest) -> ListActivityResponse;
    set_node(SetNodeRequest) -> NodeStatus;
    offer_node(OfferNodeRequest) -> NodeStatus;
    start_replica(StartReplicaRequest) -> NodeStatus;
    verify_replica(VerifyReplicaRequest) -> NodeStatus;
    deep_verify(DeepVerifyRequest) -> NodeStatus;
    fence(FenceRequest) -> FenceResponse;
    renew_fence(RenewFenceRequest) -> RenewFenceResponse;
    unfence(UnfenceRequest) -> NodeStatus;
    complete_replica(CompleteReplicaRequest) -> CompleteReplicaResponse;
    seal(SealRequest) -> SealResponse;
    promote(PromoteRequest) -> NodeStatus;
    retire(RetireRequest) -> NodeStatus;
    detach(DetachRequest) -> NodeStatus;
    quarantine(QuarantineRequest) -> NodeStatus;
    restore(RestoreRequest) -> NodeStatus;
    take_stock(TakeStockRequest) -> TakeStockResponse;
    depose(DeposeRequest) -> NodeStatus;
    end_legacy_credentials(EndLegacyCredentialsRequest) -> NodeStatus;
    discard_replica(DiscardReplicaRequest) -> NodeStatus;
}
