//! Calls that the policy has refused, before any service heard of them.

use super::{Asker, Audit, deed, who};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::policy::RefusedByPolicy;
use shardlift_audit::Entry;
use shardlift_model::Peer;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// Around the guard of a server.
#[derive(Debug, Clone)]
pub(crate) struct PolicyLayer(pub(crate) Audit);

/// [`PolicyLayer`] around a service.
#[derive(Debug, Clone)]
pub(crate) struct Noting<S> {
    inner: S,
    audit: Audit,
}

impl<S> Layer<S> for PolicyLayer {
    type Service = Noting<S>;

    fn layer(&self, inner: S) -> Noting<S> {
        Noting { inner, audit: self.0.clone() }
    }
}

impl<S, B, R> Service<http::Request<B>> for Noting<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send,
    R: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let (asker, who) = who(request.extensions().get::<Peer>());
        let path = request.uri().path().to_owned();
        let answering = self.inner.call(request);
        let audit = self.audit.clone();
        Box::pin(async move {
            let response = answering.await?;
            if let Some(RefusedByPolicy) = response.extensions().get() {
                note(&audit, asker, &who, &path).await;
            }
            Ok(response)
        })
    }
}

async fn note(audit: &Audit, asker: Asker, who: &str, path: &str) {
    let kind = match asker {
        Asker::Stranger => FaultKind::Unauthenticated,
        Asker::Member => FaultKind::Forbidden,
    };
    let fault = Fault::new(kind, "the policy does not allow it");
    audit.refused(asker, Entry::new(who, deed::CALL, path, kind.code()), &fault).await;
}
