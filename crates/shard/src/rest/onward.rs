//! Through the gate: a request is carried out here, or passed on to the shard that the node has moved to.

use super::answer::{Answer, Reply};
use super::body::Body;
use super::connection::Connection;
use super::store::pour_out;
use super::{Asked, Rest};
use crate::admission::{Entry, FORWARD_GRACE, Onward, Permit};
use crate::engine::now;
use crate::forward::{ForwardError, Hop, Passage, Received};
use crate::rest::routes::Action;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// First and longest pause before a request is passed on once more.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What the gate says to a request that is not refused.
enum Entered {
    /// `None` only for the creation of a node that is not here yet.
    Here(Option<Permit>),
    Onward(Arc<Onward>),
}

impl Rest {
    /// Carries out what was asked, wherever the node is by now. Returns a word for the metrics with the answer.
    pub(super) async fn carry_out(
        &self,
        connection: &Connection,
        asked: Asked,
        request: Request<Incoming>,
        started: Instant,
    ) -> (&'static str, Answer) {
        let word = asked.action.word();
        let (head, body) = request.into_parts();
        let mut body = Passage::new(body);
        let mut pause = PAUSE_MIN;
        let wait_max = self.engine.config().park.wait;
        loop {
            // Asked again each time: a node may come back while its new writer cannot be reached.
            let onward = match self.enter(connection, &asked, started + wait_max).await {
                Err(reply) => return ("refused", reply.into_answer(&head.method)),
                Ok(Entered::Here(permit)) => {
                    let Some(body) = body.into_body() else { return (word, Reply::Broken.into_answer(&head.method)) };
                    return (word, self.act(asked, permit, Request::from_parts(head, body)).await);
                }
                Ok(Entered::Onward(onward)) => onward,
            };
            // The token as of now: a request that was parked came before the retirement.
            let hop = Hop { token: onward.token(), ..asked.hop.clone() };
            let sent = self.forwarder.send(&onward, &hop, &head, &mut body).await;
            let again = !body.is_touched() && started.elapsed() < wait_max;
            if !again || is_final(&sent) {
                return (word, self.relay(sent, onward, &head, body).await);
            }
            if let Err(error) = &sent {
                let (node, error) = (&asked.node, shardlift_api::fault::chain(error));
                tracing::debug!(%node, error, "a request waits for the writer");
            }
            // `None`: forwarding has ended, and the gate knows what comes instead.
            let _waited = onward.cancelled().run_until_cancelled(tokio::time::sleep(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// A client's new connection may have to wait for its turn, any request for the gate: together until `deadline`.
    async fn enter(&self, connection: &Connection, asked: &Asked, deadline: Instant) -> Result<Entered, Reply> {
        let (node, admission, deadline) = (&asked.node, self.engine.admission(), deadline);
        let entry = match admission.readmit(node, connection.newcomer(), deadline).await {
            Ok(()) => admission.enter_until(node, asked.access, deadline).await,
            Err(why) => Entry::Unavailable(why),
        };
        match entry {
            Entry::Admitted(permit) => Ok(Entered::Here(Some(permit))),
            Entry::Forward(onward) => Ok(Entered::Onward(Arc::new(onward))),
            Entry::Unknown if asked.action == Action::Create => Ok(Entered::Here(None)),
            Entry::Unknown => Err(Reply::Nothing),
            Entry::Unavailable(why) => {
                tracing::info!(%node, reason = %why, "a request was sent away");
                Err(Reply::Unavailable("the repository is being moved; try again"))
            }
        }
    }

    /// Hands the writer's answer to the client.
    async fn relay(
        &self,
        sent: Result<Response<Received>, ForwardError>,
        onward: Arc<Onward>,
        head: &Parts,
        body: Passage,
    ) -> Answer {
        let since = onward.forward().since;
        let mut answer = match sent {
            Ok(answer) => {
                self.metrics.forwarded();
                answer.map(|received| remote(received, &head.method, onward))
            }
            Err(error) => {
                let shard = &onward.forward().shard;
                tracing::warn!(%shard, error = shardlift_api::fault::chain(&error), "a request could not be passed on");
                self.metrics.forward_failed();
                // Before anything else is waited for: the end of forwarding waits for those that are.
                drop(onward);
                Reply::Unavailable("the repository is being moved; try again").into_answer(&head.method)
            }
        };
        if head.version < Version::HTTP_2 {
            let failed = !answer.status().is_success();
            if let Some(mut rest) = body.into_body().filter(|_| failed) {
                pour_out(&mut rest).await;
            }
            if now().since(since) >= FORWARD_GRACE {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
        }
        *answer.version_mut() = head.version;
        answer
    }
}

/// Anything but "not now". A shard that is no longer to forward does not become it by waiting: its clients are better off where the
/// routes lead them.
fn is_final(sent: &Result<Response<Received>, ForwardError>) -> bool {
    let status = match sent {
        Ok(answer) => answer.status(),
        Err(ForwardError::Refused(status)) => *status,
        Err(_) => return false,
    };
    status != StatusCode::SERVICE_UNAVAILABLE
}

fn remote(received: Received, method: &Method, onward: Arc<Onward>) -> Body {
    match received {
        _ if *method == Method::HEAD => Body::empty(),
        Received::Whole(bytes) => Body::Memory(bytes),
        Received::Stream(incoming) => Body::remote(incoming, onward),
    }
}
