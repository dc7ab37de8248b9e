//! Who speaks: the identity that a certificate of the cluster carries.
//!
//! Written as one URI in the subject alternative names, `shardlift://<cluster>/<role>/<name>`, and read from nowhere else.

use crate::name::{ClusterId, NameError, NodeId, PartName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a holder of a certificate may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A person or a pipeline that runs `shardlift` commands.
    Operator,
    /// The control plane.
    Controller,
    /// A server that stores nodes.
    Shard,
    /// What clients connect to.
    Router,
    /// A backup client.
    Node,
}

impl Role {
    /// All roles, in the order of their declaration.
    pub const ALL: [Self; 5] = [Self::Operator, Self::Controller, Self::Shard, Self::Router, Self::Node];

    /// The word used in certificates, configuration and command lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Controller => "controller",
            Self::Shard => "shard",
            Self::Router => "router",
            Self::Node => "node",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(NameError::UnknownRole)
    }
}

/// A role, its name and the cluster it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The cluster that vouches for it.
    pub cluster: ClusterId,
    /// Who it is.
    pub subject: Subject,
}

/// The name within a role. A node's name has its own grammar.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A backup client.
    Node(NodeId),
    /// Any other role; never [`Role::Node`].
    Part(Role, PartName),
}

impl Identity {
    /// The role this identity plays.
    #[must_use]
    pub const fn role(&self) -> Role {
        match &self.subject {
            Subject::Node(_) => Role::Node,
            Subject::Part(role, _) => *role,
        }
    }

    /// The name within the role.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.subject {
            Subject::Node(node) => node.as_str(),
            Subject::Part(_, name) => name.as_str(),
        }
    }

    /// The identity of one backup client.
    #[must_use]
    pub const fn node(cluster: ClusterId, node: NodeId) -> Self {
        Self { cluster, subject: Subject::Node(node) }
    }

    /// The identity of a part or an operator.
    ///
    /// # Errors
    /// [`NameError`] when the name is not a valid one for the role.
    pub fn new(cluster: ClusterId, role: Role, name: &str) -> Result<Self, NameError> {
        let subject = match role {
            Role::Node => Subject::Node(name.parse()?),
            _ => Subject::Part(role, name.parse()?),
        };
        Ok(Self { cluster, subject })
    }

    /// The URI that goes into the certificate. Characters outside the URI's alphabet are percent-encoded as UTF-8.
    #[must_use]
    pub fn to_uri(&self) -> String {
        let mut uri = format!("shardlift://{}/{}/", self.cluster, self.role());
        for byte in self.name().bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'@' | b'/' => uri.push(byte.into()),
                _ => uri.push_str(&format!("%{byte:02X}")),
            }
        }
        uri
    }

    /// Reads a URI made by [`Self::to_uri`]; any other spelling of the same identity is refused.
    ///
    /// # Errors
    /// [`NameError`] when it is no identity or not in canonical form.
    pub fn from_uri(uri: &str) -> Result<Self, NameError> {
        let rest = uri.strip_prefix("shardlift://").ok_or(NameError::NotAnIdentity)?;
        let mut parts = rest.splitn(3, '/');
        let (Some(cluster), Some(role), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NameError::NotAnIdentity);
        };
        let identity = Self::new(cluster.parse()?, role.parse()?, &percent_decode(name)?)?;
        if identity.to_uri() == uri { Ok(identity) } else { Err(NameError::NotCanonical) }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role(), self.name())
    }
}

/// The other end of an authenticated connection, as its certificate showed it. Found in the extensions of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// What the certificate proves; `None` when none was shown.
    pub certificate: Option<PeerCertificate>,
    /// Where the connection comes from; for logs only, it proves nothing.
    pub address: Option<std::net::SocketAddr>,
}

/// A client certificate whose chain and validity were verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Who it names.
    pub holder: Holder,
    /// Serial number, lower-case hex without leading zeros.
    pub serial: String,
    /// `legacy` for a certificate of a CA from before the cluster, else the name of the issuing CA's generation.
    pub issuer: String,
}

/// Who a verified certificate names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Issued by this cluster.
    Member(Identity),
    /// Issued by a CA that the shard trusted before it joined: the common name is the account.
    Legacy {
        /// The common name, unchecked beyond being text.
        account: String,
    },
}

impl Peer {
    /// The cluster identity, if the peer has one.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        match self.certificate.as_ref().map(|certificate| &certificate.holder) {
            Some(Holder::Member(identity)) => Some(identity),
            _ => None,
        }
    }
}

fn percent_decode(text: &str) -> Result<String, NameError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let pair = [rest.next().ok_or(NameError::NotAnIdentity)?, rest.next().ok_or(NameError::NotAnIdentity)?];
        bytes.push(hex::decode(pair).map_err(|_| NameError::NotAnIdentity)?[0]);
    }
    String::from_utf8(bytes).map_err(|_| NameError::NotAnIdentity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_its_uri() {
        for (role, name) in [(Role::Node, "acme/web-1"), (Role::Node, "büro@x"), (Role::Shard, "shard-b")] {
            let identity = Identity::new("c1".parse().unwrap(), role, name).unwrap();
            assert_eq!(Identity::from_uri(&identity.to_uri()), Ok(identity));
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for uri in [
            "shardlift://c1/node/%61cme",
            "shardlift://c1/node/a%2Fb",
            "shardlift://c1/root/x",
            "shardlift://c1/node/",
            "shardlift://c1/node/a/b/c",
            "shardlift://C1/node/a",
            "https://c1/node/a",
            "shardlift://c1/node/%",
        ] {
            assert!(Identity::from_uri(uri).is_err(), "{uri}");
        }
    }
}
