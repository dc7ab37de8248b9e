//! Shards and routers that are known to the controller.

use crate::cli::Global;
use crate::connection::Connection;
use crate::exit::Failure;
use crate::output::{print, router_table, shard_table};
use shardlift_api::v1;
use shardlift_model::{RouterId, ShardId};

pub(crate) async fn add_shard(global: &Global, shard: &ShardId, control: String) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let request = v1::AddShardRequest { shard: shard.to_string(), control_address: control };
    let added = connection.answer(connection.client.clone().add_shard(request)).await?;
    print(global.output, &added, |shard| shard_table(std::slice::from_ref(shard)))
}

pub(crate) async fn list_shards(global: &Global) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let listed = connection.answer(connection.client.clone().list_shards(v1::ListShardsRequest {})).await?;
    print(global.output, &listed, |listed| shard_table(&listed.shards))
}

pub(crate) async fn add_router(global: &Global, router: &RouterId, control: String) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let request = v1::AddRouterRequest { router: router.to_string(), control_address: control };
    let added = connection.answer(connection.client.clone().add_router(request)).await?;
    print(global.output, &added, |router| router_table(std::slice::from_ref(router)))
}

pub(crate) async fn list_routers(global: &Global) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let listed = connection.answer(connection.client.clone().list_routers(v1::ListRoutersRequest {})).await?;
    print(global.output, &listed, |listed| router_table(&listed.routers))
}
