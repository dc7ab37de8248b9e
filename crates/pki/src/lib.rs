//! Certificates and TLS of a cluster: who may speak, proven how, and how that proof is made and renewed.
//!
//! The life of a certificate: an [`authority`] is created once from [`profile`]s; a holder makes a key and a [`request`]
//! (the key never leaves it), shows an [`enrolment`] token, and gets a chain whose leaf carries one [`identity`]. What a
//! restic client takes is a [`bundle`]. Services load their files as [`tls::Credentials`] and speak to each other
//! through [`tls`]; whom a shown chain names is decided in [`trust`] alone.
//!
//! What was issued is taken back by a list that its CA signs: [`revocation`].
//!
//! What the cluster states for others to check without it is signed in an [`envelope`].
//!
//! Invariants:
//! - An identity comes from one URI of a leaf that the cluster's own roots vouch for, and from nowhere else.
//! - A chain is judged within one trust domain; a CA from before the cluster can never name a member of it.
//! - No session is resumed: every connection runs the verifiers again, so what is no longer trusted stays out.
//! - One crypto provider, aws-lc-rs.

pub mod authority;
pub mod bundle;
mod clock;
pub mod enrolment;
pub mod envelope;
mod files;
mod hash;
pub mod identity;
pub mod passphrase;
mod pem_text;
pub mod profile;
mod provider;
pub mod request;
pub mod revocation;
pub mod secret;
pub mod tls;
pub mod trust;

pub use clock::time_provider;
pub use pem_text::{PemError, certificates_in};
pub use provider::{NoRandomness, install_crypto_provider};
pub use rustls_pki_types::CertificateDer;
pub use secret::{Passphrase, SecretPem};
