//! Certificates that end soon, and revocation lists that are not where they should be. Pure.

use crate::observed::{ListHolder, Observed};
use shardlift_api::v1;
use shardlift_migration::World;
use shardlift_migration::certificates::{CertificateHolder, LIST_RENEWED_AFTER};
use shardlift_model::{NodeId, Role, RouterId, ShardId, UnixMillis};
use std::collections::BTreeMap;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Parts are renewed with thirty days left and nodes with sixty: at half of that something is wrong.
const PART_LEFT: Duration = DAY.saturating_mul(15);
const NODE_LEFT: Duration = DAY.saturating_mul(30);

/// Nothing renews an operator's.
const OPERATOR_LEFT: Duration = DAY.saturating_mul(14);

/// No certificate lives longer than those of nodes and operators, and a root is not always at hand.
const CA_LEFT: Duration = DAY.saturating_mul(180 + 30);

/// A part has a list within seconds, unless something is wrong.
const IN_FORCE: Duration = Duration::from_secs(60);

/// All that is wrong with lists, then certificates of parts and operators, then of nodes.
pub(super) fn findings(world: &World, observed: &Observed, issuers: &[String], now: UnixMillis) -> Vec<v1::Finding> {
    let mut found = lists(world, observed, issuers, now);
    let mut last: BTreeMap<(Role, &str), UnixMillis> = BTreeMap::new();
    for known in world.certificates.values().filter(|known| known.revoked.is_none()) {
        if let (Some(CertificateHolder { role, name }), Some(ends)) = (&known.holder, known.not_after) {
            let latest = last.entry((*role, name)).or_insert(ends);
            *latest = (*latest).max(ends);
        }
    }
    let ending = last.into_iter().filter(|((role, name), _)| is_known(world, *role, name));
    found.extend(ending.filter_map(|((role, name), ends)| soon(role, name, ends, now)));
    found
}

/// An issuing CA that cuts the certificates short which it signs.
pub(super) fn ending_ca(name: &str, ends: UnixMillis, now: UnixMillis) -> Option<v1::Finding> {
    if now.plus(CA_LEFT) < ends {
        return None;
    }
    let what = if ends <= now {
        format!("{name} has ended {} ago: nothing is signed", age(now, ends))
    } else {
        format!("{name} ends in {}, and all certificates that it signs end with it", age(ends, now))
    };
    Some(finding(
        "controller",
        what,
        "make the next issuing CA: `shardlift pki ca request`, then sign it with the root",
    ))
}

/// The findings of one node.
pub(super) fn of_node(found: &v1::Finding, node: &NodeId) -> bool {
    found.subject == node.as_str()
}

fn lists(world: &World, observed: &Observed, issuers: &[String], now: UnixMillis) -> Vec<v1::Finding> {
    let list = world.revocation_list;
    let mut found = Vec::new();
    if list.number > 0 && now.since(list.at) > LIST_RENEWED_AFTER.saturating_mul(2) {
        let what = format!("the revocation list {} was made {} ago and is not renewed", list.number, age(now, list.at));
        found.push(finding("controller", what, "its log says why the list is not signed"));
    }
    if list.number == 0 || now.since(list.at) < IN_FORCE {
        return found;
    }
    let behind = ListHolder::all(world).filter(|part| observed.lists_at(part, issuers) < list.number);
    found.extend(behind.map(|part| {
        let held = observed.lists_at(&part, issuers);
        let what = format!("it holds revocation list {held}, and list {} holds for {}", list.number, age(now, list.at));
        finding(&part.to_string(), what, "whom the list names is let in there: bring it back, or stop it for good")
    }));
    found
}

/// Those who were given a certificate and are gone are nobody's concern.
fn is_known(world: &World, role: Role, name: &str) -> bool {
    match role {
        Role::Shard => name.parse().is_ok_and(|shard: ShardId| world.shards.contains_key(&shard)),
        Role::Router => name.parse().is_ok_and(|router: RouterId| world.routers.contains_key(&router)),
        Role::Node => name.parse().is_ok_and(|node: NodeId| world.nodes.contains_key(&node)),
        Role::Operator | Role::Controller => true,
    }
}

fn soon(role: Role, name: &str, ends: UnixMillis, now: UnixMillis) -> Option<v1::Finding> {
    let (left, repair) = match role {
        Role::Node => {
            (NODE_LEFT, "run `shardlift node renew` on its machine, by a timer; once it has ended: `node token`")
        }
        Role::Operator => (OPERATOR_LEFT, "another operator makes a new folder: `shardlift operator prepare`"),
        Role::Shard | Role::Router | Role::Controller => {
            (PART_LEFT, "the controller's log says why it is not renewed; once it has ended the part is set up again")
        }
    };
    // An operator whose last one has ended has gone, or was heard of.
    if now.plus(left) < ends || (ends < now && matches!(role, Role::Operator | Role::Controller)) {
        return None;
    }
    let what = if ends < now {
        format!("its last certificate has ended {} ago", age(now, ends))
    } else {
        format!("its certificate ends in {} and was not renewed", age(ends, now))
    };
    let subject = if role == Role::Node { name.to_owned() } else { format!("{role} {name}") };
    Some(finding(&subject, what, repair))
}

fn age(now: UnixMillis, since: UnixMillis) -> String {
    shardlift_planner::estimate::time_text(u64::try_from(now.since(since).as_millis()).ok())
}

fn finding(subject: &str, what: String, repair: &str) -> v1::Finding {
    v1::Finding { subject: subject.to_owned(), what, repair: repair.to_owned(), command: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fleet::{Fleet, shard};
    use shardlift_migration::certificates::{CertificateRecord, RevocationListState, Revoked};
    use shardlift_model::RevocationReason;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn told(fleet: &Fleet) -> Vec<String> {
        let found = findings(&fleet.world, &fleet.observed, &["issuing-1".to_owned()], NOW);
        found.into_iter().map(|one| format!("{}: {}", one.subject, one.what)).collect()
    }

    fn give(fleet: &mut Fleet, role: Role, name: &str, days: i64) {
        let ends = NOW.0.saturating_add_signed(days * 86_400_000);
        let record = CertificateRecord {
            holder: Some(CertificateHolder { role, name: name.to_owned() }),
            not_after: Some(UnixMillis(ends)),
            renews: None,
            revoked: None,
        };
        fleet.world.certificates.insert(format!("{:x}", fleet.world.certificates.len() + 1), record);
    }

    #[test]
    fn an_issuing_ca_is_to_be_replaced_before_it_cuts_certificates_short() {
        let at = |days: u32| ending_ca("issuing-1", NOW.plus(DAY * days), NOW);
        assert_eq!(at(211), None);
        assert!(at(200).unwrap().what.contains("ends in 200"), "{:?}", at(200));
        assert!(ending_ca("issuing-1", NOW, NOW.plus(DAY)).unwrap().what.contains("nothing is signed"));
    }

    #[test]
    fn what_ends_soon_is_told_of_those_who_are_still_there() {
        let mut fleet = Fleet::new(3, 2);
        let node = |number| Fleet::name(number).as_str().to_owned();
        for (role, name, days) in [
            (Role::Node, node(0), 29),
            (Role::Node, node(1), 29),
            (Role::Node, node(1), 170),
            (Role::Node, node(2), -2),
            (Role::Node, "gone/away".to_owned(), 3),
            (Role::Shard, shard(0).to_string(), 14),
            (Role::Shard, shard(1).to_string(), 20),
            (Role::Shard, "no-more".to_owned(), 1),
            (Role::Operator, "alice".to_owned(), 13),
            (Role::Operator, "bob".to_owned(), -1),
            (Role::Controller, "controller".to_owned(), 80),
        ] {
            give(&mut fleet, role, &name, days);
        }
        let expected = [
            "operator alice: its certificate ends in 13 d 0 h and was not renewed".to_owned(),
            format!("shard {}: its certificate ends in 14 d 0 h and was not renewed", shard(0)),
            format!("{}: its certificate ends in 29 d 0 h and was not renewed", node(0)),
            format!("{}: its last certificate has ended 2 d 0 h ago", node(2)),
        ];
        let mut found = told(&fleet);
        found.sort();
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(found, expected);
        // What was taken back is no certificate to go on with.
        let revoked = Revoked { at: NOW, reason: RevocationReason::default() };
        fleet.world.certificates.values_mut().for_each(|known| known.revoked = Some(revoked));
        assert_eq!(told(&fleet), Vec::<String>::new());
    }

    #[test]
    fn a_shard_without_the_list_and_a_list_that_is_stale_are_told() {
        let mut fleet = Fleet::new(1, 1);
        let at = |seconds: u64| RevocationListState { number: 4, at: UnixMillis(NOW.0 - seconds * 1000) };
        assert_eq!(told(&fleet), Vec::<String>::new(), "no list was made yet");
        fleet.world.revocation_list = at(30);
        assert_eq!(told(&fleet), Vec::<String>::new(), "it is on its way");
        fleet.world.revocation_list = at(120);
        let parts = ListHolder::all(&fleet.world).count();
        assert_eq!(told(&fleet).len(), parts);
        assert!(
            told(&fleet)[0].ends_with("it holds revocation list 0, and list 4 holds for 2 min"),
            "{:?}",
            told(&fleet)
        );
        fleet.world.revocation_list = at(3 * 86_400);
        assert!(told(&fleet)[0].contains("made 3 d 0 h ago and is not renewed"), "{:?}", told(&fleet));
    }
}
