//! One sound pair of shards and router, and each thing that can be wrong with it.

use super::*;
use shardlift_migration::{Event, FinalState, Migration};
use shardlift_model::{Generation, Sha256, Step, UnixMillis};

const STATE: FinalState = FinalState { seq: 9, root: Sha256([1; 32]), objects: 3, bytes: 30, damaged: 0 };

fn shard(name: &str) -> ShardId {
    name.parse().unwrap()
}

/// A node that soaks on `b` and is followed by `a`.
fn soaking() -> (World, NodeId, Seen) {
    let mut world = World::new("test".parse().unwrap(), "backup.example".parse().unwrap());
    let node: NodeId = "acme/web".parse().unwrap();
    world.apply(&Event::NodeFound {
        node: node.clone(),
        customer: "acme".parse().unwrap(),
        server_name: "web.backup.example".parse().unwrap(),
        shard: shard("a"),
        generation: Generation(1),
        route_version: 1,
    });
    let mut moving = Migration::planned("one".parse().unwrap(), shard("a"), shard("b"), UnixMillis(1));
    moving.stage = Stage::Soaking;
    moving.final_state = Some(STATE);
    let known = world.nodes.get_mut(&node).unwrap();
    known.migration = Some(moving);
    known.shard = shard("b");
    known.generation = Generation(2);
    known.step = Step(5);
    known.certificate = CertificateState::InUse { serial: "a1".into() };
    let token = Some(Token::new(0, 2, 3).into());
    let seen_certificates = vec![v1::SeenCertificate { serial: "a1".into(), ..Default::default() }];
    let writer = v1::NodeStatus {
        mode: NodeMode::Serving.into(),
        generation: 2,
        token,
        seen_certificates,
        ..Default::default()
    };
    let follower = v1::NodeStatus {
        mode: NodeMode::Incoming.into(),
        token,
        replica: Some(v1::Replica::default()),
        ..Default::default()
    };
    let mut seen = Seen::default();
    seen.shards.insert(shard("b"), [(node.clone(), writer)].into());
    seen.shards.insert(shard("a"), [(node.clone(), follower)].into());
    seen.shards.insert(shard("c"), BTreeMap::new());
    let route = v1::Route {
        server_name: "web.backup.example".into(),
        node: node.to_string(),
        shard: "b".into(),
        client_address: "127.0.0.1:1".into(),
        token: Some(Token::new(0, 2, 5).into()),
        sever: false,
    };
    seen.routers.insert("r".parse().unwrap(), [("web.backup.example".to_owned(), route)].into());
    (world, node, seen)
}

fn found(change: impl FnOnce(&mut World, &NodeId, &mut Seen)) -> Vec<v1::Finding> {
    let (mut world, node, mut seen) = soaking();
    change(&mut world, &node, &mut seen);
    findings(&world, &world.nodes[&node], &seen)
}

fn at<'s>(seen: &'s mut Seen, name: &str, node: &NodeId) -> &'s mut v1::NodeStatus {
    seen.shards.get_mut(&shard(name)).unwrap().get_mut(node).unwrap()
}

#[test]
fn what_is_sound_has_no_findings() {
    assert_eq!(found(|_, _, _| {}), []);
}

#[test]
fn a_part_that_did_not_answer_is_not_judged() {
    let silent = found(|_, _, seen| {
        seen.shards.clear();
        seen.routers.clear();
    });
    assert_eq!(silent, []);
}

#[test]
fn each_inconsistency_is_named() {
    type Change = fn(&mut World, &NodeId, &mut Seen);
    let cases: [(&str, Change); 10] = [
        ("could take writes", |_, node, seen| {
            let second = v1::NodeStatus { mode: NodeMode::Serving.into(), ..Default::default() };
            seen.shards.get_mut(&shard("c")).unwrap().insert(node.clone(), second);
        }),
        ("could take writes", |_, node, seen| at(seen, "a", node).mode = NodeMode::Serving.into()),
        ("the writer b says unknown", |_, node, seen| drop(seen.shards.get_mut(&shard("b")).unwrap().remove(node))),
        ("the writer b says sealed", |_, node, seen| at(seen, "b", node).mode = NodeMode::Sealed.into()),
        ("a says quarantined", |_, node, seen| at(seen, "a", node).mode = NodeMode::Quarantined.into()),
        ("has accepted the token", |_, node, seen| at(seen, "a", node).token = Some(Token::new(0, 3, 1).into())),
        ("not on its disk", |_, node, seen| at(seen, "b", node).missing = 2),
        ("cannot follow", |_, node, seen| {
            at(seen, "a", node).replica.as_mut().unwrap().failure = "no space".into();
        }),
        ("leads web.backup.example to a", |_, _, seen| {
            let routes = seen.routers.values_mut().next().unwrap();
            routes.get_mut("web.backup.example").unwrap().shard = "a".into();
        }),
        ("has not seen it", |_, node, seen| at(seen, "b", node).seen_certificates.clear()),
    ];
    for (words, change) in cases {
        let found = found(change);
        assert!(found.iter().any(|finding| finding.what.contains(words)), "{words}: {found:?}");
        assert!(found.iter().all(|finding| finding.subject == "acme/web" && !finding.repair.is_empty()));
    }
}
