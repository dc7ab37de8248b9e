//! From a request to its answer.
//!
//! The router is made from [`ROUTES`] alone, so that the policy table can be held against it. Size, method, what the
//! caller takes and whose token it carries are checked in this order, before anything is looked at.

use crate::access::{customer_of, now};
use crate::answer::{Form, bytes, json};
use crate::openapi;
use crate::policy::{self, Access};
use crate::problem::{Kind, Problem};
use crate::query::{NodeQuery, WorklogQuery, node_in, nothing};
use crate::scope::{OwnBatch, Scope};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::routing::any;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri};
use http_body::Body as _;
use serde::Serialize;
use shardlift_api::view::{NodeView, WorklogEntry, World};
use shardlift_model::NodeId;
use std::sync::Arc;
use tokio::sync::watch;

/// What answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Nodes,
    Node,
    Batches,
    Worklog,
    OpenApi,
    RevocationList,
    Health,
}

/// All routes.
pub(crate) const ROUTES: &[(&str, Endpoint)] = &[
    ("/v1/nodes", Endpoint::Nodes),
    ("/v1/nodes/{id}", Endpoint::Node),
    ("/v1/nodes/{account}/{name}", Endpoint::Node),
    ("/v1/batches", Endpoint::Batches),
    ("/v1/worklog", Endpoint::Worklog),
    ("/openapi.json", Endpoint::OpenApi),
    ("/pki/crl", Endpoint::RevocationList),
    ("/pki/crl/{issuer}", Endpoint::RevocationList),
    ("/healthz", Endpoint::Health),
];

/// Longest path with its parameters, in bytes.
pub(crate) const URI_BYTES_MAX: usize = 2048;

/// Sent with every answer: it is data, never a page, and for nobody's frame.
const SECURITY: [(HeaderName, HeaderValue); 5] = [
    (http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (http::header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (http::header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (http::header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// What all answers are made from.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) world: watch::Receiver<Arc<World>>,
    /// The check that a mutant leaves out.
    #[cfg(test)]
    pub(crate) blind: Option<crate::scope::Sight>,
}

impl App {
    pub(crate) const fn new(world: watch::Receiver<Arc<World>>) -> Self {
        Self {
            world,
            #[cfg(test)]
            blind: None,
        }
    }

    fn scope(&self, headers: &HeaderMap) -> Result<Scope, Problem> {
        let world = self.world.borrow().clone();
        if world.made_at.0 == 0 {
            return Err(Problem::unavailable("The controller is starting. Try again in a moment."));
        }
        let customer = customer_of(headers, &world, now())?;
        let scope = Scope::new(world, customer);
        #[cfg(test)]
        let scope = scope.blind_to(self.blind);
        Ok(scope)
    }
}

#[derive(Serialize)]
struct NodePage<'a> {
    nodes: Vec<&'a NodeView>,
    next: Option<&'a NodeId>,
}

#[derive(Serialize)]
struct BatchList<'a> {
    batches: Vec<OwnBatch<'a>>,
}

#[derive(Serialize)]
struct WorklogPage<'a> {
    entries: Vec<&'a WorklogEntry>,
    next: Option<u64>,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// The service.
pub(crate) fn router(app: App) -> Router {
    router_of(app, ROUTES)
}

pub(crate) fn router_of(app: App, routes: &[(&'static str, Endpoint)]) -> Router {
    let mut router = Router::new();
    for &(path, endpoint) in routes {
        let handler = move |State(app): State<App>, request: Request| async move {
            answer(&app, path, endpoint, &request).unwrap_or_else(Problem::into_response)
        };
        router = router.route(path, any(handler));
    }
    let nowhere = || async { no_such_path().into_response() };
    router.fallback(nowhere).with_state(app).layer(from_fn(finish))
}

const fn no_such_path() -> Problem {
    Problem::new(Kind::NotFound, "There is no such path. GET /openapi.json describes those there are.")
}

/// Another customer's node and one that does not exist are the same (INV-10).
const fn no_such_node() -> Problem {
    Problem::new(Kind::NotFound, "There is no such node.")
}

fn answer(app: &App, path: &'static str, endpoint: Endpoint, request: &Request) -> Result<Response<Body>, Problem> {
    let Some(row) = policy::row(path) else {
        tracing::error!(path, "a path without a row in the policy table is not served");
        return Err(no_such_path());
    };
    check_size(request)?;
    if !row.methods.contains(&request.method().as_str()) {
        return Err(Problem::method_not_allowed(row.methods));
    }
    let form = if endpoint == Endpoint::RevocationList { Form::RevocationList } else { Form::Json };
    if !form.is_taken(request.headers()) {
        return Err(Problem::new(Kind::NotAcceptable, form.wanted()));
    }
    let (uri, headers) = (request.uri(), request.headers());
    match (row.access, endpoint) {
        (Access::Customer, _) => for_customer(&app.scope(headers)?, endpoint, uri, headers),
        (Access::Public, Endpoint::OpenApi) => bytes(openapi::DOCUMENT.as_bytes().to_vec(), Form::Json, None, headers),
        (Access::Public, Endpoint::Health) => health(app, headers),
        (Access::Public, Endpoint::RevocationList) => revocation_list(app, uri, headers),
        (Access::Public, _) => {
            tracing::error!(path, "a customer's data may not be public");
            Err(no_such_path())
        }
    }
}

fn check_size(request: &Request) -> Result<(), Problem> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > URI_BYTES_MAX {
        return Err(Problem::new(Kind::UriTooLong, "At most 2048 bytes."));
    }
    // Nothing here reads a body, so none is taken in.
    if !request.body().is_end_stream() || request.headers().contains_key(TRANSFER_ENCODING) {
        return Err(Problem::new(Kind::TooLarge, "A request has no body here."));
    }
    Ok(())
}

fn for_customer(scope: &Scope, endpoint: Endpoint, uri: &Uri, headers: &HeaderMap) -> Result<Response<Body>, Problem> {
    let customer = Some(scope.customer());
    match endpoint {
        Endpoint::Nodes => json(&node_page(scope, &NodeQuery::of(uri)?), customer, headers),
        Endpoint::Node => {
            nothing(uri)?;
            let node = node_in(uri, "/v1/nodes/").and_then(|node| scope.node(&node)).ok_or(no_such_node())?;
            json(node, customer, headers)
        }
        Endpoint::Batches => {
            nothing(uri)?;
            json(&BatchList { batches: scope.batches().collect() }, customer, headers)
        }
        Endpoint::Worklog => json(&worklog_page(scope, &WorklogQuery::of(uri)?), customer, headers),
        Endpoint::OpenApi => bytes(openapi::DOCUMENT.as_bytes().to_vec(), Form::Json, customer, headers),
        // It has a row for everybody.
        Endpoint::RevocationList => Err(no_such_path()),
        Endpoint::Health => json(&Health { status: "ok" }, customer, headers),
    }
}

fn node_page<'a>(scope: &'a Scope, query: &NodeQuery) -> NodePage<'a> {
    let wanted = |node: &&NodeView| query.state.is_none_or(|state| node.state == state);
    let mut nodes: Vec<_> = scope.nodes_after(query.after.as_ref()).filter(wanted).take(query.limit + 1).collect();
    let more = nodes.len() > query.limit;
    nodes.truncate(query.limit);
    let next = nodes.last().filter(|_| more).map(|node| &node.node);
    NodePage { nodes, next }
}

fn worklog_page<'a>(scope: &'a Scope, query: &WorklogQuery) -> WorklogPage<'a> {
    let mut entries: Vec<_> = scope.worklog_after(query.after).take(query.limit + 1).collect();
    let more = entries.len() > query.limit;
    entries.truncate(query.limit);
    let next = entries.last().filter(|_| more).map(|entry| entry.id);
    WorklogPage { entries, next }
}

/// For proxies and other programs that check certificates; it names serials alone. Without a name, of the CA that signs now.
fn revocation_list(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<Response<Body>, Problem> {
    let world = app.world.borrow().clone();
    let first = world.revocation_lists.first();
    let first = first.ok_or_else(|| Problem::unavailable("No revocation list was made yet."))?;
    let found = match uri.path().strip_prefix("/pki/crl/") {
        Some(issuer) => world.revocation_lists.iter().find(|(name, _)| name == issuer),
        None => Some(first),
    };
    let (_, list) = found.ok_or(Problem::new(Kind::NotFound, "No CA that signs lists has this name."))?;
    bytes(list.to_vec(), Form::RevocationList, None, headers)
}

/// Whether there is something to answer from, and somebody who keeps it fresh.
fn health(app: &App, headers: &HeaderMap) -> Result<Response<Body>, Problem> {
    let published = app.world.borrow().made_at.0 > 0;
    if app.world.has_changed().is_err() || !published {
        return Err(Problem::unavailable("The controller does not publish its state."));
    }
    json(&Health { status: "ok" }, None, headers)
}

/// What every answer gets, refusals included.
async fn finish(request: Request, next: Next) -> Response<Body> {
    let head = request.method() == Method::HEAD;
    let mut response = next.run(request).await;
    response.headers_mut().extend(SECURITY);
    if head {
        let length =
            response.body().size_hint().exact().filter(|_| response.status() != http::StatusCode::NOT_MODIFIED);
        if let Some(length) = length {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        *response.body_mut() = Body::empty();
    }
    response
}
