//! A conversation with the controller.

use crate::cli::Global;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use shardlift_api::fault::{CODE_HEADER, FaultKind};
use shardlift_api::v1::operator_client::OperatorClient;
use shardlift_model::Role;
use shardlift_pki::tls::{Expected, channel};
use std::future::Future;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Response, Status};

/// How long one question may take. Drafting a plan for a large fleet is the longest.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(120);

/// Largest answer: the status of a cluster with many thousand nodes in its batches.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// The controller, as seen by one operator.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) client: OperatorClient<Channel>,
    pub(crate) context: Context,
}

impl Connection {
    /// Reads context and certificate; the first question opens the connection.
    pub(crate) fn open(global: &Global) -> Result<Self, Failure> {
        let context = Context::find(global)?;
        let credentials = context.credentials()?;
        let channel = channel(&credentials, &context.controller, Expected::any(Role::Controller));
        let client = OperatorClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        Ok(Self { client, context })
    }

    /// Waits for an answer.
    pub(crate) async fn answer<T>(
        &self,
        asked: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(ANSWER_TIME_MAX, asked).await {
            Ok(answer) => answer.map(Response::into_inner).map_err(|status| self.explain(&status)),
            Err(_elapsed) => Err(self.explain(&Status::deadline_exceeded("no answer in 120 s"))),
        }
    }

    /// What a status means here.
    pub(crate) fn explain(&self, status: &Status) -> Failure {
        let named = format!("the address comes from {}; --controller gives another one", self.context.file.display());
        not_answered(status, "controller", &self.context.controller, &named)
    }
}

/// A failure for a status; one that did not come from the other side says which address did not answer.
pub(crate) fn not_answered(status: &Status, who: &str, address: &str, advice: &str) -> Failure {
    let said_by_server = status.metadata().contains_key(CODE_HEADER);
    if said_by_server || FaultKind::from(status) != FaultKind::Unavailable {
        return Failure::from(status);
    }
    let what = format!("the {who} at {address} does not answer: {}", innermost(status));
    Failure::new(Exit::Unreachable, what).advise(format!("is it running? {advice}"))
}

/// The cause that says most: the last one, with the one before when that is ours and not the transport's.
fn innermost(status: &Status) -> String {
    let mut causes = vec![status.message().to_owned()];
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    causes.dedup();
    let start = causes.len().saturating_sub(2);
    let told: Vec<&str> = causes.iter().skip(start).map(String::as_str).collect();
    told.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_controller_that_is_not_there_is_unreachable_and_named() {
        shardlift_pki::install_crypto_provider();
        // Bound and dropped: nobody listens there.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let channel = shardlift_pki::tls::pinned_channel(&address, &"0".repeat(64)).unwrap();
        let mut client = OperatorClient::new(channel);
        let status = client.get_status(shardlift_api::v1::GetStatusRequest {}).await.unwrap_err();
        let failure = not_answered(&status, "controller", &address, "advice");
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(failure.what.contains(&address) && failure.what.contains("refused"), "{failure}");
        assert!(failure.advice.contains("is it running?"), "{failure}");
    }

    #[test]
    fn what_the_controller_says_itself_is_told_as_it_is() {
        let fault = shardlift_api::fault::Fault::new(FaultKind::Unavailable, "not the leader\ntry again");
        let failure = not_answered(&fault.into(), "controller", "a:1", "advice");
        assert_eq!((failure.what.as_str(), failure.advice.as_str()), ("not the leader", "try again"));
    }
}
