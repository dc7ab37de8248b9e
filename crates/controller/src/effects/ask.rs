//! Asks whether now is a good moment for a batch to flip: every router, whether it answers; and, when the batch waits for
//! idle nodes, every source, whether the node has a session.
//!
//! What stands in the way is shown with the batch. Nothing is kept: the next look asks all of it again.

use super::Context;
use crate::channels::{Deadline as _, Within as _};
use crate::clock;
use shardlift_api::v1;
use shardlift_migration::Input;
use shardlift_model::{BatchId, NodeId, RouterId, ShardId, UnixMillis};
use std::time::Duration;

/// How long a router may take.
const DEADLINE: Duration = Duration::from_secs(3);

/// A lock that is older belongs to a client that was killed: clients refresh theirs every five minutes.
const LOCK_AGE_MAX: Duration = Duration::from_secs(30 * 60);

pub(super) async fn run(context: Context, batch: BatchId, idle: Option<Vec<(NodeId, ShardId)>>) {
    loop {
        let (routers, sessions) = tokio::join!(silent_routers(&context), sessions(&context, idle.as_deref()));
        let clear =
            Input::CutoverClear { batch: batch.clone(), idle: sessions.is_empty(), routers: routers.is_empty() };
        let in_the_way = routers.into_iter().chain(sessions).collect();
        context.shared.observe(|observed| drop(observed.batch_waits.insert(batch.clone(), in_the_way)));
        if !context.inputs.report(clear).await {
            return;
        }
        tokio::time::sleep(context.pace.watch).await;
    }
}

/// Which routers do not answer. After the commit they must take the new routes at once.
async fn silent_routers(context: &Context) -> Vec<String> {
    let asks = context.routers().into_iter().map(|(router, address)| async move {
        let problem = ask(context, &router, &address).await.err()?;
        Some(format!("router {router} to answer: {problem}"))
    });
    futures::future::join_all(asks).await.into_iter().flatten().collect()
}

async fn ask(context: &Context, router: &RouterId, address: &str) -> Result<(), String> {
    let mut client = context.channels.router(router, address);
    let answer = client.describe_router(DEADLINE.on(v1::DescribeRouterRequest {})).within(DEADLINE).await;
    answer.map(drop).map_err(|status| status.message().to_owned())
}

/// Which nodes are not idle, and why. One whose source does not answer is not known to be idle.
async fn sessions(context: &Context, nodes: Option<&[(NodeId, ShardId)]>) -> Vec<String> {
    let asks = nodes.unwrap_or_default().iter().map(|(node, source)| async move {
        let why = match context.node_at(source, node).await {
            Ok(status) => session(&status, clock::now())?,
            Err(status) => format!("{source} does not answer: {}", status.message()),
        };
        Some(format!("{node} to be idle: {why}"))
    });
    futures::future::join_all(asks).await.into_iter().flatten().collect()
}

/// What shows that a client is at work.
fn session(status: &v1::NodeStatus, now: UnixMillis) -> Option<String> {
    let newest = UnixMillis(status.newest_lock_unix_ms);
    if status.locks > 0 && now.since(newest) < LOCK_AGE_MAX {
        return Some(format!("its repository is locked since {} s", now.since(newest).as_secs()));
    }
    if status.requests_in_flight > 0 {
        return Some(format!("{} requests are in progress", status.requests_in_flight));
    }
    (status.open_connections > 0).then(|| format!("{} connections are open", status.open_connections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_requests_and_connections_each_show_a_session() {
        let now = UnixMillis(100 * 60 * 1000);
        let status = |locks, minutes: u64, requests_in_flight, open_connections| v1::NodeStatus {
            locks,
            newest_lock_unix_ms: now.0 - minutes * 60_000,
            requests_in_flight,
            open_connections,
            ..Default::default()
        };
        assert_eq!(session(&status(0, 0, 0, 0), now), None);
        assert_eq!(session(&status(1, 31, 0, 0), now), None, "a lock of a client that was killed");
        assert!(session(&status(1, 29, 0, 0), now).is_some());
        assert!(session(&status(0, 0, 1, 0), now).is_some());
        assert!(session(&status(0, 0, 0, 1), now).is_some());
    }
}
