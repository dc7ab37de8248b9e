//! One-time tokens, certificates, status tokens.

use super::Refusal;
use crate::certificates::CertificateHolder;
use crate::event::Event;
use crate::world::{EnrolmentGrant, StatusGrant, World};
use shardlift_model::{CustomerId, NodeId, Role, Sha256, UnixMillis};

pub(super) fn grant(
    world: &World,
    node: &NodeId,
    token: Sha256,
    expires_at: UnixMillis,
    now: UnixMillis,
) -> Result<Vec<Event>, Refusal> {
    super::moves::known(world, node)?;
    future(expires_at, now)?;
    let grant = EnrolmentGrant { node: node.clone(), expires_at, used_for: None };
    world.checked(Event::EnrolmentGranted { token, grant })
}

fn future(expires_at: UnixMillis, now: UnixMillis) -> Result<(), Refusal> {
    if expires_at > now {
        return Ok(());
    }
    Err(Refusal::invalid("the token would be expired from the start", "let it be valid for some minutes"))
}

/// Whoever presents a token learns nothing from a refusal but that it does not work.
fn uniform() -> Refusal {
    Refusal::invalid("this enrolment token is not valid", "ask the operator of the backup service for a new one")
}

pub(super) fn enrol(
    world: &World,
    token: &Sha256,
    public_key: &Sha256,
    (serial, not_after): (&str, UnixMillis),
    now: UnixMillis,
) -> Result<Vec<Event>, Refusal> {
    let grant = world.enrolments.get(token).filter(|grant| grant.expires_at > now).ok_or_else(uniform)?;
    let event = Event::NodeEnrolled {
        token: *token,
        node: grant.node.clone(),
        public_key: *public_key,
        serial: serial.to_owned(),
    };
    let holder = CertificateHolder { role: Role::Node, name: grant.node.as_str().to_owned() };
    let issued = Event::CertificateIssued { serial: serial.to_owned(), holder, not_after, renews: None };
    if world.legal(&event).is_err() || world.legal(&issued).is_err() {
        return Err(uniform());
    }
    Ok(vec![event, issued])
}

pub(super) fn certificate_seen(world: &World, node: &NodeId, serial: &str) -> Vec<Event> {
    let event = Event::CertificateSeen { node: node.clone(), serial: serial.to_owned() };
    if world.legal(&event).is_ok() { vec![event] } else { vec![] }
}

pub(super) fn grant_status(
    world: &World,
    customer: &CustomerId,
    token: Sha256,
    expires_at: UnixMillis,
    now: UnixMillis,
) -> Result<Vec<Event>, Refusal> {
    if !world.nodes.values().any(|node| node.customer == *customer) {
        let message = format!("customer `{customer}` owns no node");
        return Err(Refusal::not_found(message, "`shardlift node list` shows who owns what"));
    }
    future(expires_at, now)?;
    let grant = StatusGrant { customer: customer.clone(), expires_at };
    world.checked(Event::StatusTokenGranted { token, grant })
}
