//! The server under test, as the suite needs to know it.

use std::fmt;
use std::net::SocketAddr;

/// Which of the known servers it is: decides the column of expectations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// restic's own rest-server: the reference.
    RestServer,
    /// Shardlift's shard.
    Ours,
    /// `rclone serve restic`, 1.60.
    Rclone,
}

/// The version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 over TLS.
    Http1,
    /// HTTP/2 over TLS, by ALPN.
    Http2,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Http1 => "h1",
            Self::Http2 => "h2",
        })
    }
}

/// How the peer's repositories may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By everything in the protocol.
    Normal,
    /// Only by adding, locks apart.
    AppendOnly,
}

/// What a client shows of itself.
#[derive(Clone, Default)]
pub struct Login {
    /// User and password for basic authentication.
    pub basic: Option<(String, String)>,
    /// A PEM text with a client certificate and its key.
    pub certificate_pem: Option<String>,
}

impl Login {
    /// Basic authentication.
    #[must_use]
    pub fn basic(user: &str, password: &str) -> Self {
        Self { basic: Some((user.to_owned(), password.to_owned())), certificate_pem: None }
    }

    /// A client certificate: one PEM text with certificate and key.
    #[must_use]
    pub fn certificate(pem: &str) -> Self {
        Self { basic: None, certificate_pem: Some(pem.to_owned()) }
    }
}

/// As whom a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The account that owns the repositories of the cases.
    Owner,
    /// Another account of the same server.
    Other,
    /// Nobody: no password, no certificate.
    Nobody,
    /// The owner's name with a wrong password.
    WrongPassword,
    /// A name the server does not know.
    UnknownUser,
    /// An `Authorization` header that is not one.
    Garbled,
}

/// The server under test.
#[derive(Clone)]
pub struct Peer {
    /// How it is called in the report.
    pub name: String,
    /// Which server it is.
    pub which: Which,
    /// Where it listens.
    pub address: SocketAddr,
    /// The name in the TLS hello and in `Host`.
    pub server_name: String,
    /// PEM text of the CA that its certificate comes from.
    pub ca_pem: String,
    /// The account below which the cases make their repositories, `{account}/{case}`.
    pub account: String,
    /// How the owner of `account` logs in.
    pub owner: Login,
    /// Another account and its login, to try foreign doors. `None` where the server knows no private repositories.
    pub other: Option<(String, Login)>,
    /// True when a client without certificate is turned away during the TLS handshake or right after it.
    pub certificate_demanded: bool,
    /// How its repositories may be changed.
    pub mode: Mode,
    /// When set, all cases share this repository, which exists; for servers where a mode belongs to a repository.
    pub repository: Option<String>,
    /// What to speak.
    pub protocols: Vec<Protocol>,
}
