//! The renewal service: whoever shows a certificate of this cluster gets another one for the same name and a new key.
//!
//! Who it is comes from the handshake alone. What was taken back gets nothing: the handshake refuses it, and what is recorded
//! is looked at once more when the new one is. The certificate leaves only after it is recorded.

use crate::audit::{Audit, DONE, deed, made, who};
use crate::inputs::Inputs;
use crate::issuer::Issuer;
use crate::tries::Tries;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_audit::{Entry, field};
use shardlift_migration::Input;
use shardlift_migration::certificates::CertificateHolder;
use shardlift_model::{Identity, NodeId, Peer, Role};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

/// The service.
#[derive(Debug)]
pub(crate) struct RenewalService {
    inputs: Inputs,
    issuer: Arc<Issuer>,
    tries: Mutex<Tries<NodeId>>,
    audit: Audit,
}

/// Who asks, and with which certificate.
struct Shown {
    identity: Identity,
    node: NodeId,
    serial: String,
}

impl Shown {
    fn by(peer: Option<&Peer>) -> Result<Self, Fault> {
        let refused = || Fault::new(FaultKind::Unauthenticated, "a node's certificate of this cluster is required");
        let peer = peer.ok_or_else(refused)?;
        let (identity, certificate) = peer.identity().zip(peer.certificate.as_ref()).ok_or_else(refused)?;
        let node = identity.name().parse().ok().filter(|_| identity.role() == Role::Node).ok_or_else(refused)?;
        Ok(Self { identity: identity.clone(), node, serial: certificate.serial.clone() })
    }
}

impl RenewalService {
    pub(crate) fn new(inputs: Inputs, issuer: Arc<Issuer>, audit: Audit) -> Self {
        Self { inputs, issuer, tries: Mutex::default(), audit }
    }

    async fn renew(&self, shown: Shown, csr_der: &[u8]) -> Result<v1::RenewResponse, Fault> {
        if !self.tries.lock().unwrap_or_else(PoisonError::into_inner).take(&shown.node, Instant::now()) {
            return Err(Fault::new(FaultKind::Exhausted, "too many renewals in a short time\ntry again in a minute"));
        }
        self.audit.admit()?;
        let issued = self.issuer.issue_node(&shown.node, csr_der)?;
        let holder = CertificateHolder { role: shown.identity.role(), name: shown.identity.name().to_owned() };
        let (serial, not_after) = (issued.serial.clone(), issued.not_after);
        let input = Input::RenewCertificate { shown: shown.serial.clone(), serial, holder, not_after };
        self.inputs.submit(input).await?;
        let entry = made(&shown.identity.to_string(), deed::RENEW, shown.node.as_str(), &issued);
        let entry = entry.text(field::NODE, shown.node.as_str()).text(field::SHOWN, &shown.serial);
        self.audit.record(vec![entry]).await?;
        Ok(v1::RenewResponse {
            chain_pem: issued.chain_pem,
            ca_pem: self.issuer.client_ca_pem().to_owned(),
            root_fingerprint: self.issuer.fingerprint(),
        })
    }
}

#[tonic::async_trait]
impl v1::renewal_server::Renewal for RenewalService {
    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let (asker, name) = who(peer.as_ref());
        let result = match Shown::by(peer.as_ref()) {
            Ok(shown) => self.renew(shown, &request.into_inner().csr_der).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = &result {
            let entry = Entry::new(&name, deed::RENEW, "", DONE);
            let node = peer.as_ref().and_then(Peer::identity).filter(|identity| identity.role() == Role::Node);
            let entry = node.map_or(entry.clone(), |node| entry.text(field::NODE, node.name()));
            self.audit.refused(asker, entry, fault).await;
        }
        Ok(Response::new(result?))
    }
}
