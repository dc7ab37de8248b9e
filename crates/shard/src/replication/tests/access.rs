//! Who may read what, and which commands are refused.

use super::world::{World, caught_up, fetch, node, pulling, token};
use crate::replication::fetching::Head;
use shardlift_api::fault::FaultKind;
use shardlift_api::v1;
use shardlift_model::{ObjectKey, ObjectKind, Role, Sha256};
use tonic::Status;

fn kind(status: &Status) -> FaultKind {
    FaultKind::from(status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_shard_named_in_the_offer_may_read() {
    let world = World::new();
    let source = world.shard("a").await;
    source.fill(2).await;
    let asks = |shard: &'static str, node: String| {
        let mut client = world.puller(shard, &source);
        let (credentials, source) = (world.credentials(Role::Shard, shard), &source);
        async move {
            let objects = vec![ObjectKey::Config.into()];
            let request = v1::FetchObjectsRequest { node: node.clone(), objects, hashed: false };
            let fetched = fetch(&credentials, source, &request).await.err();
            let answers = [
                client.list_objects(v1::ListObjectsRequest { node: node.clone(), ..Default::default() }).await.err(),
                client.read_journal(v1::ReadJournalRequest { node: node.clone(), ..Default::default() }).await.err(),
                client.get_digest(v1::GetDigestRequest { node: node.clone(), ..Default::default() }).await.err(),
                client.get_side_data(v1::GetSideDataRequest { node }).await.err(),
            ];
            let answers = answers.map(|answer| answer.map(|status| (kind(&status), status.message().to_owned())));
            let forbidden = fetched.filter(|text| text.contains("does not let this shard read"));
            [&answers[..], &[forbidden.map(|text| (FaultKind::Forbidden, text))]].concat()
        }
    };
    let refused = asks("b", node().to_string()).await;
    assert!(refused.iter().all(|answer| answer.as_ref().is_some_and(|(kind, _)| *kind == FaultKind::Forbidden)));
    assert_eq!(refused, asks("b", "nobody".into()).await, "whether a node exists is not told");
    source.offer(1, "b").await.unwrap();
    assert!(asks("b", node().to_string()).await.iter().all(Option::is_none));
    assert_eq!(asks("c", node().to_string()).await, refused);
    source.offer(2, "c").await.unwrap();
    assert_eq!(asks("b", node().to_string()).await, refused, "the last offer holds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_without_an_offer_waits_and_says_so() {
    let world = World::new();
    let (source, target) = (world.shard("a").await, world.shard("b").await);
    source.fill(2).await;
    target.start(1, &source, false).await.unwrap();
    super::world::eventually("it says why", || async {
        target.replica().await.waiting_for.contains("does not let this shard read")
    })
    .await;
    source.offer(1, "b").await.unwrap();
    caught_up(&source, &target).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_over_the_limits_are_refused_or_cut() {
    let world = World::new();
    let source = world.shard("a").await;
    source.fill(2).await;
    source.offer(1, "b").await.unwrap();
    let mut client = world.puller("b", &source);
    let credentials = world.credentials(Role::Shard, "b");
    let asked = |objects| v1::FetchObjectsRequest { node: node().to_string(), objects, hashed: false };
    let many = fetch(&credentials, &source, &asked(vec![ObjectKey::Config.into(); 5001])).await.unwrap_err();
    assert!(many.contains("more than 5000 objects"), "{many}");
    let odd = v1::ObjectRef { kind: 3, name: "../../etc/passwd".into() };
    let odd = fetch(&credentials, &source, &asked(vec![odd])).await.unwrap_err();
    assert!(odd.contains("the source refuses"), "{odd}");
    let request = v1::ListObjectsRequest { node: node().to_string(), limit: 1, ..Default::default() };
    let page = client.list_objects(request).await.unwrap().into_inner();
    assert_eq!((page.objects.len(), page.more), (1, true));
    let unknown = ObjectKey::Named(ObjectKind::Data, Sha256([7; 32]));
    assert_eq!(fetch(&credentials, &source, &asked(vec![unknown.into()])).await, Ok(Head::Absent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_role_but_a_shards_is_let_onto_an_object_stream() {
    let world = World::new();
    let source = world.shard("a").await;
    source.fill(1).await;
    source.offer(1, "b").await.unwrap();
    let objects = vec![ObjectKey::Config.into()];
    let request = v1::FetchObjectsRequest { node: node().to_string(), objects, hashed: false };
    for role in [Role::Operator, Role::Controller, Role::Router, Role::Shard] {
        let answer = fetch(&world.credentials(role, "b"), &source, &request).await;
        assert_eq!(answer.is_ok(), role == Role::Shard, "{role}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_token_is_refused_by_every_command_and_named() {
    let world = World::new();
    let (source, target) = pulling(&world, 2).await;
    caught_up(&source, &target).await;
    let digest = source.fence(9, 5_000).await.unwrap();
    target.verify(9).await.unwrap();
    let mut client = source.client.clone();
    let text = node().to_string();
    let renew = v1::RenewFenceRequest { node: text.clone(), token: token(8), lease_ms: 1_000 };
    let unfence = v1::UnfenceRequest { node: text.clone(), token: token(8) };
    let retire = v1::RetireRequest {
        node: text.clone(),
        token: token(8),
        target: "b".into(),
        target_client_address: "127.0.0.1:1".into(),
        target_peer_address: "127.0.0.1:1".into(),
        from_seq: 1,
    };
    let end = v1::EndLegacyCredentialsRequest { node: text.clone(), token: token(8) };
    let settings = Some(v1::NodeSettings { append_only: true, ..Default::default() });
    let set = v1::SetNodeRequest { node: text, token: token(8), settings };
    let refused = [
        source.offer(8, "c").await.err(),
        source.fence(8, 5_000).await.err(),
        source.seal(8, &digest).await.err(),
        client.renew_fence(renew).await.err(),
        client.unfence(unfence).await.err(),
        client.retire(retire).await.err(),
        source.detach((1, 8)).await.err(),
        source.quarantine((1, 8)).await.err(),
        source.restore((1, 8)).await.err(),
        client.end_legacy_credentials(end).await.err(),
        client.set_node(set).await.err(),
        target.start(8, &source, false).await.err(),
        target.verify(8).await.err(),
        target.complete(8, &digest).await.err(),
        target.promote((1, 8), &digest).await.err(),
        target.discard(8).await.err(),
    ];
    for (at, status) in refused.into_iter().enumerate() {
        let status = status.unwrap_or_else(|| panic!("command {at} was taken"));
        assert_eq!(kind(&status), FaultKind::StaleToken, "command {at}: {status:?}");
        assert!(status.message().contains("1.1.9"), "command {at}: {}", status.message());
    }
    let status = source.status().await;
    assert_eq!(status.mode, i32::from(v1::NodeMode::Fenced));
    assert!(!status.settings.unwrap().append_only);
    assert_eq!(target.status().await.mode, i32::from(v1::NodeMode::Incoming));
    assert!(target.jobs.status(&node()).is_some(), "a stale command does not end the job");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_never_started_over_a_node_that_is_served() {
    let world = World::new();
    let (source, target) = (world.shard("a").await, world.shard("b").await);
    source.fill(2).await;
    target.fill(1).await;
    source.offer(1, "b").await.unwrap();
    assert_eq!(kind(&target.start(2, &source, false).await.unwrap_err()), FaultKind::Refused);
    assert_eq!(kind(&target.discard(3).await.unwrap_err()), FaultKind::Refused);
    assert_eq!(kind(&source.start(4, &source, false).await.unwrap_err()), FaultKind::Invalid);
    let status = target.status().await;
    assert_eq!((status.mode, status.locks), (i32::from(v1::NodeMode::Serving), 1));
    assert!(target.path(ObjectKey::Config).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_cannot_be_meant_change_nothing() {
    let world = World::new();
    let source = world.shard("a").await;
    source.fill(1).await;
    let before = source.status().await;
    let mut client = source.client.clone();
    for name in ["", "..", "acme/..", "a//b", "data", &"x".repeat(300)] {
        let request = v1::SetNodeRequest { node: name.into(), token: token(5), settings: Some(Default::default()) };
        assert_eq!(kind(&client.set_node(request).await.unwrap_err()), FaultKind::Invalid, "{name}");
    }
    let request = v1::UnfenceRequest { node: node().to_string(), token: None };
    assert_eq!(kind(&client.unfence(request).await.unwrap_err()), FaultKind::Invalid);
    assert_eq!(kind(&source.offer(5, "../x").await.unwrap_err()), FaultKind::Invalid);
    assert_eq!(kind(&source.fence(5, 0).await.unwrap_err()), FaultKind::Invalid);
    let request = v1::GetNodeRequest { node: "nobody".into() };
    assert_eq!(kind(&client.get_node(request).await.unwrap_err()), FaultKind::NotFound);
    assert_eq!(source.status().await, before);
}
