//! Shards and routers that are known to the controller.

use crate::cli::{Global, LimitShard, Switch};
use crate::connection::Connection;
use crate::exit::Failure;
use crate::output::{limits_text, print, router_table, shard_table};
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

pub(crate) async fn limit_shard(global: &Global, arguments: LimitShard) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let request = v1::LimitShardRequest {
        shard: arguments.shard.to_string(),
        reset: arguments.reset,
        bytes_per_second: arguments.cap.map(|cap| cap.or(0, |pace| pace.0)),
        windows: arguments.window.map(|window| window.or(String::new(), |text| text)),
        streams: arguments.streams.map(|streams| streams.or(0, |streams| streams)),
        clients_first: arguments.clients_first.map(|switch| switch == Switch::On),
        floor_bytes_per_second: arguments.floor.map(|floor| floor.or(0, |pace| pace.0)),
    };
    let limits = connection.answer(connection.client.clone().limit_shard(request)).await?;
    print(global.output, &limits, limits_text)
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
