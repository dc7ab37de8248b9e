//! The controller's commands. Who may call is decided by the policy layer; what is asked is decided by the table's rules.

use crate::changes::{ChangeError, Changes};
use crate::metrics::{Closed, Metrics};
use crate::store::StoreError;
use crate::table::{Change, Refused, Route};
use shardlift_api::convert;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_api::v1::router_control_server::{RouterControl, RouterControlServer};
use shardlift_custody::RevokedFiles;
use shardlift_model::{RouterId, ServerName};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Routes of one page or of one change, at most; a message stays under 4 MiB.
const PAGE_MAX: usize = 10_000;

/// Server names that can be asked for at once.
const NAMES_MAX: usize = 10_000;

/// The gRPC service.
#[derive(Debug, Clone)]
pub struct Control {
    /// This router.
    pub router: RouterId,
    /// host:port that clients connect to.
    pub client_address: String,
    /// Where names lead, and how that changes.
    pub changes: Arc<Changes>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What was revoked.
    pub revoked: Arc<RevokedFiles>,
}

impl Control {
    /// As a service of a gRPC server.
    #[must_use]
    pub fn into_service(self) -> RouterControlServer<Self> {
        RouterControlServer::new(self)
    }
}

#[tonic::async_trait]
impl RouterControl for Control {
    async fn apply_routes(
        &self,
        request: Request<v1::ApplyRoutesRequest>,
    ) -> Result<Response<v1::ApplyRoutesResponse>, Status> {
        let change = change(request.into_inner())?;
        let (version, count) = (change.version, change.upserts.len());
        let version = self.changes.apply(change).await.map_err(|error| {
            tracing::warn!(version, routes = count, %error, "a change of the routes is not done");
            fault(error)
        })?;
        tracing::info!(version, routes = count, "routes changed");
        Ok(Response::new(v1::ApplyRoutesResponse { version }))
    }

    async fn get_routes(
        &self,
        request: Request<v1::GetRoutesRequest>,
    ) -> Result<Response<v1::GetRoutesResponse>, Status> {
        let request = request.into_inner();
        let table = self.changes.done();
        if !request.server_names.is_empty() {
            let names = names(&request.server_names)?;
            let routes = names.iter().filter_map(|name| table.find(name)).map(message).collect();
            return Ok(Response::new(v1::GetRoutesResponse { version: table.version(), routes, next: String::new() }));
        }
        let after =
            (!request.after.is_empty()).then(|| convert::name::<ServerName>("after", &request.after)).transpose()?;
        let limit = match request.limit as usize {
            0 => PAGE_MAX,
            limit => limit.min(PAGE_MAX),
        };
        let mut routes: Vec<_> = table.after(after.as_ref()).take(limit + 1).map(message).collect();
        let more = routes.len() > limit;
        routes.truncate(limit);
        let next = routes.last().filter(|_| more).map(|route| route.server_name.clone()).unwrap_or_default();
        Ok(Response::new(v1::GetRoutesResponse { version: table.version(), routes, next }))
    }

    async fn describe_router(
        &self,
        _request: Request<v1::DescribeRouterRequest>,
    ) -> Result<Response<v1::DescribeRouterResponse>, Status> {
        let table = self.changes.done();
        Ok(Response::new(v1::DescribeRouterResponse {
            router: self.router.to_string(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            version: table.version(),
            routes: table.len() as u64,
            open_connections: self.metrics.open(),
            unknown_names: self.metrics.closed(Closed::UnknownName),
            client_address: self.client_address.clone(),
            revocations: self.revoked.held(),
        }))
    }

    async fn take_revocations(
        &self,
        request: Request<v1::TakeRevocationsRequest>,
    ) -> Result<Response<v1::TakeRevocationsResponse>, Status> {
        Ok(Response::new(self.revoked.take_brought(request.into_inner()).await?))
    }
}

fn names(texts: &[String]) -> Result<Vec<ServerName>, Fault> {
    if texts.len() > NAMES_MAX {
        return Err(Fault::new(FaultKind::Invalid, format!("server_names: at most {NAMES_MAX}")));
    }
    texts.iter().map(|text| convert::name("server_names", text)).collect()
}

fn change(request: v1::ApplyRoutesRequest) -> Result<Change, Fault> {
    if request.upserts.len() > PAGE_MAX {
        return Err(Fault::new(FaultKind::Invalid, format!("upserts: at most {PAGE_MAX} in one change")));
    }
    let upserts = request.upserts.into_iter().map(route).collect::<Result<_, Fault>>()?;
    Ok(Change { version: request.version, upserts })
}

fn route(route: v1::Route) -> Result<Route, Fault> {
    Ok(Route {
        server_name: convert::name("server_name", &route.server_name)?,
        node: convert::node(&route.node)?,
        shard: convert::name("shard", &route.shard)?,
        client_address: route.client_address,
        token: convert::token(route.token)?,
        sever: route.sever,
    })
}

fn message(route: &Route) -> v1::Route {
    v1::Route {
        server_name: route.server_name.to_string(),
        node: route.node.to_string(),
        shard: route.shard.to_string(),
        client_address: route.client_address.clone(),
        token: Some(route.token.into()),
        sever: route.sever,
    }
}

fn fault(error: ChangeError) -> Fault {
    match error {
        ChangeError::StillOpen | ChangeError::Stopped => Fault::new(FaultKind::Unavailable, error.to_string()),
        ChangeError::Store(StoreError::Refused(refused)) => {
            let kind = match &refused {
                Refused::StaleVersion { .. } | Refused::StaleToken { .. } => FaultKind::StaleToken,
                Refused::Contradiction(_) | Refused::NameTaken { .. } => FaultKind::Refused,
                Refused::Twice(_) | Refused::BadAddress(_) => FaultKind::Invalid,
                Refused::TooMany => FaultKind::Exhausted,
            };
            Fault::new(kind, refused.to_string())
        }
        ChangeError::Store(error) => Fault::internal(error),
    }
}
