//! Who a client is, and whether a node is its own.
//!
//! Identity comes from the certificate of the connection or from a verified password, never from a path or another
//! header. A client sees its own nodes and nothing else: there is no public and no shared repository.

pub mod htpasswd;

use crate::auth::htpasswd::Passwords;
use base64::Engine as _;
use serde::Deserialize;
use shardlift_model::{Holder, NodeId, Peer, PeerCertificate, Subject};

/// Longest `Authorization` header that is looked at, in bytes.
const AUTHORIZATION_BYTES_MAX: usize = 1024;

/// What a client must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// A certificate of the cluster or of a CA from before it. Passwords are not looked at.
    #[default]
    Certificate,
    /// A password of the htpasswd file. Certificates are noted but prove nothing.
    Password,
    /// A certificate; without one, a password, which then is an old credential and ends at release.
    Either,
    /// A certificate and a password, both of the node's owner.
    Both,
}

impl ClientAuth {
    /// Whether passwords are looked at.
    #[must_use]
    pub const fn takes_passwords(self) -> bool {
        !matches!(self, Self::Certificate)
    }
}

/// One thing that a client has proven.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Proof {
    /// A certificate of the cluster: this very node.
    Node(NodeId),
    /// A certificate of a CA from before the cluster: all nodes of this account, until release.
    LegacyCertificate(String),
    /// A password that stays valid after release.
    Password(String),
    /// A password that certificates replace: until release.
    LegacyPassword(String),
}

/// An authenticated client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    proofs: Vec<Proof>,
}

/// Why a client is nobody. For the log; clients are told nothing but 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Neither certificate nor password.
    #[error("no credentials")]
    Missing,
    /// The certificate is a member's, but not a node's.
    #[error("a certificate of another role")]
    OtherRole,
    /// Unknown user or wrong password.
    #[error("wrong user or password")]
    WrongPassword,
    /// The header is no `Basic` pair.
    #[error("unreadable credentials")]
    Unreadable,
}

impl Client {
    /// Finds out who asks.
    ///
    /// # Errors
    /// [`Denied`] when nothing acceptable was shown.
    pub async fn authenticate(
        mode: ClientAuth,
        peer: &Peer,
        authorization: Option<&[u8]>,
        passwords: &Passwords,
    ) -> Result<Self, Denied> {
        let mut proofs = Vec::new();
        if mode != ClientAuth::Password {
            proofs.extend(certificate_proof(peer)?);
        }
        let wanted = match mode {
            ClientAuth::Certificate => false,
            ClientAuth::Password | ClientAuth::Both => true,
            ClientAuth::Either => proofs.is_empty(),
        };
        if wanted {
            let account = password_account(authorization, passwords).await?;
            proofs.push(match mode {
                ClientAuth::Either => Proof::LegacyPassword(account),
                _ => Proof::Password(account),
            });
        }
        let expected = if mode == ClientAuth::Both { 2 } else { 1 };
        if proofs.len() < expected { Err(Denied::Missing) } else { Ok(Self { proofs }) }
    }

    /// Whether the node is this client's own: every proof must say so. `legacy_ended` is true from the node's release on.
    #[must_use]
    pub fn owns(&self, node: &NodeId, legacy_ended: bool) -> bool {
        self.proofs.iter().all(|proof| match proof {
            Proof::Node(own) => own == node,
            Proof::Password(account) => account == node.account(),
            Proof::LegacyCertificate(account) | Proof::LegacyPassword(account) => {
                !legacy_ended && account == node.account()
            }
        })
    }
}

/// The node that a certificate of the cluster names.
#[must_use]
pub fn node_of(certificate: &PeerCertificate) -> Option<NodeId> {
    match &certificate.holder {
        Holder::Member(identity) => match &identity.subject {
            Subject::Node(node) => Some(node.clone()),
            Subject::Part(..) => None,
        },
        Holder::Legacy { .. } => None,
    }
}

fn certificate_proof(peer: &Peer) -> Result<Option<Proof>, Denied> {
    match peer.certificate.as_ref().map(|certificate| &certificate.holder) {
        None => Ok(None),
        Some(Holder::Legacy { account }) => Ok(Some(Proof::LegacyCertificate(account.clone()))),
        Some(Holder::Member(identity)) => match &identity.subject {
            Subject::Node(node) => Ok(Some(Proof::Node(node.clone()))),
            Subject::Part(..) => Err(Denied::OtherRole),
        },
    }
}

async fn password_account(authorization: Option<&[u8]>, passwords: &Passwords) -> Result<String, Denied> {
    let (user, password) = authorization.map(basic_pair).transpose()?.flatten().ok_or(Denied::Missing)?;
    if passwords.verify(&user, &password).await { Ok(user) } else { Err(Denied::WrongPassword) }
}

/// The pair of a `Basic` header. An empty one counts as none: clients send it when nothing is configured.
fn basic_pair(header: &[u8]) -> Result<Option<(String, String)>, Denied> {
    if header.len() > AUTHORIZATION_BYTES_MAX {
        return Err(Denied::Unreadable);
    }
    let text = std::str::from_utf8(header).map_err(|_| Denied::Unreadable)?;
    let (scheme, encoded) = text.split_once(' ').ok_or(Denied::Unreadable)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Denied::Unreadable);
    }
    let decoded = base64::prelude::BASE64_STANDARD.decode(encoded.trim()).map_err(|_| Denied::Unreadable)?;
    let pair = String::from_utf8(decoded).map_err(|_| Denied::Unreadable)?;
    let (user, password) = pair.split_once(':').ok_or(Denied::Unreadable)?;
    Ok((!user.is_empty() || !password.is_empty()).then(|| (user.to_owned(), password.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_model::{Identity, Role};

    fn peer(holder: Option<Holder>) -> Peer {
        let certificate = holder.map(|holder| PeerCertificate { holder, serial: "1".into(), issuer: "x".into() });
        Peer { certificate, address: None }
    }

    fn member(role: Role, name: &str) -> Option<Holder> {
        Some(Holder::Member(Identity::new("c1".parse().unwrap(), role, name).unwrap()))
    }

    fn legacy(account: &str) -> Option<Holder> {
        Some(Holder::Legacy { account: account.into() })
    }

    fn basic(pair: &str) -> Vec<u8> {
        format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair)).into_bytes()
    }

    async fn owned(
        mode: ClientAuth,
        holder: Option<Holder>,
        pair: Option<&str>,
        ended: bool,
    ) -> Result<Vec<String>, Denied> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".htpasswd");
        std::fs::write(&path, format!("acme:{}\n", bcrypt::hash("secret", 4).unwrap())).unwrap();
        let passwords = Passwords::open(path).unwrap();
        let header = pair.map(basic);
        let client = Client::authenticate(mode, &peer(holder), header.as_deref(), &passwords).await?;
        let nodes = ["acme", "acme/web", "acme/db", "other", "acmes"];
        Ok(nodes.into_iter().filter(|n| client.owns(&n.parse().unwrap(), ended)).map(str::to_owned).collect())
    }

    #[tokio::test]
    async fn each_proof_opens_its_own_nodes_and_no_other() {
        use ClientAuth::{Both, Certificate, Either, Password};
        let account = ["acme", "acme/web", "acme/db"].map(str::to_owned).to_vec();
        let web = vec!["acme/web".to_owned()];
        let none: Vec<String> = Vec::new();
        let right = Some("acme:secret");
        let cases = [
            (Certificate, member(Role::Node, "acme/web"), None, false, Ok(web.clone())),
            (Certificate, member(Role::Node, "acme/web"), Some(":"), true, Ok(web.clone())),
            (Certificate, legacy("acme"), None, false, Ok(account.clone())),
            (Certificate, legacy("acme"), None, true, Ok(none.clone())),
            (Certificate, None, right, false, Err(Denied::Missing)),
            (Certificate, member(Role::Operator, "acme"), None, false, Err(Denied::OtherRole)),
            (Certificate, member(Role::Shard, "acme"), None, false, Err(Denied::OtherRole)),
            (Password, None, right, false, Ok(account.clone())),
            (Password, None, right, true, Ok(account.clone())),
            (Password, None, Some("acme:wrong"), false, Err(Denied::WrongPassword)),
            (Password, None, Some("nobody:secret"), false, Err(Denied::WrongPassword)),
            (Password, None, Some(":"), false, Err(Denied::Missing)),
            (Password, member(Role::Node, "acme/web"), None, false, Err(Denied::Missing)),
            (Either, member(Role::Node, "acme/web"), Some("acme:wrong"), false, Ok(web.clone())),
            (Either, None, right, false, Ok(account)),
            (Either, None, right, true, Ok(none.clone())),
            (Both, member(Role::Node, "acme/web"), right, false, Ok(web)),
            (Both, member(Role::Node, "other"), right, false, Ok(none)),
            (Both, member(Role::Node, "acme/web"), None, false, Err(Denied::Missing)),
            (Both, None, right, false, Err(Denied::Missing)),
        ];
        for (mode, holder, pair, ended, expected) in cases {
            let seen = owned(mode, holder.clone(), pair, ended).await;
            assert_eq!(seen, expected, "{mode:?} {holder:?} {pair:?} ended={ended}");
        }
    }

    #[test]
    fn headers_that_are_no_pair_are_unreadable() {
        for header in ["", "Basic", "Bearer abc", "Basic !!!", "Basic YWJj", "Basic /w=="] {
            assert_eq!(basic_pair(header.as_bytes()), Err(Denied::Unreadable), "{header:?}");
        }
        assert_eq!(basic_pair(b"Basic Og=="), Ok(None));
        assert_eq!(basic_pair(&vec![b'x'; 5000]), Err(Denied::Unreadable));
    }
}
