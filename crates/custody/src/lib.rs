//! What shards and routers keep about certificates: their own, which the controller renews, and those that were revoked.
//!
//! The key is made here and never leaves; it is kept in memory until its certificate comes, so that what is on disk is always a
//! certificate with its key, in one file, replaced as a whole.

mod revoked;

pub use revoked::{KeepError, RevokedFiles, TakeError};

use shardlift_api::fault::{Fault, FaultKind, chain};
use shardlift_api::v1;
use shardlift_api::v1::part_certificate_server::{PartCertificate, PartCertificateServer};
use shardlift_pki::SecretPem;
use shardlift_pki::request::create_key_and_request;
use shardlift_pki::tls::{CredentialError, Credentials};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tonic::{Request, Response, Status};

/// Largest request: a chain of two certificates.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Where a part keeps its renewed certificate: in its state folder.
#[must_use]
pub fn renewed_in(state_folder: &Path) -> PathBuf {
    state_folder.join("own-certificate.pem")
}

/// The service.
#[derive(Debug)]
pub struct Custody {
    credentials: Arc<Credentials>,
    /// Of the last request.
    key: Mutex<Option<SecretPem>>,
}

/// As a service of a part's control listener.
#[must_use]
pub fn service(credentials: &Arc<Credentials>) -> PartCertificateServer<Custody> {
    let custody = Custody { credentials: Arc::clone(credentials), key: Mutex::default() };
    PartCertificateServer::new(custody).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

impl Custody {
    async fn take(&self, chain_pem: String) -> Result<(), Fault> {
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let nothing = || Fault::new(FaultKind::Refused, "no certificate was asked for since the start");
        let (key, credentials) = (key.ok_or_else(nothing)?, Arc::clone(&self.credentials));
        let installed = shardlift_net::spawn_blocking(move || credentials.install(&chain_pem, &key)).await;
        installed.map_err(|_| Fault::new(FaultKind::Unavailable, "the part is stopping"))?.map_err(fault)?;
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = None;
        tracing::info!(target: "audit", not_after = self.credentials.not_after().0, "the own certificate was renewed");
        Ok(())
    }
}

fn fault(error: CredentialError) -> Fault {
    match error {
        CredentialError::Keep { .. } | CredentialError::Read { .. } => Fault::internal(error),
        error => Fault::new(FaultKind::Refused, chain(&error)),
    }
}

#[tonic::async_trait]
impl PartCertificate for Custody {
    async fn describe_certificate(
        &self,
        _: Request<v1::DescribeCertificateRequest>,
    ) -> Result<Response<v1::DescribeCertificateResponse>, Status> {
        let chain_der = self.credentials.chain().iter().map(|certificate| certificate.to_vec()).collect();
        Ok(Response::new(v1::DescribeCertificateResponse { chain_der }))
    }

    async fn request_certificate(
        &self,
        _: Request<v1::RequestCertificateRequest>,
    ) -> Result<Response<v1::RequestCertificateResponse>, Status> {
        let (key, csr_der) = create_key_and_request().map_err(Fault::internal)?;
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        Ok(Response::new(v1::RequestCertificateResponse { csr_der }))
    }

    async fn take_certificate(
        &self,
        request: Request<v1::TakeCertificateRequest>,
    ) -> Result<Response<v1::TakeCertificateResponse>, Status> {
        self.take(request.into_inner().chain_pem).await?;
        Ok(Response::new(v1::TakeCertificateResponse {}))
    }
}
