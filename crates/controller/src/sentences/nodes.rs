//! Sentences about one node.

use super::stages::{customer_words, operator_words};
use super::{Concerns, Told};
use crate::operator::rfc3339;
use shardlift_migration::{Event, FinalState, Settings, SoakFact, Way, World};
use shardlift_model::{ByteCount, NodeId};

fn node_told(node: &NodeId, operator: String, customer: Option<String>) -> Told {
    Told { concerns: Concerns::Node(node.clone()), operator, customer }
}

fn state_words(state: &FinalState) -> String {
    let FinalState { seq, objects, bytes, damaged, .. } = state;
    format!("change {seq}, {objects} objects, {}, {damaged} damaged", ByteCount(*bytes))
}

pub(super) fn tell_of_node(event: &Event, before: &World) -> Told {
    match event {
        Event::NodeFound { node, customer, shard, generation, .. } => Told {
            concerns: Concerns::NewNode(node.clone(), customer.clone()),
            operator: format!("{node} was found on {shard}, generation {generation}."),
            customer: Some(format!("{node} is known to the service.")),
        },
        Event::NodeDefined { node, customer, server_name, .. } => {
            let operator = format!("{node} belongs to {customer} and connects to {server_name}.");
            node_told(node, operator, Some(format!("{node} connects to {server_name}.")))
        }
        Event::StageEntered { node, stage, .. } => {
            let way = before.migration(node).map_or(Way::Forward, |(_, moving)| moving.way());
            let customer = customer_words(*stage, way).map(|words| format!("{node} {words}."));
            node_told(node, format!("{node} {}.", operator_words(*stage)), customer)
        }
        Event::ReplicaVerified { node, state } => {
            let operator = format!("{node} was verified equal on both sides: {}.", state_words(state));
            node_told(node, operator, Some(format!("The copy of {node} was read again and is equal.")))
        }
        Event::FinalStateNamed { node, state } => {
            node_told(node, format!("The final state of {node} is {}.", state_words(state)), None)
        }
        Event::FenceLost { node, reason } => {
            node_told(node, format!("The fence of {node} was lost and is set again: {reason}."), None)
        }
        Event::MoveHeld { node, held } => node_told(
            node,
            format!("{node} needs an operator: {}. {}", held.reason, held.advice),
            Some(format!("The move of {node} waits for the operators; its backups go on as before.")),
        ),
        other => tell_of_node_further(other),
    }
}

fn tell_of_node_further(event: &Event) -> Told {
    match event {
        Event::MoveRetried { node, accept_damaged } => {
            let how = if *accept_damaged { ", damaged objects are accepted" } else { "" };
            node_told(node, format!("{node} goes on{how}."), Some(format!("The move of {node} goes on.")))
        }
        Event::UndoStarted { node, reason } => node_told(
            node,
            format!("{node} leaves its batch: {reason}."),
            Some(format!("The move of {node} is taken back; its backups go on as before.")),
        ),
        Event::WriterPromoted { node, seq, snapshots } => {
            let text = format!("{node} has its new writer, from its change {seq} on, with {snapshots} snapshots.");
            node_told(node, text, None)
        }
        Event::RollbackStarted { node, reason, rehearsal, .. } => {
            let what = if *rehearsal { "rehearses its way back" } else { "goes back to where it came from" };
            let customer = format!("{node} changes over once more; writes wait for a few seconds.");
            node_told(node, format!("{node} {what}: {reason}."), Some(customer))
        }
        Event::RollbackUndone { node, .. } => {
            node_told(node, format!("{node} stays with its target; its source follows again."), None)
        }
        Event::RestoreStarted { node, .. } => node_told(node, format!("The old copy of {node} is wanted back."), None),
        Event::SoakFactSeen { node, fact, .. } => {
            let (operator, customer) = soak_words(fact);
            node_told(node, format!("{node} {operator}."), customer.map(|words| format!("{node} {words}.")))
        }
        other => tell_of_takeover(other),
    }
}

fn tell_of_takeover(event: &Event) -> Told {
    match event {
        Event::TakeoverStarted { node, after_seq, reason, at } => {
            let operator =
                format!("{node} goes back without its writer, whose changes after {after_seq} are given up: {reason}.");
            let customer = format!(
                "{node} is being moved back to its former server, because its present one has failed. Backups stored shortly \
                 before {} may not be available any more.",
                rfc3339(*at)
            );
            node_told(node, operator, Some(customer))
        }
        Event::StockTaken { node, state } => {
            node_told(node, format!("The copy that takes {node} over has {}.", state_words(state)), None)
        }
        Event::TakeoverCommitted { placement, .. } => {
            let node = &placement.node;
            node_told(node, format!("{node} is committed to {} without its former writer.", placement.shard), None)
        }
        Event::WriterWrittenOff { node, .. } => {
            node_told(node, format!("The former writer of {node} will never return and is not waited for."), None)
        }
        Event::SettingsChanged { node, settings, .. } => {
            node_told(node, format!("{node} is set to have {}.", settings_words(settings)), None)
        }
        Event::ReceiptIssued { node, generation, .. } => {
            let operator = format!("The receipt of {node} for generation {} was made.", generation.0);
            node_told(node, operator, None)
        }
        other => tell_of_certificate(other),
    }
}

fn settings_words(settings: &Settings) -> String {
    let quota = settings.quota.map_or_else(|| "no quota of its own".to_owned(), |quota| format!("a quota of {quota}"));
    let append_only = if settings.append_only { ", append-only" } else { "" };
    let holds = match settings.holds.len() {
        0 => String::new(),
        1 => ", 1 hold".to_owned(),
        count => format!(", {count} holds"),
    };
    format!("{quota}{append_only}{holds}")
}

fn soak_words(fact: &SoakFact) -> (String, Option<&'static str>) {
    match fact {
        SoakFact::BackupSeen { .. } => (
            "stored a complete backup at its target".to_owned(),
            Some("has its first complete backup on its new server"),
        ),
        SoakFact::Verified => ("was compared and read again at its old copy".to_owned(), None),
        SoakFact::CopyRead { shard, read } => {
            (format!("was read again from the disk of {shard}: {} objects, {} bytes", read.objects, read.bytes), None)
        }
        SoakFact::HistorySeen { shard, history } => {
            let sessions = history.sessions.map_or_else(|| "no".to_owned(), |sessions| sessions.to_string());
            (format!("has {} snapshots and {sessions} records of runs at {shard}", history.snapshots), None)
        }
        SoakFact::Alert { reason } => (format!("gave an alert: {reason}"), None),
    }
}

fn tell_of_certificate(event: &Event) -> Told {
    match event {
        Event::EnrolmentGranted { grant, .. } => {
            let node = &grant.node;
            let customer = format!("A one-time token for the new certificate of {node} was made.");
            node_told(node, format!("An enrolment token was made for {node}."), Some(customer))
        }
        Event::NodeEnrolled { node, serial, .. } => {
            let customer = format!("{node} has fetched its new certificate.");
            node_told(node, format!("{node} got the certificate {serial}."), Some(customer))
        }
        Event::CertificateSeen { node, serial } => {
            let customer = format!("{node} uses its new certificate.");
            node_told(node, format!("{node} uses the certificate {serial}."), Some(customer))
        }
        other => Told::operators(format!("{other:?}")),
    }
}
