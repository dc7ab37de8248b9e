//! The restic REST protocol, versions 1 and 2, towards clients.
//!
//! A request's way: who asks ([`crate::auth`]), what its path names (`path`), whether the method exists there (`routes`),
//! whether the node is the client's own, whether the node takes requests now ([`crate::admission`]: it may have to wait), and
//! only then the engine. Errors are a status and a word; reasons stay in the log.
//!
//! A node that moves is never answered 401, 403 or 404 for that reason: clients take those as final, and a missing listing as
//! an empty one. They wait, are answered by the new writer (`onward`), or get 503, which every client tries again. What another
//! shard forwards (`arrival`) takes the same way in; it was authenticated there.

mod answer;
mod arrival;
mod body;
mod connection;
mod listing;
mod onward;
mod path;
mod range;
mod read;
mod routes;
mod store;

pub(crate) use connection::{Connection, Connections};

use crate::admission::{Access, Permit};
use crate::auth::htpasswd::Passwords;
use crate::auth::{Client, ClientAuth, Denied};
use crate::engine::{Engine, NodeSnapshot, now};
use crate::forward::{Forwarder, Hop};
use crate::metrics::Metrics;
use crate::session::{Deed, Sessions};
use crate::throttle::Operation;
use answer::{Answer, Reply};
use http::{HeaderValue, Request, StatusCode, Version, header};
use hyper::body::Incoming;
use path::Target;
use routes::{Action, PathKind, Row};
use shardlift_model::activity::Counts;
use shardlift_model::{NodeId, Token};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What every request needs.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) engine: Arc<Engine>,
    pub(crate) mode: ClientAuth,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) forwarder: Forwarder,
    /// Whether an owner may create a repository that is not here yet.
    pub(crate) create_nodes: bool,
    /// How long a client may be silent in the middle of a body.
    pub(crate) body_idle_max: Duration,
}

/// A request that was understood and that its client may make.
struct Asked {
    node: NodeId,
    target: Target,
    action: Action,
    access: Access,
    /// What is said of it if it has to go on to another shard; its token is filled in then.
    hop: Hop,
}

impl Rest {
    /// Answers one request. Never fails: what goes wrong becomes a status.
    pub(crate) async fn handle(&self, connection: &Connection, request: Request<Incoming>) -> Answer {
        let started = Instant::now();
        let version = request.version();
        connection.used();
        let (word, mut answer) = match self.ask(connection, &request).await {
            Ok(asked) => self.carry_out(connection, asked, request, started).await,
            Err(reply) => ("refused", reply.into_answer(request.method())),
        };
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            connection.close_soon();
            // HTTP/2 has GOAWAY for this.
            if version < Version::HTTP_2 {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
        }
        self.metrics.request(word, answer.status().as_u16(), started.elapsed());
        answer
    }

    async fn ask(&self, connection: &Connection, request: &Request<Incoming>) -> Result<Asked, Reply> {
        if connection.is_forwarded() {
            return self.arrival(connection, request);
        }
        let authorization = request.headers().get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
        let client = Client::authenticate(self.mode, connection.peer(), authorization, &self.passwords)
            .await
            .map_err(|denied| self.deny(connection, denied))?;
        let target = Target::parse(request.uri().path()).ok_or(Reply::Nothing)?;
        let row = row(&target, request)?;
        let node = target.node().clone();
        let known = self.engine.node(&node);
        let legacy_ended = known.as_ref().is_some_and(|known| known.settings.legacy_credentials_ended);
        if !client.owns(&node, legacy_ended) {
            tracing::warn!(%node, address = ?connection.peer().address, "a client asked for a node that is not its own");
            self.metrics.refuse("other_node");
            return Err(self.unauthenticated());
        }
        connection.bind(&self.connections, &node);
        self.check_known(&node, known.as_ref(), row.action)?;
        let hop = Hop { node: node.clone(), token: Token::default(), hops: 1, legacy: !client.owns(&node, true) };
        Ok(Asked { node, target, action: row.action, access: row.access(), hop })
    }

    fn check_known(&self, node: &NodeId, known: Option<&NodeSnapshot>, action: Action) -> Result<(), Reply> {
        match known {
            Some(_) => Ok(()),
            // Not 404: the client may only be at the wrong shard for a moment, and would take it for an empty repository.
            None if !self.create_nodes => {
                tracing::warn!(%node, "a client asked for a node that this shard does not have");
                Err(Reply::Unavailable("this server does not hold the repository"))
            }
            None if action != Action::Create => Err(Reply::Nothing),
            None => Ok(()),
        }
    }

    fn deny(&self, connection: &Connection, denied: Denied) -> Reply {
        tracing::info!(address = ?connection.peer().address, reason = %denied, "request without valid credentials");
        self.metrics.refuse("credentials");
        self.unauthenticated()
    }

    fn unauthenticated(&self) -> Reply {
        Reply::Unauthenticated { offer_basic: self.mode.takes_passwords() }
    }

    /// Does it here. `permit` is `None` only for the creation of a node that is not here yet: there is no gate to go through.
    async fn act(&self, asked: Asked, permit: Option<Permit>, request: Request<Incoming>) -> Answer {
        let (began, method) = (Instant::now(), request.method().clone());
        let Asked { node, target, action, .. } = asked;
        let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        if let Some(agent) = agent {
            self.engine.note_client(&node, agent);
        }
        let throttle = self.engine.throttle();
        let _client = throttle.client();
        let mut own = throttle.own_time();
        let done = match (action, target, permit) {
            (Action::Create, Target::Repository(_), permit) => self.create(&node, &request, permit).await,
            (Action::List, Target::Listing(_, kind), Some(permit)) => {
                own.of(self.list(&node, kind, &request, permit)).await
            }
            (Action::Measure, Target::Object(_, key), Some(permit)) => own.of(self.measure(&node, key, permit)).await,
            (Action::Read, Target::Object(_, key), Some(permit)) => {
                own.of(self.read(&node, key, &request, permit)).await
            }
            (Action::Store, Target::Object(_, key), Some(permit)) => self.store(&node, key, request, permit).await,
            (Action::Delete, Target::Object(_, key), Some(permit)) => own.of(self.delete(&node, key, permit)).await,
            // The route table pairs each action with its path kind.
            _ => Err(Reply::Nothing),
        };
        let answer = done.unwrap_or_else(|reply| reply.into_answer(&method));
        let readmission = self.engine.readmission();
        match (answer.status(), action) {
            (StatusCode::INTERNAL_SERVER_ERROR, _) => readmission.failed(),
            // Its time is mostly its client's; the shard's part of it is measured where it is done.
            (_, Action::Store) => {}
            _ => readmission.done(began.elapsed()),
        }
        if let Some(operation) = action.operation() {
            self.count(&node, own.done(operation));
        }
        if answer.status().is_client_error() || answer.status().is_server_error() {
            self.note(&node, Deed::Failed).await;
        }
        answer
    }

    async fn create(
        &self,
        node: &NodeId,
        request: &Request<Incoming>,
        _permit: Option<Permit>,
    ) -> Result<Answer, Reply> {
        if request.uri().query() != Some("create=true") {
            return Err(Reply::Invalid("create=true is expected"));
        }
        self.engine.create_node(node).await.map_err(|error| Reply::of_engine(node, error))?;
        Ok(answer::empty(StatusCode::OK))
    }

    /// Takes note of a deed in the session accounting.
    async fn note(&self, node: &NodeId, deed: Deed) {
        let noted = self.sessions.note(node, deed, now());
        let session = if noted.began { Counts::session() } else { Counts::default() };
        match deed {
            Deed::Stored(_, bytes) => self.engine.note_activity(node, Counts { bytes_in: bytes, ..session }),
            Deed::Sent(bytes) => self.engine.note_activity(node, Counts { bytes_out: bytes, ..session }),
            Deed::Deleted(_) | Deed::Failed => {}
        }
        if let Some(record) = noted.ended
            && let Err(error) = self.engine.record_session(node, record).await
        {
            tracing::error!(%node, %error, "a session could not be recorded");
        }
    }

    /// Counts a request that took the shard so long.
    fn count(&self, node: &NodeId, own_time: Duration) {
        self.engine.note_activity(node, Counts::request(u64::try_from(own_time.as_micros()).unwrap_or(u64::MAX)));
    }
}

/// The route table's row for a request.
fn row(target: &Target, request: &Request<Incoming>) -> Result<&'static Row, Reply> {
    let kind = PathKind::of(target);
    routes::find(kind, request.method()).ok_or_else(|| Reply::NoMethod(kind.allowed()))
}

impl Action {
    /// What is measured of it here; a store is measured where it is done.
    const fn operation(self) -> Option<Operation> {
        match self {
            Self::List => Some(Operation::List),
            Self::Measure => Some(Operation::Measure),
            Self::Read => Some(Operation::Read),
            Self::Delete => Some(Operation::Delete),
            Self::Create | Self::Store => None,
        }
    }

    /// The word used in metrics.
    const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::List => "list",
            Self::Measure => "measure",
            Self::Read => "read",
            Self::Store => "store",
            Self::Delete => "delete",
        }
    }
}
