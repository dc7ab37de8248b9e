//! Tokens that are shown once, and certificates for the parts of the cluster.
//!
//! Only the hash of a token is recorded; the token itself leaves with the answer and is nowhere else.

use super::OperatorService;
use crate::clock;
use shardlift_api::convert;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_migration::Input;
use shardlift_migration::certificates::CertificateHolder;
use shardlift_model::{CustomerId, Role};
use shardlift_pki::enrolment::{AccessToken, EnrolmentToken};
use std::time::Duration;

/// How long an enrolment token is good for, in minutes: without a wish, and at most.
const ENROLMENT_MINUTES: (u32, u32) = (24 * 60, 30 * 24 * 60);

/// How long a status token is good for, in days: without a wish, and at most.
const STATUS_DAYS: (u32, u32) = (90, 400);

const MINUTE: Duration = Duration::from_secs(60);

fn within(field: &'static str, wish: u32, (default, max): (u32, u32)) -> Result<u32, Fault> {
    match wish {
        0 => Ok(default),
        wish if wish <= max => Ok(wish),
        wish => Err(Fault::new(FaultKind::Invalid, format!("{field}: {wish} is more than {max}"))),
    }
}

impl OperatorService {
    pub(super) async fn grant_enrolment(
        &self,
        request: &v1::CreateEnrolmentTokenRequest,
    ) -> Result<v1::CreateEnrolmentTokenResponse, Fault> {
        let node = convert::node(&request.node)?;
        let minutes = within("valid minutes", request.valid_minutes, ENROLMENT_MINUTES)?;
        let ca_fingerprint = self.issuer.fingerprint();
        let token = EnrolmentToken::create(&ca_fingerprint).map_err(Fault::internal)?;
        let expires_at = clock::now().plus(MINUTE * minutes);
        self.submit(Input::GrantEnrolment { node, token: token.hash(), expires_at }).await?;
        let expires_at_unix_ms = expires_at.0;
        let token = (*token.text()).clone();
        Ok(v1::CreateEnrolmentTokenResponse { token, expires_at_unix_ms, ca_fingerprint })
    }

    pub(super) async fn grant_status(
        &self,
        request: &v1::CreateStatusTokenRequest,
    ) -> Result<v1::CreateStatusTokenResponse, Fault> {
        let customer: CustomerId = convert::name("customer", &request.customer)?;
        let days = within("valid days", request.valid_days, STATUS_DAYS)?;
        let token = AccessToken::create().map_err(Fault::internal)?;
        let expires_at = clock::now().plus(MINUTE * 60 * 24 * days);
        self.submit(Input::GrantStatus { customer, token: token.hash(), expires_at }).await?;
        let token = (*token.text()).clone();
        Ok(v1::CreateStatusTokenResponse { token, expires_at_unix_ms: expires_at.0 })
    }

    /// With its serial. The certificate leaves only when it is recorded: what is not could not be taken back by its name.
    pub(super) async fn issue_for_role(
        &self,
        request: &v1::IssueRoleCertificateRequest,
    ) -> Result<(String, v1::IssueRoleCertificateResponse), Fault> {
        let role: Role = convert::name("role", &request.role)?;
        if role == Role::Node {
            let text = "a node gets its certificate with a one-time token\nuse `shardlift node token` instead";
            return Err(Fault::new(FaultKind::Refused, text));
        }
        let issued = self.issuer.issue_part(role, &request.name, &request.dns_names, &request.csr_der)?;
        let holder = CertificateHolder { role, name: request.name.clone() };
        let (serial, not_after) = (issued.serial.clone(), issued.not_after);
        self.submit(Input::RecordCertificate { serial, holder, not_after }).await?;
        let ca_pem = self.issuer.cluster_ca_pem();
        Ok((issued.serial, v1::IssueRoleCertificateResponse { chain_pem: issued.chain_pem, ca_pem }))
    }
}
