//! The enrolment service: a one-time token and a certificate request in, a certificate out.
//!
//! The token is the only proof, so every bad token gets the same refusal: unknown, expired, used for another key. The
//! certificate leaves only after the enrolment is recorded. When the answer is lost, the same token and the same key get
//! a certificate again.

use crate::clock;
use crate::inputs::{Inputs, Unheard};
use crate::issuer::{Issuer, public_key_hash};
use crate::metrics::Metrics;
use crate::state::Shared;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_migration::Input;
use shardlift_model::{NodeId, Peer, Sha256};
use shardlift_pki::enrolment::EnrolmentToken;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

/// What every bad token is answered.
pub(crate) const REFUSAL: &str = "the enrolment token is not valid: unknown, expired, or used with another key\n\
                                  ask your operator for a new one (shardlift node token)";

/// Tries that one address may make in a row, and how soon it gets the next one.
const BURST: f64 = 20.0;
const REFILL_PER_SECOND: f64 = 0.5;

/// Tries that all addresses together may make in a row, and how many a second.
const BURST_ALL: f64 = 500.0;
const REFILL_ALL_PER_SECOND: f64 = 50.0;

/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 10_000;

/// The service.
#[derive(Debug)]
pub(crate) struct EnrolmentService {
    shared: Arc<Shared>,
    inputs: Inputs,
    issuer: Arc<Issuer>,
    metrics: Metrics,
    tries: Mutex<Tries>,
}

impl EnrolmentService {
    pub(crate) fn new(shared: Arc<Shared>, inputs: Inputs, issuer: Arc<Issuer>, metrics: Metrics) -> Self {
        Self { shared, inputs, issuer, metrics, tries: Mutex::default() }
    }

    async fn enrol(&self, request: v1::EnrolRequest) -> Result<v1::EnrolResponse, Fault> {
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
        tracing::info!(target: "audit", %node, serial = issued.serial, "node enrolled");
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
        if tries.take(address, Instant::now()) {
            return Ok(());
        }
        Err(Fault::new(FaultKind::Exhausted, "too many enrolments in a short time\ntry again in a minute"))
    }
}

#[tonic::async_trait]
impl v1::enrolment_server::Enrolment for EnrolmentService {
    async fn enrol(&self, request: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let result = match self.admit(peer.as_ref()) {
            Ok(()) => self.enrol(request.into_inner()).await,
            Err(fault) => Err(fault),
        };
        self.metrics.enrolled(result.is_ok());
        if let Err(fault) = &result {
            let address = peer.and_then(|peer| peer.address);
            tracing::warn!(target: "audit", ?address, code = fault.kind().code(), "enrolment refused");
        }
        Ok(Response::new(result?))
    }
}

/// Tries left to an address; they come back with time.
#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn take(&mut self, now: Instant, burst: f64, per_second: f64) -> bool {
        self.left = (self.left + (now - self.at).as_secs_f64() * per_second).min(burst);
        self.at = now;
        let admitted = self.left >= 1.0;
        if admitted {
            self.left -= 1.0;
        }
        admitted
    }
}

/// Limits each address and all of them together.
#[derive(Debug, Default)]
struct Tries {
    all: Option<Bucket>,
    addresses: BTreeMap<Option<IpAddr>, Bucket>,
}

impl Tries {
    fn take(&mut self, address: Option<IpAddr>, now: Instant) -> bool {
        if self.addresses.len() >= ADDRESSES_MAX {
            let full_again = Duration::from_secs_f64(BURST / REFILL_PER_SECOND);
            self.addresses.retain(|_, bucket| now - bucket.at < full_again);
        }
        if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&address) {
            return false;
        }
        let bucket = self.addresses.entry(address).or_insert(Bucket { left: BURST, at: now });
        if !bucket.take(now, BURST, REFILL_PER_SECOND) {
            return false;
        }
        let all = self.all.get_or_insert(Bucket { left: BURST_ALL, at: now });
        all.take(now, BURST_ALL, REFILL_ALL_PER_SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_runs_out_of_tries_and_gets_them_back_while_others_go_on() {
        let mut tries = Tries::default();
        let start = Instant::now();
        let address = |n: u8| Some(IpAddr::from([10, 0, 0, n]));
        let taken = (0..100).filter(|_| tries.take(address(1), start)).count();
        assert_eq!(taken, 20);
        assert!(tries.take(address(2), start));
        assert!(tries.take(address(1), start + Duration::from_secs(2)));
        assert!(!tries.take(address(1), start + Duration::from_secs(2)));
    }

    #[test]
    fn many_addresses_together_run_out_too() {
        let mut tries = Tries::default();
        let start = Instant::now();
        let taken = (0..1000_u32).filter(|n| tries.take(Some(IpAddr::from(n.to_be_bytes())), start)).count();
        assert_eq!(taken, 500);
    }
}
