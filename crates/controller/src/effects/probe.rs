//! Asks through every router which shard a server name reaches.
//!
//! Both sides prove their role by certificate, so the right answer cannot come from the wrong shard. A wrong answer is
//! not reported but asked for again: routes and clients may need a moment, and only the right one leads on.

use super::Context;
use crate::backoff::Backoff;
use crate::channels::{Deadline as _, Within as _};
use prost::Message as _;
use shardlift_api::{PROBE_ALPN, PROBE_BYTES_MAX, v1};
use shardlift_migration::Outcome;
use shardlift_model::{Generation, NodeId, RouterId, ServerName, ShardId, Token};
use shardlift_net::Stream;
use shardlift_pki::tls::{Expected, connect};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long one probe through one router may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// What is asked and what the answer should be.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) node: NodeId,
    pub(super) token: Token,
    pub(super) server_name: ServerName,
    pub(super) shard: ShardId,
    pub(super) generation: Generation,
}

pub(super) async fn run(context: Context, question: Question) {
    let mut backoff = Backoff::new(context.pace.retry);
    loop {
        let problem = ask_all(&context, &question).await.err();
        let right = problem.is_none();
        if let Some(problem) = &problem {
            tracing::warn!(node = %question.node, problem, "the probe did not reach the target");
        }
        context.wait(&question.node, problem);
        if right {
            let Question { node, token, shard, generation, .. } = &question;
            let outcome = Outcome::Probed { shard: shard.clone(), generation: *generation, serving: true };
            if !context.answer(node, *token, outcome).await {
                return;
            }
        }
        backoff.wait().await;
    }
}

/// Right through every router, or the first thing that is wrong.
async fn ask_all(context: &Context, question: &Question) -> Result<(), String> {
    let asks = context.routers().into_iter().map(|(router, address)| async move {
        match tokio::time::timeout(DEADLINE, ask(context, &router, &address, question)).await {
            Ok(result) => result.map_err(|problem| format!("through router {router}: {problem}")),
            Err(_elapsed) => Err(format!("through router {router}: no answer within {DEADLINE:?}")),
        }
    });
    futures::future::try_join_all(asks).await.map(|_all_right| ())
}

async fn ask(context: &Context, router: &RouterId, address: &str, question: &Question) -> Result<(), String> {
    let mut control = context.channels.router(router, address);
    let about = control.describe_router(DEADLINE.on(v1::DescribeRouterRequest {})).within(DEADLINE).await;
    let about = about.map_err(|status| format!("it does not answer: {}", status.message()))?.into_inner();
    let connected = Stream::connect(&about.client_address).await;
    let stream = connected.map_err(|error| format!("no connection to {}: {error}", about.client_address))?;
    let expected = Expected::one(shardlift_model::Role::Shard, question.shard.as_str());
    let name = question.server_name.as_str();
    let credentials = context.channels.credentials();
    let mut stream = connect(credentials, stream, name, expected, &[PROBE_ALPN]).await.map_err(|error| {
        format!("{name} does not reach {}: {}", question.shard, shardlift_api::fault::chain(&error))
    })?;
    if stream.get_ref().1.alpn_protocol() != Some(PROBE_ALPN) {
        return Err(format!("{name} reaches something that does not answer probes"));
    }
    let answer = exchange(&mut stream, &question.node).await.map_err(|error| format!("{name} broke off: {error}"))?;
    compare(&answer, question)
}

async fn exchange(
    stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin),
    node: &NodeId,
) -> std::io::Result<v1::ProbeAnswer> {
    let request = v1::ProbeRequest { node: node.as_str().to_owned() }.encode_to_vec();
    let length = u32::try_from(request.len()).map_err(std::io::Error::other)?;
    let mut message = length.to_be_bytes().to_vec();
    message.extend_from_slice(&request);
    stream.write_all(&message).await?;
    stream.flush().await?;
    let length = stream.read_u32().await?;
    if length > PROBE_BYTES_MAX {
        return Err(std::io::Error::other(format!("an answer of {length} bytes, at most {PROBE_BYTES_MAX} are read")));
    }
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await?;
    v1::ProbeAnswer::decode(&answer[..]).map_err(std::io::Error::other)
}

fn compare(answer: &v1::ProbeAnswer, question: &Question) -> Result<(), String> {
    let Question { node, shard, generation, .. } = question;
    if answer.node != node.as_str() || answer.shard != shard.as_str() {
        return Err(format!("{} answered for {}", answer.shard, answer.node));
    }
    if answer.generation != generation.0 {
        return Err(format!("{shard} serves generation {}, {generation} is recorded", answer.generation));
    }
    if answer.serving { Ok(()) } else { Err(format!("{shard} does not serve {node} yet")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            node: "acme/web-1".parse().unwrap(),
            token: Token::new(1, 2, 3),
            server_name: "acme--web-1.backup.example".parse().unwrap(),
            shard: "b".parse().unwrap(),
            generation: Generation(2),
        }
    }

    #[test]
    fn only_the_right_shard_generation_and_mode_count() {
        let right = v1::ProbeAnswer { shard: "b".into(), node: "acme/web-1".into(), generation: 2, serving: true };
        assert_eq!(compare(&right, &question()), Ok(()));
        for wrong in [
            v1::ProbeAnswer { shard: "a".into(), ..right.clone() },
            v1::ProbeAnswer { node: "acme/web-2".into(), ..right.clone() },
            v1::ProbeAnswer { generation: 1, ..right.clone() },
            v1::ProbeAnswer { serving: false, ..right.clone() },
        ] {
            assert!(compare(&wrong, &question()).is_err(), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_not_read() {
        let (mut near, mut far) = tokio::io::duplex(64 * 1024);
        far.write_all(&(PROBE_BYTES_MAX + 1).to_be_bytes()).await.unwrap();
        assert!(exchange(&mut near, &question().node).await.is_err());
    }
}
