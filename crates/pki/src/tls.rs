//! TLS between the parts of a cluster and towards clients.
//!
//! [`Credentials`] are loaded from files and may be reloaded at any time: the configurations made from them look up the
//! certificate and the trusted roots at every handshake, so listeners and open connections stay. No configuration
//! stores sessions or hands out tickets: a resumed session would skip the verifiers.

mod client;
mod connection;
mod credentials;
mod error;
mod incoming;
mod loaded;
mod pinned;
mod server;
mod verifier;

pub use client::{Expected, channel, client_config, connect, dial};
pub use connection::{Connection, HANDSHAKE_TIMEOUT, handshake, peer_of};
pub use credentials::{CredentialPaths, Credentials, ServerChain};
pub use error::{CredentialError, HandshakeError, TlsError, readable};
pub use incoming::{Incoming, IncomingCounters, IncomingLimits};
pub use pinned::{pinned_channel, pinned_channel_as};
pub use server::{
    ClientAuth, ServerTls, client_facing_config, enrolment_config, mutual_server_config, server_only_config,
};

/// HTTP/2, which gRPC needs.
pub const ALPN_HTTP2: &[u8] = b"h2";

/// HTTP/1.1.
pub const ALPN_HTTP1: &[u8] = b"http/1.1";
