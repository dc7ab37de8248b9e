//! What clients meet when a node goes back without its writer: requests in progress end, none is told of a success, connections end.

use crate::http::{BOTH, Http, Upload, Version, begun, whole};
use crate::moving::moved;
use crate::world::{NODE, World, eventually};
use shardlift_api::v1;
use std::time::Duration;

#[allow(clippy::unnecessary_wraps)] // As messages want it.
fn token(at: (u64, u64)) -> Option<v1::Token> {
    Some(v1::Token { term: 1, generation: at.0, step: at.1 })
}

/// Broken off: 503, or the connection was cut. Never a success.
async fn is_broken_off((sender, request): Upload) {
    // Over HTTP/1.1 the answer comes after the body.
    drop(sender);
    let ended = tokio::time::timeout(Duration::from_secs(10), request).await.unwrap().unwrap();
    assert!(ended.as_ref().map_or(true, |reply| reply.status == 503), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwarded_requests_end_when_stock_is_taken() {
    let world = World::new();
    let (a, b, client) = moved(&world, "").await;
    let mut uploads = Vec::new();
    for (version, bytes) in [(Version::Http1, b"pack one"), (Version::Http2, b"pack two")] {
        uploads.push(begun(&world, &a, &client, version, bytes).await);
    }
    b.in_flight(NODE, 2).await;
    assert_eq!(a.status(NODE).await.forwarding, 2);
    let request = v1::TakeStockRequest { node: NODE.to_owned(), token: token((2, 9)) };
    let stock = a.control.clone().take_stock(request).await.unwrap().into_inner().digest.unwrap();
    assert_eq!((stock.objects, a.status(NODE).await.forwarding), (1, 0), "none is left when it is answered");
    for upload in uploads {
        is_broken_off(upload).await;
    }
    eventually("nothing is left at the writer either", || async { b.status(NODE).await.requests_in_flight == 0 }).await;
    assert_eq!(b.status(NODE).await.objects, 1);
    eventually("connections end", || async { a.status(NODE).await.open_connections == 0 }).await;
    for version in BOTH {
        let mut http = Http::open(&world, &a, Some(&client), version).await.unwrap();
        let reply = http.send("GET", "/acme/web/config", &[], whole(b"")).await.unwrap();
        assert_eq!(reply.status, 503, "{version:?}: not yet");
    }
    let promote =
        v1::PromoteRequest { node: NODE.to_owned(), token: token((3, 1)), r#final: Some(stock), follower: "b".into() };
    a.control.clone().promote(promote).await.unwrap();
    let mut http = Http::open(&world, &a, Some(&client), Version::Http1).await.unwrap();
    assert_eq!(http.get("/acme/web/config").await.unwrap().status, 200);
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_waits_for_a_writer_that_is_gone_is_sent_away_when_stock_is_taken() {
    let world = World::new();
    let (a, b, client) = moved(&world, "").await;
    b.end().await;
    let mut waiting = Vec::new();
    for version in BOTH {
        let mut http = Http::open(&world, &a, Some(&client), version).await.unwrap();
        waiting.push(tokio::spawn(async move { http.get("/acme/web/config").await.unwrap().status }));
    }
    eventually("they wait", || async { a.status(NODE).await.forwarding == 2 }).await;
    let request = v1::TakeStockRequest { node: NODE.to_owned(), token: token((2, 9)) };
    a.control.clone().take_stock(request).await.unwrap();
    for request in waiting {
        assert_eq!(tokio::time::timeout(Duration::from_secs(5), request).await.unwrap().unwrap(), 503);
    }
    a.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_end_and_connections_too_when_a_writer_is_deposed() {
    let world = World::new();
    // All are let in at once: one that waits for its turn is counted as in flight, too, and is only sent away.
    let (a, b, client) = moved(&world, "readmission_per_second = 0\n").await;
    let mut uploads = Vec::new();
    for (version, bytes) in [(Version::Http1, b"pack one"), (Version::Http2, b"pack two")] {
        uploads.push(begun(&world, &b, &client, version, bytes).await);
    }
    b.in_flight(NODE, 2).await;
    let request = v1::DeposeRequest { node: NODE.to_owned(), token: token((3, 9)) };
    let status = b.control.clone().depose(request).await.unwrap().into_inner();
    assert_eq!((status.mode, status.requests_in_flight), (i32::from(v1::NodeMode::Retired), 0));
    for upload in uploads {
        is_broken_off(upload).await;
    }
    eventually("connections end", || async { b.status(NODE).await.open_connections == 0 }).await;
    for version in BOTH {
        let mut http = Http::open(&world, &b, Some(&client), version).await.unwrap();
        assert_eq!(http.send("GET", "/acme/web/config", &[], whole(b"")).await.unwrap().status, 503, "{version:?}");
    }
    assert_eq!(b.status(NODE).await.objects, 1);
    a.end().await;
    b.end().await;
}
