//! Shards, routers, and the nodes that are found on shards.

use super::Refusal;
use crate::event::Event;
use crate::input::Input;
use crate::settings::Settings;
use crate::world::{Router, Shard, World};
use shardlift_model::{CustomerId, Generation, NodeId, ServerName};

/// Recorded when it changes what is done, and only then: advice comes every few seconds.
pub(super) fn advise_seeding(world: &World, count: u32) -> Result<Vec<Event>, Refusal> {
    let count = count.clamp(1, world.limits.seeding_nodes_max.max(1));
    if count == world.seeding_nodes() {
        return Ok(vec![]);
    }
    world.checked(Event::SeedingAdvised { count })
}

pub(super) fn record_shard(world: &World, shard: &Shard) -> Result<Vec<Event>, Refusal> {
    if world.shards.get(&shard.shard) == Some(shard) {
        return Ok(vec![]);
    }
    world.checked(Event::ShardRecorded { shard: shard.clone() })
}

pub(super) fn record_router(world: &World, router: &Router) -> Result<Vec<Event>, Refusal> {
    if world.routers.get(&router.router) == Some(router) {
        return Ok(vec![]);
    }
    world.checked(Event::RouterRecorded { router: router.clone() })
}

/// A known node stays where its placement says, whoever else lists it: a duplicate on a second shard never changes a
/// placement (INV-06).
pub(super) fn list_node(world: &World, input: &Input) -> Result<Vec<Event>, Refusal> {
    let Input::NodeListed { node, shard, generation, customer, server_name } = input else { return Ok(vec![]) };
    if world.nodes.contains_key(node) {
        return Ok(vec![]);
    }
    let server_name = free_server_name(world, node, server_name.as_ref())?;
    let route_version = next_route_version(world);
    let customer = customer.clone().unwrap_or_else(|| node.default_customer());
    let (node, shard, generation) = (node.clone(), shard.clone(), *generation);
    world.checked(Event::NodeFound { node, customer, server_name, shard, generation, route_version })
}

fn next_route_version(world: &World) -> u64 {
    world.route_version.saturating_add(1)
}

/// The recorded name, else the readable one, else the hashed one.
fn free_server_name(world: &World, node: &NodeId, recorded: Option<&ServerName>) -> Result<ServerName, Refusal> {
    let too_long = |_| {
        let message = format!("the zone {} leaves no room for a server name of node `{node}`", world.zone);
        Refusal::invalid(message, "choose a shorter zone")
    };
    let readable = node.default_server_name(&world.zone).map_err(too_long)?;
    let hashed = node.hashed_server_name(&world.zone).map_err(too_long)?;
    let free = |name: &ServerName| world.node_with_server_name(name).is_none();
    recorded.cloned().into_iter().chain([readable, hashed]).find(free).ok_or_else(|| {
        let message = format!("every server name that node `{node}` could get belongs to another node");
        Refusal::conflict(message, "give the other node another name: `shardlift node define NODE --server-name NAME`")
    })
}

pub(super) fn define_node(
    world: &World,
    node: &NodeId,
    customer: Option<&CustomerId>,
    server_name: Option<&ServerName>,
) -> Result<Vec<Event>, Refusal> {
    let known = super::moves::known(world, node)?;
    let customer = customer.unwrap_or(&known.customer).clone();
    let server_name = server_name.unwrap_or(&known.server_name).clone();
    if customer == known.customer && server_name == known.server_name {
        return Ok(vec![]);
    }
    let renamed = server_name != known.server_name;
    let route_version = if renamed { next_route_version(world) } else { world.route_version };
    world.checked(Event::NodeDefined { node: node.clone(), customer, server_name, route_version })
}

/// Recorded under the placement whose writer has confirmed them, while the node stays there: what is said too late may not
/// have travelled with it.
pub(super) fn record_settings(
    world: &World,
    node: &NodeId,
    generation: Generation,
    settings: &Settings,
) -> Result<Vec<Event>, Refusal> {
    let known = super::moves::known(world, node)?;
    let event = Event::SettingsChanged { node: node.clone(), generation, settings: settings.clone() };
    let legal = world.legal(&event).map_err(|illegal| {
        Refusal::precondition(illegal.to_string(), "try again when `shardlift node show` says that it rests")
    });
    legal?;
    if known.settings.as_ref() == Some(settings) { Ok(vec![]) } else { Ok(vec![event]) }
}
