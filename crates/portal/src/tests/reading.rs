//! What a customer reads, page by page, and what is not sent twice.

use super::stage::{NEVER, grant, node, request, two_customers};
use http::{Method, StatusCode};
use std::sync::Arc;

#[tokio::test]
async fn a_customer_reads_their_nodes_page_by_page() {
    let (stage, acme, _) = two_customers();
    let mut seen = Vec::new();
    let mut path = "/v1/nodes?limit=1".to_owned();
    for _ in 0..5 {
        let page = stage.get(&path, &acme).await;
        assert_eq!(page.status, StatusCode::OK);
        seen.extend(page.names("nodes", "node"));
        let Some(next) = page.json()["next"].as_str().map(str::to_owned) else { break };
        path = format!("/v1/nodes?limit=1&after={next}");
    }
    assert_eq!(seen, ["acme/db", "acme/web-1", "zeta"]);
    assert_eq!(stage.get("/v1/nodes?state=copying", &acme).await.names("nodes", "node"), ["acme/web-1", "zeta"]);
    // A page that ends with the last one says so.
    assert!(stage.get("/v1/nodes?limit=3", &acme).await.json()["next"].is_null());
    // Starting after somebody else's node is no different from starting after a name that nobody has.
    let after = stage.get("/v1/nodes?after=bolt/mail", &acme).await;
    assert_eq!(after, stage.get("/v1/nodes?after=bolt/mail-x", &acme).await);
}

#[tokio::test]
async fn a_node_is_found_with_its_slash_in_either_spelling() {
    let (stage, acme, _) = two_customers();
    let one = stage.get("/v1/nodes/acme%2Fweb-1", &acme).await;
    assert_eq!(one.json()["node"], "acme/web-1");
    assert_eq!(one, stage.get("/v1/nodes/acme/web-1", &acme).await);
    assert_eq!(stage.get("/v1/nodes/zeta", &acme).await.json()["state"], "copying");
}

#[tokio::test]
async fn of_a_batch_a_customer_reads_the_count_and_their_own_nodes() {
    let (stage, acme, bolt) = two_customers();
    let batches = stage.get("/v1/batches", &acme).await.json()["batches"].clone();
    assert_eq!(batches.as_array().unwrap().len(), 1);
    assert_eq!(batches[0]["nodes_total"], 2);
    assert_eq!(batches[0]["nodes"], serde_json::json!(["acme/web-1"]));
    assert_eq!(stage.get("/v1/batches", &bolt).await.names("batches", "batch"), ["canary", "second"]);
}

#[tokio::test]
async fn the_worklog_tells_of_the_own_nodes_and_of_the_service() {
    let (stage, acme, bolt) = two_customers();
    assert_eq!(stage.get("/v1/worklog", &acme).await.names("entries", "id"), ["1", "2", "5"]);
    assert_eq!(stage.get("/v1/worklog", &bolt).await.names("entries", "id"), ["1", "4", "5"]);
    let page = stage.get("/v1/worklog?limit=2", &acme).await;
    assert_eq!((page.names("entries", "id"), page.json()["next"].as_u64()), (vec!["1".into(), "2".into()], Some(2)));
    let rest = stage.get("/v1/worklog?after=2&limit=2", &acme).await;
    assert_eq!((rest.names("entries", "id"), rest.json()["next"].as_u64()), (vec!["5".into()], None));
    assert_eq!(stage.get("/v1/worklog?after=999", &acme).await.names("entries", "id"), Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_that_did_not_change_is_not_sent_again() {
    let (stage, acme, bolt) = two_customers();
    let first = stage.get("/v1/nodes", &acme).await;
    let tag = first.header("etag").to_owned();
    assert_eq!(first.header("cache-control"), "private, no-cache");
    let ask = |token| stage.send(request(Method::GET, "/v1/nodes", Some(token), &[("if-none-match", &tag)]));
    let again = ask(&acme).await;
    assert_eq!((again.status, again.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!((again.header("etag"), again.header("cache-control")), (tag.as_str(), "private, no-cache"));
    assert_eq!(ask(&bolt).await.status, StatusCode::OK);
    // What happens to others does not show; what happens to the own nodes does, even when no event records it.
    let mut world = (**stage.world.borrow()).clone();
    world.revision += 1;
    world.nodes.insert("bolt/new".parse().unwrap(), node("bolt/new", "bolt", "copying"));
    stage.world.send_replace(Arc::new(world.clone()));
    assert_eq!(ask(&acme).await.status, StatusCode::NOT_MODIFIED);
    world.nodes.get_mut(&"zeta".parse().unwrap()).unwrap().progress_percent = Some(41);
    stage.world.send_replace(Arc::new(world));
    assert_eq!(ask(&acme).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_new_token_opens_at_once_and_a_removed_one_no_more() {
    let (stage, acme, _) = two_customers();
    let mut world = (**stage.world.borrow()).clone();
    world.access.clear();
    let fresh = grant(&mut world, "acme", NEVER);
    stage.world.send_replace(Arc::new(world));
    assert_eq!(stage.get("/v1/nodes", &acme).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.get("/v1/nodes", &fresh).await.status, StatusCode::OK);
}

#[tokio::test]
async fn head_says_what_get_would_and_sends_nothing() {
    let (stage, acme, _) = two_customers();
    for path in ["/v1/nodes", "/v1/nodes/zeta", "/v1/nodes/none", "/healthz", "/nowhere"] {
        let get = stage.get(path, &acme).await;
        let head = stage.send(request(Method::HEAD, path, Some(&acme), &[])).await;
        assert_eq!((head.status, head.body.as_str()), (get.status, ""), "{path}");
        assert_eq!(head.header("content-length"), get.body.len().to_string(), "{path}");
        assert_eq!(head.header("etag"), get.header("etag"), "{path}");
    }
}
