//! A small world, its tokens, and a caller.

use crate::routes::{App, router};
use crate::scope::Sight;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use shardlift_api::view::{Access, BatchView, NodeView, WayBack, WorklogEntry, World};
use shardlift_model::{ByteCount, UnixMillis};
use shardlift_pki::enrolment::AccessToken;
use std::sync::Arc;
use tokio::sync::watch;
use tower::ServiceExt as _;

pub(super) const NEVER: UnixMillis = UnixMillis(u64::MAX);

/// A service and who publishes for it.
pub(super) struct Stage {
    pub(super) world: watch::Sender<Arc<World>>,
    pub(super) blind: Option<Sight>,
}

/// An answer that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Got {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn names(&self, list: &str, name: &str) -> Vec<String> {
        let list = self.json()[list].as_array().unwrap().clone();
        list.iter().map(|one| one[name].to_string().trim_matches('"').to_owned()).collect()
    }
}

impl Stage {
    pub(super) fn new(world: World) -> Self {
        Self { world: watch::channel(Arc::new(world)).0, blind: None }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Got {
        let app = App { blind: self.blind, ..App::new(self.world.subscribe()) };
        let response = router(app).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap();
        Got { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn get(&self, path: &str, token: &AccessToken) -> Got {
        self.send(request(Method::GET, path, Some(token), &[])).await
    }
}

pub(super) fn request(
    method: Method,
    path: &str,
    token: Option<&AccessToken>,
    headers: &[(&str, &str)],
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {}", *token.text()));
    }
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(Body::empty()).unwrap()
}

pub(super) fn grant(world: &mut World, customer: &str, expires_at: UnixMillis) -> AccessToken {
    let token = AccessToken::create().unwrap();
    world.access.insert(token.hash(), Access { customer: customer.parse().unwrap(), expires_at });
    token
}

pub(super) fn node(name: &str, customer: &str, state: &'static str) -> NodeView {
    NodeView {
        node: name.parse().unwrap(),
        customer: customer.parse().unwrap(),
        server_name: format!("{}.backup.example", name.replace('/', "--")).parse().unwrap(),
        state,
        summary: "This node is being copied.".to_owned(),
        shard: "shard-a".parse().unwrap(),
        target: Some("shard-b".parse().unwrap()),
        batch: Some("canary".parse().unwrap()),
        progress_percent: Some(40),
        bytes: ByteCount(1000),
        snapshots: 3,
        last_backup_at: Some(UnixMillis(5)),
        certificate: "issued",
        to_do: vec!["Run one backup with the new certificate.".to_owned()],
        way_back: Some(WayBack { lag: 2, takes_ms: 510, snapshots_kept: 1 }),
    }
}

pub(super) fn batch(name: &str, nodes: &[&str]) -> BatchView {
    BatchView {
        batch: name.parse().unwrap(),
        phase: "preparing",
        paused: false,
        nodes: nodes.iter().map(|node| node.parse().unwrap()).collect(),
        progress_percent: 40,
        started_at: Some(UnixMillis(2)),
        committed_at: None,
    }
}

pub(super) fn entry(id: u64, node: Option<&str>, customers: &[&str], text: &str) -> WorklogEntry {
    WorklogEntry {
        id,
        at: UnixMillis(id),
        node: node.map(|node| node.parse().unwrap()),
        customers: customers.iter().map(|customer| customer.parse().unwrap()).collect(),
        text: text.to_owned(),
    }
}

/// Two customers that share a batch; `acme` has three nodes, `bolt` has two.
pub(super) fn two_customers() -> (Stage, AccessToken, AccessToken) {
    let nodes = [
        node("acme/db", "acme", "moved"),
        node("acme/web-1", "acme", "copying"),
        node("bolt/mail", "bolt", "copying"),
        node("bolt/www", "bolt", "copying"),
        node("zeta", "acme", "copying"),
    ];
    let mut world = World {
        revision: 7,
        made_at: UnixMillis(9),
        nodes: nodes.into_iter().map(|node| (node.node.clone(), node)).collect(),
        batches: vec![batch("canary", &["acme/web-1", "bolt/mail"]), batch("second", &["bolt/www"])],
        worklog: vec![
            entry(1, None, &[], "A plan came into force."),
            entry(2, Some("acme/web-1"), &["acme"], "acme/web-1 is copied."),
            entry(4, Some("bolt/mail"), &["bolt"], "bolt/mail is copied."),
            entry(5, None, &["acme", "bolt"], "Batch canary goes on."),
            // It was acme's then and is bolt's now.
            entry(6, Some("bolt/www"), &["acme"], "bolt/www was found."),
        ],
        revocation_lists: vec![
            ("issuing-2".to_owned(), Arc::from(*b"a list")),
            ("issuing-1".to_owned(), Arc::from(*b"an older CA's")),
        ],
        ..World::default()
    };
    let (acme, bolt) = (grant(&mut world, "acme", NEVER), grant(&mut world, "bolt", NEVER));
    (Stage::new(world), acme, bolt)
}
