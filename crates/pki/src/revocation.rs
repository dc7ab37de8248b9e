//! What the cluster has taken back, as a part knows it: lists that its CA has signed, the newest of each CA.
//!
//! A list is a CRL with the certificate of its CA beside it, so that whoever trusts the root can judge it, wherever it comes from. A
//! list that is out of date holds on: what it takes back stays taken back, and nobody is shut out because the control plane is
//! silent. That it is out of date is for an operator to be told.
//!
//! Invariants: a list with a lower number never replaces one with a higher number; a list takes back what its own CA has signed, and
//! nothing of another one.

use crate::identity::{self, serial_text};
use crate::pem_text::LIST;
use crate::trust::ClusterTrust;
use shardlift_model::{Holder, PeerCertificate, UnixMillis};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

/// Longest list that is looked at, in bytes of PEM.
pub const LIST_BYTES_MAX: usize = 7 << 19;

/// Why a list is not believed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// Longer than anything that is signed here.
    #[error("longer than {LIST_BYTES_MAX} bytes")]
    TooLarge,
    /// Not one list with one CA beside it.
    #[error("not a revocation list and the certificate of its CA: {0}")]
    Malformed(String),
    /// Its CA is none of this cluster.
    #[error("signed by {0:?}, which is no CA of this cluster that may sign lists")]
    Issuer(String),
    /// Its CA has not signed it.
    #[error("the signature of the list is wrong")]
    Signature,
    /// A newer one holds already.
    #[error("its number is {found}, but list {held} holds already")]
    Older {
        /// What was given.
        found: u64,
        /// What holds.
        held: u64,
    },
}

/// One CA's list, judged.
#[derive(Clone)]
pub struct RevocationList {
    issuer: String,
    number: u64,
    next_update: UnixMillis,
    serials: HashSet<String>,
    pem: String,
}

/// The list alone, in DER, of what [`Authority::sign_list`](crate::authority::Authority::sign_list) wrote: as programs fetch it.
#[must_use]
pub fn list_der(pem: &str) -> Option<Vec<u8>> {
    let blocks = pem::parse_many(pem).ok()?;
    blocks.into_iter().find(|block| block.tag() == LIST).map(pem::Pem::into_contents)
}

impl RevocationList {
    /// Reads what [`Authority::sign_list`](crate::authority::Authority::sign_list) wrote.
    ///
    /// # Errors
    /// [`ListError`] says why it is not believed.
    pub fn read(pem: &str, trust: &ClusterTrust) -> Result<Self, ListError> {
        if pem.len() > LIST_BYTES_MAX {
            return Err(ListError::TooLarge);
        }
        let malformed = |what: &str| ListError::Malformed(what.to_owned());
        let blocks = pem::parse_many(pem).map_err(|error| ListError::Malformed(error.to_string()))?;
        let [list, issuer] = &blocks[..] else { return Err(malformed("two blocks are expected")) };
        if (list.tag(), issuer.tag()) != (LIST, "CERTIFICATE") {
            return Err(malformed("the list first, then the certificate"));
        }
        let (rest, list) = CertificateRevocationList::from_der(list.contents())
            .map_err(|error| ListError::Malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("bytes after its end"));
        }
        let issuer = identity::parse(issuer.contents()).map_err(|error| ListError::Malformed(error.to_string()))?;
        check_issuer(&issuer, trust)?;
        if list.issuer().as_raw() != issuer.subject().as_raw() {
            return Err(malformed("the certificate is not that of its CA"));
        }
        list.verify_signature(issuer.public_key()).map_err(|_| ListError::Signature)?;
        refuse_unknown(&list)?;
        let number = list.crl_number().and_then(|number| number.to_u64_digits().try_into().ok());
        let [number]: [u64; 1] = number.ok_or_else(|| malformed("a number from 1 on is expected"))?;
        let seconds = list.next_update().ok_or_else(|| malformed("the next update is not said"))?.timestamp();
        Ok(Self {
            issuer: trust.label(&issuer_name(&issuer)),
            number,
            next_update: UnixMillis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)),
            serials: list.iter_revoked_certificates().map(|revoked| serial_text(revoked.raw_serial())).collect(),
            pem: pem.to_owned(),
        })
    }

    /// The name of its CA: `issuing-1`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Grows with every list of its CA.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// When a newer one should be there.
    #[must_use]
    pub const fn next_update(&self) -> UnixMillis {
        self.next_update
    }

    /// How many certificates it takes back.
    #[must_use]
    pub fn count(&self) -> usize {
        self.serials.len()
    }

    /// As it was read.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevocationList({} {}, {} certificates)", self.issuer, self.number, self.count())
    }
}

fn issuer_name(issuer: &X509Certificate<'_>) -> String {
    identity::one_common_name(issuer.subject()).unwrap_or_default()
}

/// A CA that a root of the cluster has signed, and that may sign lists.
fn check_issuer(issuer: &X509Certificate<'_>, trust: &ClusterTrust) -> Result<(), ListError> {
    let is_ca = issuer.basic_constraints().is_ok_and(|found| found.is_some_and(|found| found.value.ca));
    let signs = issuer.key_usage().is_ok_and(|usage| usage.is_some_and(|usage| usage.value.crl_sign()));
    if is_ca && signs && trust.has_signed(issuer) {
        return Ok(());
    }
    Err(ListError::Issuer(issuer_name(issuer)))
}

/// What is critical and not understood could say that the list means something else.
fn refuse_unknown(list: &CertificateRevocationList<'_>) -> Result<(), ListError> {
    let entries = list.iter_revoked_certificates().flat_map(|revoked| revoked.extensions());
    let known = |parsed: &ParsedExtension<'_>| {
        matches!(
            parsed,
            ParsedExtension::CRLNumber(_) | ParsedExtension::AuthorityKeyIdentifier(_) | ParsedExtension::ReasonCode(_)
        )
    };
    match list.extensions().iter().chain(entries).find(|found| found.critical && !known(found.parsed_extension())) {
        Some(unknown) => Err(ListError::Malformed(format!("it has the unknown critical extension {}", unknown.oid))),
        None => Ok(()),
    }
}

/// The lists that hold, by CA.
type Lists = BTreeMap<String, Arc<RevocationList>>;

/// All lists that a part knows; whoever has an open connection can wait for what becomes of its peer.
#[derive(Debug)]
pub struct Revocations(watch::Sender<Lists>);

impl Default for Revocations {
    fn default() -> Self {
        Self(watch::Sender::new(Lists::new()))
    }
}

impl Revocations {
    /// The list holds from now on. The same one again changes nothing.
    ///
    /// # Errors
    /// [`ListError::Older`] when a newer one of its CA holds.
    pub fn take(&self, list: RevocationList) -> Result<(), ListError> {
        let mut result = Ok(());
        self.0.send_if_modified(|lists| match lists.get(&list.issuer).map(|held| held.number) {
            Some(held) if held > list.number => {
                result = Err(ListError::Older { found: list.number, held });
                false
            }
            Some(held) if held == list.number => false,
            _ => {
                lists.insert(list.issuer.clone(), Arc::new(list));
                true
            }
        });
        result
    }

    /// The newest list of a CA, by its name: `issuing-1`.
    #[must_use]
    pub fn list_of(&self, issuer: &str) -> Option<Arc<RevocationList>> {
        self.0.borrow().get(issuer).cloned()
    }

    /// The lists that hold.
    #[must_use]
    pub fn lists(&self) -> Vec<Arc<RevocationList>> {
        self.0.borrow().values().cloned().collect()
    }

    pub(crate) fn holds(&self, issuer: &str, serial: &str) -> bool {
        is_on(&self.0.borrow(), issuer, serial)
    }

    /// Whether a certificate that was believed is taken back by now.
    #[must_use]
    pub fn is_revoked(&self, certificate: &PeerCertificate) -> bool {
        takes_back(&self.0.borrow(), certificate)
    }

    /// Comes back once this certificate is taken back, at once if it is. A certificate from before the cluster never is.
    pub async fn revoked(&self, certificate: &PeerCertificate) {
        let mut lists = self.0.subscribe();
        let is_gone = lists.wait_for(|lists| takes_back(lists, certificate)).await.is_err();
        if is_gone {
            // Whoever could tell is gone: nothing more is taken back.
            std::future::pending::<()>().await;
        }
    }
}

fn is_on(lists: &Lists, issuer: &str, serial: &str) -> bool {
    lists.get(issuer).is_some_and(|list| list.serials.contains(serial))
}

fn takes_back(lists: &Lists, certificate: &PeerCertificate) -> bool {
    matches!(certificate.holder, Holder::Member(_)) && is_on(lists, &certificate.issuer, &certificate.serial)
}
