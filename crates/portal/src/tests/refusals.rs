//! What is refused, and how.

use super::stage::{Got, grant, request, two_customers};
use crate::policy::{Access, ROWS};
use crate::routes::{App, Endpoint, URI_BYTES_MAX, router_of};
use axum::body::Body;
use http::{Method, Request, StatusCode};
use shardlift_api::view::World;
use shardlift_model::UnixMillis;
use shardlift_pki::enrolment::AccessToken;
use std::sync::Arc;
use tower::ServiceExt as _;

fn assert_problem(got: &Got, status: u16, code: &str) {
    assert_eq!(got.status.as_u16(), status, "{got:?}");
    assert_eq!(got.header("content-type"), "application/problem+json");
    assert_eq!(got.header("cache-control"), "private, no-store");
    assert_eq!(got.header("x-content-type-options"), "nosniff");
    let problem = got.json();
    assert_eq!(problem["code"], code);
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("urn:shardlift:problem:{code}"));
    assert!(problem["title"].is_string() && problem["detail"].is_string());
}

fn filled(path: &str) -> String {
    path.replace("{id}", "zeta").replace("{account}", "acme").replace("{name}", "db").replace("{issuer}", "issuing-1")
}

#[tokio::test]
async fn no_customer_path_answers_without_a_valid_token() {
    let (stage, _, _) = two_customers();
    let mut world = (**stage.world.borrow()).clone();
    let expired = grant(&mut world, "acme", UnixMillis(1));
    stage.world.send_replace(Arc::new(world));
    let unknown = AccessToken::create().unwrap();
    for row in ROWS {
        let path = filled(row.path);
        let nobody = stage.send(request(Method::GET, &path, None, &[])).await;
        if row.access == Access::Public {
            assert_eq!(nobody.status, StatusCode::OK, "{path}");
            continue;
        }
        assert_problem(&nobody, 401, "unauthenticated");
        assert_eq!(nobody.header("www-authenticate"), "Bearer realm=\"shardlift status\"");
        let refused = stage.get(&path, &unknown).await;
        assert_problem(&refused, 401, "unauthenticated");
        assert!(refused.header("www-authenticate").contains("invalid_token"));
        assert_eq!(refused, stage.get(&path, &expired).await, "{path}");
    }
    let in_address = format!("/v1/nodes?access_token={}", *unknown.text());
    assert_problem(&stage.send(request(Method::GET, &in_address, None, &[])).await, 401, "unauthenticated");
}

#[tokio::test]
async fn a_list_of_no_ca_is_not_found() {
    let (stage, _, _) = two_customers();
    for path in ["/pki/crl/issuing-3", "/pki/crl/ISSUING-1", "/pki/crl/issuing%2D1", "/pki/crl/.."] {
        assert_problem(&stage.send(request(Method::GET, path, None, &[])).await, 404, "not_found");
    }
}

#[tokio::test]
async fn another_customers_node_and_no_node_are_the_same_byte_for_byte() {
    let (stage, acme, bolt) = two_customers();
    assert_eq!(stage.get("/v1/nodes/bolt/mail", &bolt).await.status, StatusCode::OK);
    let unknown = stage.get("/v1/nodes/nobody", &acme).await;
    assert_problem(&unknown, 404, "not_found");
    for path in ["bolt/mail", "bolt%2Fmail", "bolt/none", "..%2Fx", "%FF", "a%2Fb%2Fc", "config"] {
        assert_eq!(stage.get(&format!("/v1/nodes/{path}"), &acme).await, unknown, "{path}");
    }
}

#[tokio::test]
async fn only_reading_is_answered() {
    let (stage, acme, _) = two_customers();
    for row in ROWS {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::TRACE] {
            let got = stage.send(request(method, &filled(row.path), Some(&acme), &[])).await;
            assert_problem(&got, 405, "method_not_allowed");
            assert_eq!(got.header("allow"), "GET, HEAD");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_its_reason() {
    let (stage, acme, _) = two_customers();
    for path in ["/v1/nodes?limit=1001", "/v1/nodes?x=1", "/v1/worklog?after=x", "/v1/batches?x", "/v1/nodes/zeta?x=1"]
    {
        assert_problem(&stage.get(path, &acme).await, 400, "invalid");
    }
    for path in ["/", "/v1", "/v1/nodes/", "/v1/nodes/a/b/c", "/v2/nodes", "/V1/nodes"] {
        assert_problem(&stage.get(path, &acme).await, 404, "not_found");
    }
    let html = request(Method::GET, "/v1/nodes", Some(&acme), &[("accept", "text/html")]);
    assert_problem(&stage.send(html).await, 406, "not_acceptable");
    let long = format!("/v1/nodes?after={}", "x".repeat(URI_BYTES_MAX));
    assert_problem(&stage.get(&long, &acme).await, 414, "uri_too_long");
    let body = Request::builder().uri("/v1/nodes").body(Body::from("{}")).unwrap();
    assert_problem(&stage.send(body).await, 413, "too_large");
}

#[tokio::test]
async fn before_the_first_snapshot_and_after_the_last_callers_are_told() {
    let (stage, acme, _) = two_customers();
    let world = stage.world.send_replace(Arc::default());
    for path in ["/v1/nodes", "/healthz"] {
        let got = stage.get(path, &acme).await;
        assert_problem(&got, 503, "unavailable");
        assert_eq!(got.header("retry-after"), "1");
    }
    stage.world.send_replace(world);
    assert_eq!(stage.get("/healthz", &acme).await.body, r#"{"status":"ok"}"#);
    let (sender, receiver) =
        tokio::sync::watch::channel(Arc::new(World { made_at: UnixMillis(1), ..World::default() }));
    drop(sender);
    let router = crate::routes::router(App::new(receiver));
    let got = router.oneshot(request(Method::GET, "/healthz", None, &[])).await.unwrap();
    assert_eq!(got.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_route_without_a_row_is_not_served() {
    let (stage, acme, _) = two_customers();
    let router = router_of(App::new(stage.world.subscribe()), &[("/v1/secrets", Endpoint::Nodes)]);
    let got = router.oneshot(request(Method::GET, "/v1/secrets", Some(&acme), &[])).await.unwrap();
    assert_eq!(got.status(), StatusCode::NOT_FOUND);
}
