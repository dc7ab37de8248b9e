//! Certificates that are issued to parts, taken back from whomever, and the lists of those.

use super::Refusal;
use crate::certificates::CertificateHolder;
use crate::event::Event;
use crate::input::Revocation;
use crate::world::World;
use shardlift_model::{NodeId, Role, UnixMillis};
use std::collections::BTreeSet;

pub(super) fn record(
    world: &World,
    serial: &str,
    holder: &CertificateHolder,
    not_after: UnixMillis,
) -> Result<Vec<Event>, Refusal> {
    let (serial, holder) = (serial.to_owned(), holder.clone());
    world.checked(Event::CertificateIssued { serial, holder, not_after, renews: None })
}

/// Takes back what is named and is not taken back yet; with a node, its unused tokens end, too. One pass over everything, however many
/// nodes are named: nothing else is decided meanwhile.
pub(super) fn revoke(world: &World, wish: &Revocation, now: UnixMillis) -> Result<Vec<Event>, Refusal> {
    let mut serials: BTreeSet<&str> = wish.serials.iter().map(String::as_str).collect();
    for node in &wish.nodes {
        serials.extend(super::moves::known(world, node)?.serials.iter().map(String::as_str));
    }
    let names: BTreeSet<&str> = wish.nodes.iter().map(NodeId::as_str).collect();
    let is_named = |holder: &CertificateHolder| holder.role == Role::Node && names.contains(holder.name.as_str());
    let issued = world.certificates.iter().filter(|(_, known)| {
        known.holder.as_ref().is_some_and(is_named) && known.not_after.is_none_or(|ends| ends > now)
    });
    serials.extend(issued.map(|(serial, _)| serial.as_str()));
    add_renewed(world, &mut serials, now);
    serials.retain(|serial| world.certificates.get(*serial).is_none_or(|known| known.revoked.is_none()));
    let with_tokens = world.enrolments.values().map(|grant| &grant.node).filter(|node| names.contains(node.as_str()));
    let nodes: BTreeSet<&NodeId> = with_tokens.collect();
    if serials.is_empty() && nodes.is_empty() {
        return Ok(vec![]);
    }
    let serials = serials.into_iter().map(ToOwned::to_owned).collect();
    let nodes = nodes.into_iter().cloned().collect();
    world.checked(Event::CertificatesRevoked { serials, nodes, reason: wish.reason, at: now })
}

/// With a certificate goes what was got by showing it: a thief who renewed would keep what is taken back otherwise.
fn add_renewed<'w>(world: &'w World, serials: &mut BTreeSet<&'w str>, now: UnixMillis) {
    let links = world.certificates.iter();
    let links: Vec<(&str, &str)> =
        links.filter_map(|(serial, known)| Some((known.renews.as_deref()?, serial.as_str()))).collect();
    // One that has ended leads on to others, and need not be on a list itself.
    let mut reached = serials.clone();
    loop {
        let before = reached.len();
        let next: Vec<&str> = links.iter().filter(|link| reached.contains(link.0)).map(|link| link.1).collect();
        reached.extend(next);
        if reached.len() == before {
            break;
        }
    }
    let is_live = |serial: &&str| {
        world.certificates.get(*serial).is_some_and(|known| known.not_after.is_none_or(|ends| ends > now))
    };
    serials.extend(reached.into_iter().filter(is_live));
}

pub(super) fn renew_list(world: &World, now: UnixMillis) -> Vec<Event> {
    if world.revocation_list.is_due(now) { vec![Event::RevocationListRenewed { at: now }] } else { vec![] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::LIST_RENEWED_AFTER;
    use crate::fixture::{Bench, node};
    use crate::input::Input;
    use crate::node::CertificateState;
    use shardlift_model::{RevocationReason, Sha256};

    const FAR: UnixMillis = UnixMillis(4_000_000_000_000);

    fn bench() -> Bench {
        let mut bench = Bench::planned(&[("one", &[], &["n1", "n2"])]);
        bench.certify_all();
        bench
    }

    fn of(nodes: &[&str]) -> Input {
        let nodes = nodes.iter().map(|name| node(name)).collect();
        Input::Revoke(Revocation { nodes, reason: RevocationReason::KeyCompromise, ..Revocation::default() })
    }

    fn these(serials: &[&str]) -> Input {
        let serials = serials.iter().map(|&serial| serial.to_owned()).collect();
        Input::Revoke(Revocation { serials, ..Revocation::default() })
    }

    fn revoked(bench: &Bench) -> Vec<&str> {
        let certificates = bench.world.certificates.iter();
        certificates.filter(|(_, known)| known.revoked.is_some()).map(|(serial, _)| serial.as_str()).collect()
    }

    #[test]
    fn a_node_loses_all_its_certificates_and_tokens_and_no_other_node_any() {
        let mut bench = bench();
        let (used, unused) = (Sha256([7; 32]), Sha256([8; 32]));
        for (token, name) in [(used, "n1"), (unused, "n1"), (Sha256([9; 32]), "n2")] {
            bench.input(Input::GrantEnrolment { node: node(name), token, expires_at: FAR }).unwrap();
        }
        let serial = "abc".to_owned();
        bench.input(Input::Enrol { token: used, public_key: used, serial, not_after: FAR }).unwrap();
        let other = bench.world.nodes[&node("n2")].clone();
        bench.input(of(&["n1"])).unwrap();
        // That of an earlier token with it, although a later one took its place.
        assert_eq!(revoked(&bench), ["a00", "abc"]);
        let known = &bench.world.nodes[&node("n1")];
        assert_eq!((&known.certificate, known.serials.len()), (&CertificateState::None, 0));
        assert!(bench.world.enrolments.values().all(|grant| grant.node == node("n2")));
        assert_eq!(bench.world.nodes[&node("n2")], other);
        let again = Input::Enrol { token: used, public_key: used, serial: "abd".to_owned(), not_after: FAR };
        assert!(bench.input(again).is_err(), "its answer cannot be asked for again");
        let number = bench.world.revocation_list.number;
        bench.input(of(&["n1"])).unwrap();
        assert_eq!(bench.world.revocation_list.number, number, "nothing is left to take back");
        // A new token and a new certificate are believed.
        let token = Sha256([10; 32]);
        bench.input(Input::GrantEnrolment { node: node("n1"), token, expires_at: FAR }).unwrap();
        let serial = "def".to_owned();
        bench.input(Input::Enrol { token, public_key: token, serial: serial.clone(), not_after: FAR }).unwrap();
        assert_eq!(bench.world.nodes[&node("n1")].certificate, CertificateState::Issued { serial });
        assert_eq!(revoked(&bench), ["a00", "abc"]);
    }

    #[test]
    fn a_serial_is_taken_back_whether_it_was_issued_here_or_not() {
        let mut bench = bench();
        let holder = CertificateHolder { role: Role::Operator, name: "ada".to_owned() };
        let serial = "77".to_owned();
        bench.input(Input::RecordCertificate { serial, holder, not_after: FAR }).unwrap();
        bench.input(these(&["77", "99", "a01", "99"])).unwrap();
        assert_eq!(revoked(&bench), ["77", "99", "a01"]);
        assert_eq!(bench.world.nodes[&node("n2")].certificate, CertificateState::None);
        assert!(matches!(bench.world.nodes[&node("n1")].certificate, CertificateState::InUse { .. }));
        let before = bench.world.clone();
        for bad in ["", "0a", "AB", "xyz", "12 34", &"1".repeat(41)] {
            assert!(bench.input(these(&[bad])).is_err(), "{bad:?}");
        }
        assert!(bench.input(of(&["unknown"])).is_err());
        assert_eq!(bench.world, before);
    }

    #[test]
    fn a_list_grows_in_number_only_and_forgets_what_has_long_ended() {
        let mut bench = bench();
        assert_eq!(bench.world.revocation_list.number, 0);
        bench.input(Input::RenewRevocationList).unwrap();
        bench.input(Input::RenewRevocationList).unwrap();
        assert_eq!(bench.world.revocation_list.number, 1, "it is fresh");
        let holder = CertificateHolder { role: Role::Shard, name: "b".to_owned() };
        let not_after = UnixMillis(bench.now.0 + 1000);
        bench.input(Input::RecordCertificate { serial: "77".to_owned(), holder, not_after }).unwrap();
        bench.input(these(&["77", "a00"])).unwrap();
        assert_eq!(bench.world.revocation_list.number, 2);
        for (day, number, known) in [(1, 3, true), (8, 4, false), (9, 5, false)] {
            bench.now = UnixMillis(not_after.0).plus(LIST_RENEWED_AFTER * day);
            bench.input(Input::RenewRevocationList).unwrap();
            assert_eq!(bench.world.revocation_list.number, number, "day {day}");
            assert_eq!(bench.world.certificates.contains_key("77"), known, "day {day}");
        }
        assert_eq!(revoked(&bench), ["a00"]);
    }
}
