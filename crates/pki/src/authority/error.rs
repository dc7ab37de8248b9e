//! What can go wrong with a CA.

use crate::identity::IdentityError;
use crate::pem_text::PemError;
use crate::profile::{Kind, ProfileError};
use crate::provider::NoRandomness;
use crate::request::RequestError;
use std::io;
use std::path::PathBuf;

/// Why a CA cannot be made, loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file that cannot be read or written.
    #[error("cannot {verb} {path}")]
    File {
        /// What was tried.
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file that does not hold what it should.
    #[error("{path} does not hold a certificate")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: PemError,
    },
    /// A key file that is not an encrypted PKCS#8 key.
    #[error("{0} does not hold an encrypted private key")]
    NotAKey(PathBuf),
    /// The passphrase does not open the key.
    #[error("the passphrase does not open {0}")]
    WrongPassphrase(PathBuf),
    /// No passphrase.
    #[error("the passphrase of a CA must not be empty")]
    EmptyPassphrase,
    /// A key file that others may read.
    #[error("{0} can be read by others: its mode must be 0600")]
    Exposed(PathBuf),
    /// A CA file is there already.
    #[error("{0} exists already and is not overwritten")]
    Exists(PathBuf),
    /// No issuing CA in the folder.
    #[error("there is no issuing CA in {0}")]
    NoIssuingCa(PathBuf),
    /// Key and certificate of a CA do not belong together.
    #[error("the private key in {0} does not belong to its certificate")]
    KeyMismatch(PathBuf),
    /// A request was made before, and its certificate is not there yet.
    #[error("{0} waits for its certificate already")]
    Pending(PathBuf),
    /// A request that is refused.
    #[error("the request of an issuing CA is refused")]
    Request(#[from] RequestError),
    /// The root has signed another key under this number.
    #[error("issuing CA {0} was signed for another key: two CAs never share a number")]
    GenerationTaken(u32),
    /// Numbers only grow.
    #[error("issuing CA {wanted} cannot follow {newest}: numbers only grow")]
    Generation {
        /// What is asked for.
        wanted: u32,
        /// What is there.
        newest: u32,
    },
    /// A number that no issuing CA here has.
    #[error("there is no issuing CA {0} here")]
    NoSuchCa(u32),
    /// A root that is not the expected one.
    #[error("the root's fingerprint is {found}, not {expected}")]
    OtherRoot {
        /// What is known.
        expected: String,
        /// What was given.
        found: String,
    },
    /// No certificate of an issuing CA with its root.
    #[error("not usable as an issuing CA: {0}")]
    NotAnIssuingCa(String),
    /// A certificate without the key it belongs to.
    #[error("there is no request for issuing CA {generation} in {dir}: the certificate was made for another folder")]
    NotRequested {
        /// Of which CA.
        generation: u32,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// The issuing CA is not this root's.
    #[error("the issuing CA is not signed by this root")]
    NotSignedByRoot,
    /// A CA certificate whose name is not one of this system.
    #[error("{0:?} is not the name of a CA of a cluster")]
    Name(String),
    /// A certificate that cannot be read.
    #[error("the certificate of the CA cannot be read")]
    Malformed(#[from] IdentityError),
    /// A profile for something else.
    #[error("the profile is for {found}, expected was one for {expected}")]
    WrongProfile {
        /// What was needed.
        expected: Kind,
        /// What was given.
        found: Kind,
    },
    /// A built-in profile that is broken.
    #[error("the profile is not usable")]
    Profile(#[from] ProfileError),
    /// An identity of another cluster.
    #[error("the identity is not one of cluster {0}")]
    OtherCluster(String),
    /// A client with host names.
    #[error("a certificate for {0} carries no host names: it is no server")]
    HostNames(Kind),
    /// Not a host name.
    #[error("{0:?} is not a host name, a wildcard below one, or an IP address")]
    HostName(String),
    /// The signer has expired or is not valid yet.
    #[error("the CA above is not valid now")]
    NotValidNow,
    /// Nothing that can be on a revocation list.
    #[error("a revocation list cannot hold {0}")]
    Listed(String),
    /// A time that a certificate cannot say.
    #[error("the time is out of range")]
    Time,
    /// No random bytes.
    #[error("no key or serial number could be made")]
    Randomness(#[from] NoRandomness),
    /// The certificate library refuses.
    #[error("the certificate could not be made: {0}")]
    NotMade(String),
}

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        Self::NotMade(error.to_string())
    }
}
