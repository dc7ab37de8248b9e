//! The listeners of a controller, and what runs behind them until told to stop.

use super::ControllerError;
use crate::audit::{Audit, PolicyLayer};
use crate::config::ControllerConfig;
use crate::effects::Context;
use crate::enrolment::EnrolmentService;
use crate::issuer::Issuer;
use crate::metrics::Metrics;
use crate::operator::{OperatorService, REQUEST_BYTES_MAX};
use crate::renewal::RenewalService;
use crate::scrape;
use shardlift_api::policy::GuardLayer;
use shardlift_api::v1::enrolment_server::EnrolmentServer;
use shardlift_api::v1::operator_server::OperatorServer;
use shardlift_api::v1::renewal_server::RenewalServer;
use shardlift_net::Listener;
use shardlift_pki::tls::{ALPN_HTTP2, Credentials, Incoming, enrolment_config, mutual_server_config};
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tower::layer::util::{Identity, Stack};

/// Largest enrolment request.
const ENROLMENT_BYTES_MAX: usize = 64 * 1024;

/// Calls of one connection at the same time.
const CALLS_MAX: usize = 64;

/// After this age a connection is replaced, so that new certificates and revocations reach everybody.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(3600);

const KEEPALIVE: Duration = Duration::from_secs(30);

/// The services that are running.
pub(super) struct Services<'a> {
    pub(super) credentials: &'a Arc<Credentials>,
    pub(super) stop: &'a CancellationToken,
    pub(super) announce: bool,
    pub(super) tasks: JoinSet<()>,
}

impl Services<'_> {
    async fn listen(&self, name: &'static str, address: SocketAddr) -> Result<Listener, ControllerError> {
        let failed = |source| ControllerError::Listen { address, source };
        let listener = Listener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tracing::info!(%address, name, "listening");
        if self.announce {
            let line = serde_json::json!({ "ready": name, "address": address.to_string() });
            let mut stdout = std::io::stdout().lock();
            let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
            written.map_err(|source| ControllerError::Process("announce a listener", source))?;
        }
        Ok(listener)
    }

    pub(super) async fn metrics(
        &mut self,
        address: Option<SocketAddr>,
        metrics: Metrics,
    ) -> Result<(), ControllerError> {
        if let Some(address) = address {
            let listener = self.listen("metrics", address).await?;
            self.tasks.spawn(scrape::serve(listener, metrics, self.stop.clone()));
        }
        Ok(())
    }

    pub(super) async fn operator(
        &mut self,
        config: &ControllerConfig,
        context: &Context,
        issuer: Arc<Issuer>,
    ) -> Result<(), ControllerError> {
        let tls = mutual_server_config(self.credentials, &[ALPN_HTTP2])?;
        let listener = self.listen("operator", config.operator_listen).await?;
        let failed = |source| ControllerError::Listen { address: config.operator_listen, source };
        let incoming = Incoming::new(listener, tls).map_err(failed)?;
        let service = OperatorService::new(context.clone(), issuer, self.stop.clone());
        let service = OperatorServer::new(service).max_decoding_message_size(REQUEST_BYTES_MAX);
        let (stop, audit) = (self.stop.clone(), context.audit.clone());
        self.tasks.spawn(async move {
            let served =
                grpc(audit).add_service(service).serve_with_incoming_shutdown(incoming, stop.cancelled()).await;
            note_end("operator", served);
        });
        Ok(())
    }

    pub(super) async fn enrolment(
        &mut self,
        config: &ControllerConfig,
        context: &Context,
        issuer: Arc<Issuer>,
    ) -> Result<(), ControllerError> {
        let tls = enrolment_config(self.credentials, &[ALPN_HTTP2])?;
        let listener = self.listen("enrolment", config.enrolment_listen).await?;
        let failed = |source| ControllerError::Listen { address: config.enrolment_listen, source };
        let incoming = Incoming::new(listener, tls).map_err(failed)?;
        let Context { shared, inputs, metrics, audit, .. } = context.clone();
        let renewal = RenewalService::new(inputs.clone(), issuer.clone(), audit.clone());
        let renewal = RenewalServer::new(renewal).max_decoding_message_size(ENROLMENT_BYTES_MAX);
        let service = EnrolmentService::new(shared, inputs, issuer, metrics, audit.clone());
        let service = EnrolmentServer::new(service).max_decoding_message_size(ENROLMENT_BYTES_MAX);
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let server = grpc(audit).add_service(service).add_service(renewal);
            note_end("enrolment", server.serve_with_incoming_shutdown(incoming, stop.cancelled()).await);
        });
        Ok(())
    }
}

/// What every gRPC listener carries: the guard, and around it the one who notes whom it has refused.
type Layers = Stack<GuardLayer, Stack<PolicyLayer, Identity>>;

fn grpc(audit: Audit) -> Server<Layers> {
    Server::builder()
        .concurrency_limit_per_connection(CALLS_MAX)
        .max_connection_age(CONNECTION_AGE_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .layer(PolicyLayer(audit))
        .layer(GuardLayer)
}

fn note_end(name: &'static str, served: Result<(), tonic::transport::Error>) {
    if let Err(error) = served {
        let error = shardlift_api::fault::chain(&error);
        tracing::error!(name, error, "a listener ended badly");
    }
}
