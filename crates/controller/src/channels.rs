//! Connections to shards and routers: one for each part and address, made when first used, kept, and mutually
//! authenticated. A part that answers under another identity than the expected one is never spoken to.

use shardlift_api::v1::part_certificate_client::PartCertificateClient;
use shardlift_api::v1::router_control_client::RouterControlClient;
use shardlift_api::v1::shard_control_client::ShardControlClient;
use shardlift_model::{Role, RouterId, ShardId};
use shardlift_pki::tls::{Credentials, Expected, channel};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Largest answer, in bytes: a page of a thousand nodes with their certificates.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The open connections.
#[derive(Debug)]
pub(crate) struct Channels {
    credentials: Arc<Credentials>,
    open: Mutex<BTreeMap<(Role, String), (String, Channel)>>,
}

impl Channels {
    pub(crate) fn new(credentials: Arc<Credentials>) -> Self {
        Self { credentials, open: Mutex::default() }
    }

    /// The own credentials.
    pub(crate) const fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// A shard's control service.
    pub(crate) fn shard(&self, shard: &ShardId, address: &str) -> ShardControlClient<Channel> {
        let channel = self.to(Role::Shard, shard.as_str(), address);
        ShardControlClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// A router's control service.
    pub(crate) fn router(&self, router: &RouterId, address: &str) -> RouterControlClient<Channel> {
        let channel = self.to(Role::Router, router.as_str(), address);
        RouterControlClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// What a part does with its own certificate.
    pub(crate) fn part(&self, role: Role, name: &str, address: &str) -> PartCertificateClient<Channel> {
        PartCertificateClient::new(self.to(role, name, address))
    }

    fn to(&self, role: Role, name: &str, address: &str) -> Channel {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (role, name.to_owned());
        if let Some((known, channel)) = open.get(&key)
            && known == address
        {
            return channel.clone();
        }
        let channel = channel(&self.credentials, address, Expected::one(role, name));
        open.insert(key, (address.to_owned(), channel.clone()));
        channel
    }
}

/// A time limit that both sides know of.
pub(crate) trait Deadline {
    /// A request that the server gives up after this time.
    fn on<T>(self, message: T) -> Request<T>;
}

impl Deadline for Duration {
    fn on<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self);
        request
    }
}

/// The same limit on this side, for servers that are gone.
pub(crate) trait Within: Sized {
    /// The answer, or `DEADLINE_EXCEEDED`, whose outcome is unknown like that of every lost answer.
    fn within(self, limit: Duration) -> impl Future<Output = Result<Self::Answer, Status>> + Send;

    /// What is answered.
    type Answer;
}

impl<T: Send, F: Future<Output = Result<T, Status>> + Send> Within for F {
    type Answer = T;

    async fn within(self, limit: Duration) -> Result<T, Status> {
        // A little longer than the server has, so that its own word wins.
        match tokio::time::timeout(limit + Duration::from_secs(1), self).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(Status::deadline_exceeded(format!("no answer within {limit:?}"))),
        }
    }
}
