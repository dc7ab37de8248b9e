//! Nodes: who they are, where they are, and what an operator does to one of them.

use crate::cli::{AbortNode, DefineNode, FleetFilter, Global, NamedReason, RetryNode, SetNode, Switch, WriteOffNode};
use crate::confirm::confirm;
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::{explain_text, fleet_table, node_text, print};
use serde::Serialize;
use shardlift_api::v1;
use shardlift_model::NodeId;

/// Pages that are read for one list; a server that never ends its list is wrong.
const PAGES_MAX: usize = 10_000;

#[derive(Debug, Serialize)]
struct Fleet {
    nodes: Vec<v1::FleetNode>,
}

pub(crate) async fn list(global: &Global, filter: FleetFilter) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let mut request = v1::ListFleetRequest {
        customer: filter.customer.map(|customer| customer.to_string()).unwrap_or_default(),
        shard: filter.shard.map(|shard| shard.to_string()).unwrap_or_default(),
        phase: filter.phase.unwrap_or_default(),
        ..Default::default()
    };
    let mut fleet = Fleet { nodes: Vec::new() };
    for _ in 0..PAGES_MAX {
        let page = connection.answer(connection.client.clone().list_fleet(request.clone())).await?;
        fleet.nodes.extend(page.nodes);
        if page.next.is_empty() {
            return print(global.output, &fleet, |fleet| fleet_table(&fleet.nodes));
        }
        request.after = page.next;
    }
    Err(Failure::new(Exit::Failed, "the list of nodes does not end"))
}

pub(crate) async fn show(global: &Global, node: &NodeId) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let request = v1::ShowNodeRequest { node: node.to_string() };
    let shown = connection.answer(connection.client.clone().show_node(request)).await?;
    print(global.output, &shown, node_text)
}

pub(crate) async fn explain(global: &Global, node: &NodeId) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let request = v1::ExplainNodeRequest { node: node.to_string() };
    let explained = connection.answer(connection.client.clone().explain_node(request)).await?;
    print(global.output, &explained, explain_text)
}

pub(crate) async fn define(global: &Global, arguments: DefineNode) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let request = v1::DefineNodeRequest {
        node: arguments.node.to_string(),
        customer: arguments.customer.map(|customer| customer.to_string()).unwrap_or_default(),
        server_name: arguments.server_name.map(|name| name.to_string()).unwrap_or_default(),
    };
    let defined = connection.answer(connection.client.clone().define_node(request)).await?;
    print(global.output, &defined, node_text)
}

pub(crate) async fn set(global: &Global, arguments: SetNode) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let new_hold = |hold: NamedReason| v1::NewHold { id: hold.id, reason: hold.reason };
    let request = v1::ChangeSettingsRequest {
        node: arguments.node.to_string(),
        quota_bytes: arguments.quota.map(|quota| quota.bytes()),
        append_only: arguments.append_only.map(|switch| switch == Switch::On),
        holds: arguments.hold.into_iter().map(new_hold).collect(),
        ended_holds: arguments.end_hold,
    };
    let changed = connection.answer(connection.client.clone().change_settings(request)).await?;
    print(global.output, &changed, node_text)
}

pub(crate) async fn abort(global: &Global, arguments: AbortNode) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let request = v1::AbortNodeRequest { node: arguments.node.to_string(), reason: arguments.reason };
    let aborted = connection.answer(connection.client.clone().abort_node(request)).await?;
    print(global.output, &aborted, node_text)
}

pub(crate) async fn retry(global: &Global, arguments: RetryNode) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let request = v1::RetryNodeRequest { node: arguments.node.to_string(), accept_damaged: arguments.accept_damaged };
    let retried = connection.answer(connection.client.clone().retry_node(request)).await?;
    print(global.output, &retried, node_text)
}

pub(crate) async fn write_off(global: &Global, arguments: WriteOffNode) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let node = arguments.node.to_string();
    confirm(&format!("Wait no longer for the shard that {node} went back from?"), arguments.yes).await?;
    let request = v1::WriteOffWriterRequest { node };
    let written_off = connection.answer(connection.client.clone().write_off_writer(request)).await?;
    print(global.output, &written_off, node_text)
}

pub(crate) async fn restore(global: &Global, node: &NodeId) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let request = v1::RestoreNodeRequest { node: node.to_string() };
    let restored = connection.answer(connection.client.clone().restore_node(request)).await?;
    print(global.output, &restored, node_text)
}
