//! Brings every router to the routes that follow from the recorded placements, and reads them back (INV-06).
//!
//! Only what differs is sent. A router takes each version once, so a difference that needs several messages is sent under
//! the versions just below the wanted one, which the router has not seen. Confirmed is what was read back from all
//! routers, not what they answered to the change.

use super::Context;
use crate::backoff::Backoff;
use crate::channels::{Deadline as _, Within as _};
use prost::Message as _;
use shardlift_api::v1::{self, router_control_client::RouterControlClient};
use shardlift_migration::{Input, Routed, Stage, World};
use shardlift_model::{RouterId, ServerName};
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::transport::Channel;

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Largest message of changes, in bytes; a router takes 4 MiB.
const MESSAGE_BYTES_MAX: usize = 3 << 20;

/// Most routes in one message of changes.
const MESSAGE_ROUTES_MAX: usize = 10_000;

/// Routes read back per page.
const PAGE: u32 = 5000;

/// Pages of one reading; a router that never ends is broken.
const PAGES_MAX: usize = 1000;

/// Routes by server name.
pub(crate) type Table = BTreeMap<String, v1::Route>;

pub(super) async fn run(context: Context, version: u64) {
    let mut backoff = Backoff::new(context.pace.retry);
    loop {
        if sync_all(&context, version).await {
            if !context.inputs.report(Input::RoutesConfirmed { version }).await {
                return;
            }
            // A node that is being retired waits for its route next: its answer may come a moment after this confirmation. So
            // may the record that makes a node wait which is taken over.
            let waits = |world: &World| {
                let mut stages = world.nodes.values().filter_map(|node| node.migration.as_ref()).map(|m| m.stage);
                stages.any(|stage| matches!(stage, Stage::Retiring | Stage::Routing | Stage::Redirecting))
            };
            if !context.shared.world(waits) {
                backoff = Backoff::new(context.pace.retry);
                tokio::time::sleep(context.pace.routes).await;
                continue;
            }
        }
        backoff.wait().await;
    }
}

/// True when every router was read back and holds the table.
async fn sync_all(context: &Context, version: u64) -> bool {
    let Some(wanted) = context.shared.world(|world| table(world, version)) else { return false };
    let wanted = &wanted;
    let syncs = context.routers().into_iter().map(|(router, address)| async move {
        let result = sync(context, &router, &address, version, wanted).await;
        let problem = result.err();
        if let Some(problem) = &problem {
            tracing::warn!(%router, version, problem, "the routes are not in force");
        }
        let agreed = problem.is_none();
        context.shared.observe(|observed| observed.routers.entry(router).or_default().problem = problem);
        agreed
    });
    futures::future::join_all(syncs).await.into_iter().all(|agreed| agreed)
}

/// The routes of the recorded placements, if the world is still at this version and all addresses are known.
fn table(world: &World, version: u64) -> Option<Table> {
    if world.route_version != version {
        return None;
    }
    let route = |(server_name, routed): (&ServerName, Routed<'_>)| {
        let server_name = server_name.as_str().to_owned();
        let route = v1::Route {
            server_name: server_name.clone(),
            node: routed.node.as_str().to_owned(),
            shard: routed.shard.as_str().to_owned(),
            client_address: world.shards.get(routed.shard)?.client_address.clone(),
            token: Some(routed.token.into()),
            sever: routed.sever,
        };
        Some((server_name, route))
    };
    world.routes().into_iter().map(route).collect()
}

async fn sync(context: &Context, router: &RouterId, address: &str, version: u64, wanted: &Table) -> Result<(), String> {
    let mut client = context.channels.router(router, address);
    let (held_version, held) = read_back(&mut client).await?;
    if held_version > version {
        return Err(format!("it holds version {held_version}, above the recorded {version}: was the store replaced?"));
    }
    let differing: Vec<v1::Route> = wanted
        .iter()
        .filter(|(name, route)| !held.get(*name).is_some_and(|held| same(held, route)))
        .map(|(_, route)| route.clone())
        .collect();
    if differing.is_empty() && held_version == version {
        return Ok(());
    }
    for request in requests(held_version, version, differing)? {
        let said = client.apply_routes(DEADLINE.on(request)).within(DEADLINE).await;
        said.map_err(|status| format!("it refused the routes: {}", status.message()))?;
    }
    let (held_version, held) = read_back(&mut client).await?;
    let missing = wanted.iter().filter(|(name, route)| !held.get(*name).is_some_and(|held| same(held, route))).count();
    if held_version == version && missing == 0 {
        return Ok(());
    }
    Err(format!("read back: version {held_version} instead of {version}, {missing} routes differ"))
}

/// The same way for the same placement. Tokens of the same generation differ with every start of a controller. A router that
/// was not told to sever has not done so.
fn same(held: &v1::Route, wanted: &v1::Route) -> bool {
    let generation = |route: &v1::Route| route.token.as_ref().map(|token| token.generation);
    held.node == wanted.node
        && held.shard == wanted.shard
        && held.client_address == wanted.client_address
        && held.sever == wanted.sever
        && generation(held) == generation(wanted)
}

/// Messages under rising versions; the last one has the wanted version.
fn requests(held: u64, version: u64, routes: Vec<v1::Route>) -> Result<Vec<v1::ApplyRoutesRequest>, String> {
    if held == version {
        return Err(format!("its version {version} has other content"));
    }
    let mut messages: Vec<Vec<v1::Route>> = vec![Vec::new()];
    let mut bytes = 0;
    for route in routes {
        let length = route.encoded_len() + 8;
        let is_full = messages.last().is_some_and(|message| message.len() >= MESSAGE_ROUTES_MAX);
        if is_full || bytes + length > MESSAGE_BYTES_MAX {
            messages.push(Vec::new());
            bytes = 0;
        }
        bytes += length;
        if let Some(message) = messages.last_mut() {
            message.push(route);
        }
    }
    let count = messages.len() as u64;
    if count > version - held {
        return Err(format!("{count} messages of routes do not fit between version {held} and {version}"));
    }
    let first = version - count + 1;
    let request = |(version, upserts)| v1::ApplyRoutesRequest { version, upserts };
    Ok((first..=version).zip(messages).map(request).collect())
}

/// All routes of a router, and their version.
pub(crate) async fn read_back(client: &mut RouterControlClient<Channel>) -> Result<(u64, Table), String> {
    let mut table = Table::new();
    let mut after = String::new();
    let mut first_version = None;
    for _page in 0..PAGES_MAX {
        let request = v1::GetRoutesRequest { server_names: vec![], after: after.clone(), limit: PAGE };
        let answer = client.get_routes(DEADLINE.on(request)).within(DEADLINE).await;
        let answer = answer.map_err(|status| format!("it does not answer: {}", status.message()))?.into_inner();
        if *first_version.get_or_insert(answer.version) != answer.version {
            return Err("its routes changed while they were read back".to_owned());
        }
        table.extend(answer.routes.into_iter().map(|route| (route.server_name.clone(), route)));
        if answer.next.is_empty() {
            return Ok((answer.version, table));
        }
        after = answer.next;
    }
    Err("its table of routes does not end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_model::Token;

    fn route(number: usize, padding: usize) -> v1::Route {
        v1::Route {
            server_name: format!("n{number}.{}", "x".repeat(padding)),
            node: format!("n{number}"),
            shard: "b".into(),
            client_address: "127.0.0.1:1".into(),
            token: Some(Token::new(1, 2, 3).into()),
            sever: false,
        }
    }

    #[test]
    fn a_small_difference_is_one_message_under_the_wanted_version() {
        let requests = requests(3, 9, vec![route(1, 0)]).unwrap();
        assert_eq!(requests.iter().map(|r| (r.version, r.upserts.len())).collect::<Vec<_>>(), [(9, 1)]);
    }

    #[test]
    fn a_large_difference_ends_with_the_wanted_version_and_loses_no_route() {
        let routes: Vec<_> = (0..30_000).map(|number| route(number, 200)).collect();
        let requests = requests(3, 9, routes).unwrap();
        assert!(requests.iter().all(|request| request.upserts.len() <= MESSAGE_ROUTES_MAX));
        assert!(requests.len() > 1 && requests.iter().all(|request| request.encoded_len() < 4 << 20));
        assert!(requests.windows(2).all(|pair| pair[0].version + 1 == pair[1].version));
        assert!(requests[0].version > 3);
        assert_eq!(requests.last().unwrap().version, 9);
        assert_eq!(requests.iter().map(|request| request.upserts.len()).sum::<usize>(), 30_000);
    }

    #[test]
    fn what_cannot_be_brought_in_line_is_said() {
        assert!(requests(9, 9, vec![route(1, 0)]).is_err());
        assert!(requests(8, 9, (0..30_000).map(|number| route(number, 200)).collect()).is_err());
    }

    #[test]
    fn a_route_of_another_generation_is_another_route() {
        let mut other = route(1, 0);
        other.token = Some(Token::new(9, 2, 9).into());
        assert!(same(&other, &route(1, 0)));
        other.token = Some(Token::new(1, 3, 3).into());
        assert!(!same(&other, &route(1, 0)));
    }

    #[test]
    fn a_route_that_does_not_sever_is_not_the_one_that_does() {
        let severing = v1::Route { sever: true, ..route(1, 0) };
        assert!(same(&severing, &severing) && !same(&route(1, 0), &severing));
    }
}
