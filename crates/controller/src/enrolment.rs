//! The enrolment service: a one-time token and a certificate request in, a certificate out.
//!
//! The token is the only proof, so every bad token gets the same refusal: unknown, expired, used for another key. The
//! certificate leaves only after the enrolment is recorded. When the answer is lost, the same token and the same key get
//! a certificate again.

use crate::audit::{Audit, DONE, deed, made, who};
use crate::clock;
use crate::inputs::{Inputs, Unheard};
use crate::issuer::{Issuer, public_key_hash};
use crate::metrics::Metrics;
use crate::state::Shared;
use crate::tries::Tries;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_audit::{Entry, field};
use shardlift_migration::Input;
use shardlift_model::{NodeId, Peer, Sha256};
use shardlift_pki::enrolment::EnrolmentToken;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

/// What every bad token is answered.
pub(crate) const REFUSAL: &str = "the enrolment token is not valid: unknown, expired, or used with another key\n\
                                  ask your operator for a new one (shardlift node token)";

/// The service.
#[derive(Debug)]
pub(crate) struct EnrolmentService {
    shared: Arc<Shared>,
    inputs: Inputs,
    issuer: Arc<Issuer>,
    metrics: Metrics,
    tries: Mutex<Tries<Option<IpAddr>>>,
    audit: Audit,
}

impl EnrolmentService {
    pub(crate) fn new(
        shared: Arc<Shared>,
        inputs: Inputs,
        issuer: Arc<Issuer>,
        metrics: Metrics,
        audit: Audit,
    ) -> Self {
        Self { shared, inputs, issuer, metrics, tries: Mutex::default(), audit }
    }

    async fn enrol(&self, request: v1::EnrolRequest, asker: &str) -> Result<v1::EnrolResponse, Fault> {
        self.audit.admit()?;
        let refused = || Fault::new(FaultKind::Unauthenticated, REFUSAL);
        let token = EnrolmentToken::parse(&request.token).map_err(|_not_repeated| refused())?.hash();
        let (node, used_for) = self.grant(&token).ok_or_else(refused)?;
        let as_invalid = |error| Fault::from(crate::issuer::IssueError::Request(error));
        let public_key = public_key_hash(&request.csr_der).map_err(as_invalid)?;
        // Looked at again when it is decided; here it saves a signature for a token that was used.
        if used_for.is_some_and(|used| used != public_key) {
            return Err(refused());
        }
        let issued = self.issuer.issue_node(&node, &request.csr_der)?;
        let (serial, not_after) = (issued.serial.clone(), issued.not_after);
        let input = Input::Enrol { token, public_key, serial, not_after };
        self.inputs.submit(input).await.map_err(|unheard| match unheard {
            Unheard::Refused(refusal) => {
                tracing::warn!(%node, reason = refusal.message, "an enrolment was refused");
                refused()
            }
            Unheard::Stopped => Fault::from(Unheard::Stopped),
        })?;
        self.audit
            .record(vec![made(asker, deed::ENROL, node.as_str(), &issued).text(field::NODE, node.as_str())])
            .await?;
        let server_name = self.shared.world(|world| world.nodes.get(&node).map(|node| node.server_name.to_string()));
        Ok(v1::EnrolResponse {
            chain_pem: issued.chain_pem,
            ca_pem: self.issuer.client_ca_pem().to_owned(),
            node: node.to_string(),
            server_name: server_name.unwrap_or_default(),
        })
    }

    /// Whom a token is for, while it is valid, and the key it was used with. Tokens are found by their hash, so timing
    /// says nothing about their text.
    fn grant(&self, token: &Sha256) -> Option<(NodeId, Option<Sha256>)> {
        self.shared.world(|world| {
            let grant = world.enrolments.get(token).filter(|grant| grant.expires_at > clock::now())?;
            Some((grant.node.clone(), grant.used_for))
        })
    }

    fn admit(&self, peer: Option<&Peer>) -> Result<(), Fault> {
        let address = peer.and_then(|peer| peer.address).map(|address| address.ip());
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        if tries.take(&address, Instant::now()) {
            return Ok(());
        }
        Err(Fault::new(FaultKind::Exhausted, "too many enrolments in a short time\ntry again in a minute"))
    }
}

#[tonic::async_trait]
impl v1::enrolment_server::Enrolment for EnrolmentService {
    async fn enrol(&self, request: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let (asker, name) = who(peer.as_ref());
        let result = match self.admit(peer.as_ref()) {
            Ok(()) => self.enrol(request.into_inner(), &name).await,
            Err(fault) => Err(fault),
        };
        self.metrics.enrolled(result.is_ok());
        if let Err(fault) = &result {
            self.audit.refused(asker, Entry::new(&name, deed::ENROL, "", DONE), fault).await;
        }
        Ok(Response::new(result?))
    }
}
