//! Tables and JSON, as they are documented.

use super::*;
use expect_test::expect;
use shardlift_api::v1;

fn node() -> v1::FleetNode {
    v1::FleetNode {
        node: "acme/web-1".into(),
        customer: "acme".into(),
        server_name: "web-1.backup.example".into(),
        shard: "source".into(),
        generation: 1,
        phase: "seeding".into(),
        batch: "canary".into(),
        target: "shard-b".into(),
        objects: 12,
        bytes: 3 << 30,
        snapshots: 4,
        last_snapshot_unix_ms: 1_700_000_000_000,
        certificate: "in_use".into(),
        progress: Some(v1::Progress {
            bytes_done: 1 << 30,
            bytes_total: 3 << 30,
            bytes_per_second: 100 << 20,
            lag: 2,
            eta_ms: 20_480,
            ..Default::default()
        }),
        waiting_for: "the copy".into(),
        verified: Some(v1::NodeDigest { seq: 7, root: vec![0xab; 2], objects: 12, bytes: 3 << 30, damaged: 0 }),
        ..Default::default()
    }
}

fn batch() -> v1::BatchView {
    v1::BatchView {
        batch: "canary".into(),
        phase: "preparing".into(),
        paused: true,
        plan_revision: 1,
        started_at_unix_ms: 1_700_000_000_000,
        progress: node().progress,
        nodes: vec![node()],
        waiting_for: vec!["an operator: shardlift batch resume canary".into()],
        ..Default::default()
    }
}

fn status() -> v1::StatusView {
    let shard = |name: &str, reachable| v1::ShardView {
        shard: name.into(),
        control_address: "h:2".into(),
        client_address: "h:1".into(),
        capacity_bytes: 1 << 40,
        free_bytes: 1 << 39,
        nodes: 3,
        reachable,
        problem: if reachable { String::new() } else { "refused\u{1b}[31m".into() },
        ..Default::default()
    };
    let router = v1::RouterView { router: "router-1".into(), version: 4, reachable: true, ..Default::default() };
    v1::StatusView {
        revision: 9,
        cluster: "c1".into(),
        term: 2,
        shards: vec![shard("source", true), shard("shard-b", false)],
        routers: vec![router],
        batches: vec![batch()],
        plan_revision: 1,
        route_version: 4,
        nodes: 6,
        alerts: vec!["shard shard-b does not answer".into()],
        ..Default::default()
    }
}

#[test]
fn the_status_is_one_screen() {
    expect![[r#"
        cluster c1: 6 nodes, plan 1, routes 4, term 2, revision 9

        SHARD    STATE                        NODES  CAPACITY  FREE       PEAK HOUR  CLIENTS  CONTROL
        source   ok                           3      1.0 TiB   512.0 GiB  -          h:1      h:2
        shard-b  not reachable: refused�[31m  3      1.0 TiB   512.0 GiB  -          h:1      h:2

        ROUTER    STATE  ROUTES  CLIENTS  CONTROL
        router-1  ok     4       -

        BATCH   PHASE              FLIPS  NODES  PROGRESS                               TAKES  STARTED               COMMITTED  VERDICT  WAITS FOR
        canary  preparing, paused  -      1      33% of 3.0 GiB, 100.0 MiB/s, 21s left  -      2023-11-14T22:13:20Z  -          -        an operator: shardlift batch resume canary

        ALERT shard shard-b does not answer
    "#]].assert_eq(&status_text(&status()));
}

#[test]
fn a_node_is_told_field_by_field() {
    expect![[r#"
        node:            acme/web-1
        customer:        acme
        server name:     web-1.backup.example
        shard:           source
        generation:      1
        phase:           seeding
        batch:           canary
        target:          shard-b
        progress:        33% of 3.0 GiB, 100.0 MiB/s, 21s left
        lag:             2 changes
        verified:        equal at change 7: 12 objects, 3.0 GiB
        waits for:       the copy
        objects:         12
        size:            3.0 GiB
        snapshots:       4
        last snapshot:   2023-11-14T22:13:20Z
        certificate:     in_use
    "#]]
    .assert_eq(&node_text(&node()));
}

#[test]
fn a_batch_is_told_with_its_nodes() {
    expect![[r#"
        batch:     canary
        phase:     preparing, paused
        plan:      1
        started:   2023-11-14T22:13:20Z
        progress:  33% of 3.0 GiB, 100.0 MiB/s, 21s left
        time left: 21s
        waits for: an operator: shardlift batch resume canary

        NODE        CUSTOMER  SHARD   PHASE    BATCH   TARGET   SIZE     SNAPSHOTS  LAST SNAPSHOT         CERTIFICATE
        acme/web-1  acme      source  seeding  canary  shard-b  3.0 GiB  4          2023-11-14T22:13:20Z  in_use
    "#]]
    .assert_eq(&batch_text(&batch(), UnixMillis(1_700_000_000_000)));
}

#[test]
fn a_node_that_soaks_is_told_with_its_way_back() {
    let way_back = v1::WayBack {
        follower: "source".into(),
        lag: 3,
        takes_ms: 500,
        snapshots_kept: 2,
        rehearsed: "2023-11-14T22:13:20Z, clients waited 120 ms".into(),
        failed: "the fence was lost".into(),
        ..Default::default()
    };
    let mut soaking = v1::FleetNode {
        phase: "soaking".into(),
        way_back: Some(way_back),
        progress: None,
        verified: None,
        waiting_for: String::new(),
        ..node()
    };
    expect![[r#"
        node:            acme/web-1
        customer:        acme
        server name:     web-1.backup.example
        shard:           source
        generation:      1
        phase:           soaking
        batch:           canary
        target:          shard-b
        way back:        rollback now takes about 0.5 s and keeps 2 snapshots; shard source follows 3 changes behind
        rehearsed:       2023-11-14T22:13:20Z, clients waited 120 ms
        rollback failed: the fence was lost
        objects:         12
        size:            3.0 GiB
        snapshots:       4
        last snapshot:   2023-11-14T22:13:20Z
        certificate:     in_use
    "#]]
    .assert_eq(&node_text(&soaking));
    let told = v1::BatchView {
        phase: "soaking".into(),
        when: "idle".into(),
        verdict: "bad: acme/web-1: the client saw errors".into(),
        paused: false,
        waiting_for: vec![],
        nodes: vec![soaking.clone()],
        ..batch()
    };
    expect![[r#"
        batch:     canary
        phase:     soaking
        verdict:   bad: acme/web-1: the client saw errors
        plan:      1
        started:   2023-11-14T22:13:20Z
        progress:  33% of 3.0 GiB, 100.0 MiB/s, 21s left
        time left: 21s
        way back:  rollback of 1 nodes now takes at most about 0.5 s for each and keeps 2 snapshots; the old copies are 3 changes behind in all

        NODE        CUSTOMER  SHARD   PHASE    BATCH   TARGET   SIZE     SNAPSHOTS  LAST SNAPSHOT         CERTIFICATE
        acme/web-1  acme      source  soaking  canary  shard-b  3.0 GiB  4          2023-11-14T22:13:20Z  in_use
    "#]].assert_eq(&batch_text(&told, UnixMillis(1_700_000_000_000)));
    soaking.phase = "rolling_back".into();
    soaking.way_back = Some(v1::WayBack { follower: "source".into(), ..Default::default() });
    let text = node_text(&soaking);
    assert!(text.contains("a way back to source is under way") && text.contains("never"), "{text}");
}

#[test]
fn a_batch_says_when_it_flips_and_what_its_soak_came_to() {
    let waits = v1::BatchView {
        batch: "batch-2".into(),
        when: "window".into(),
        next_window_unix_ms: 1_700_003_600_000,
        paused: false,
        ..batch()
    };
    let soaks = v1::BatchView { phase: "soaking".into(), when: "now".into(), verdict: "good".into(), ..batch() };
    expect![[r#"
        BATCH    PHASE            FLIPS                              NODES  PROGRESS                               TAKES  STARTED               COMMITTED  VERDICT  WAITS FOR
        canary   soaking, paused  -                                  1      33% of 3.0 GiB, 100.0 MiB/s, 21s left  -      2023-11-14T22:13:20Z  -          good     an operator: shardlift batch resume canary
        batch-2  preparing        window, from 2023-11-14T23:13:20Z  1      33% of 3.0 GiB, 100.0 MiB/s, 21s left  -      2023-11-14T22:13:20Z  -          -        an operator: shardlift batch resume canary"#]].assert_eq(&batch_table(&[soaks, waits], UnixMillis(1_700_000_000_000)));
}

#[test]
fn a_list_without_rows_is_its_header() {
    expect!["NODE  CUSTOMER  SHARD  PHASE  BATCH  TARGET  SIZE  SNAPSHOTS  LAST SNAPSHOT  CERTIFICATE"]
        .assert_eq(&fleet_table(&[]));
}

#[test]
fn json_has_the_names_of_the_protocol() {
    expect![[r#"
        {
          "node": "acme/web-1",
          "customer": "acme",
          "server_name": "web-1.backup.example",
          "shard": "source",
          "generation": 1,
          "phase": "seeding",
          "batch": "canary",
          "target": "shard-b",
          "objects": 12,
          "bytes": 3221225472,
          "snapshots": 4,
          "last_snapshot_unix_ms": 1700000000000,
          "certificate": "in_use",
          "progress": {
            "objects_done": 0,
            "objects_total": 0,
            "bytes_done": 1073741824,
            "bytes_total": 3221225472,
            "bytes_per_second": 104857600,
            "lag": 2,
            "eta_ms": 20480
          },
          "waiting_for": "the copy",
          "held_because": "",
          "verified": {
            "seq": 7,
            "root": "abab",
            "objects": 12,
            "bytes": 3221225472,
            "damaged": 0
          },
          "quota_bytes": 0,
          "append_only": false,
          "holds": [],
          "way_back": null,
          "loss": "",
          "activity": null,
          "deep_verify": null,
          "since_unix_ms": 0
        }"#]]
    .assert_eq(&pretty(&node()).unwrap());
}

#[test]
fn an_explanation_is_a_short_text() {
    let explanation = v1::ExplainNodeResponse {
        node: "acme/web-1".into(),
        r#where: "ready".into(),
        why: "it is verified".into(),
        waits_for: vec!["the rest of its batch".into()],
        unblock: vec!["shardlift batch resume canary".into()],
        history: vec!["2023-11-14T22:13:20Z planned".into()],
    };
    expect![[r#"
        acme/web-1: ready
        why: it is verified
        waits for:
          the rest of its batch
        what unblocks it:
          shardlift batch resume canary
        history:
          2023-11-14T22:13:20Z planned
    "#]]
    .assert_eq(&explain_text(&explanation));
}

#[test]
fn how_long_it_takes_is_told_with_what_limits_it_and_since_when_it_lasts() {
    let estimate = |p50_ms, p90_ms, limit: &str| {
        Some(v1::EstimateView { p50_ms, p90_ms, limited_by: limit.into(), unknown: String::new() })
    };
    let unknown = "no throughput was measured yet: the canary gives the first figures";
    let moves = v1::BatchView {
        estimate: estimate(Some(12 * 60_000), Some(31 * 60_000), "the cap of the source"),
        since_unix_ms: 1_700_000_000_000,
        progress: None,
        waiting_for: vec![],
        paused: false,
        ..batch()
    };
    let next = v1::BatchView {
        batch: "batch-2".into(),
        phase: "planned".into(),
        estimate: Some(v1::EstimateView { unknown: unknown.into(), ..Default::default() }),
        advice: "1 node of 10 nodes failed: half as many; 5 nodes are advised, this one has 20".into(),
        ..moves.clone()
    };
    let status = v1::StatusView {
        now_unix_ms: 1_700_000_000_000 + 4 * 60_000,
        batches: vec![moves.clone(), next],
        estimate: estimate(Some(90_000_000), None, "nodes that grow as fast as they move"),
        seeding:
            "2 of at most 3 nodes copy at the same time (hard cap 4); 3 workers bring 50.0 MiB/s: one more is tried"
                .into(),
        shards: vec![],
        routers: vec![],
        alerts: vec![],
        ..status()
    };
    expect![[r#"
        cluster c1: 6 nodes, plan 1, routes 4, term 2, revision 9

        BATCH    PHASE      FLIPS  NODES  PROGRESS  TAKES                   STARTED               COMMITTED  VERDICT  WAITS FOR
        canary   preparing  -      1      -         P50 12 min, P90 31 min  2023-11-14T22:13:20Z  -          -        -
        batch-2  planned    -      1      -         not measured yet        2023-11-14T22:13:20Z  -          -        -

        NOTE batch-2: 1 node of 10 nodes failed: half as many; 5 nodes are advised, this one has 20

        canary: P50 12 min, P90 31 min; limited by the cap of the source; preparing for 4 min
        all batches: P50 1 d 1 h, P90 never; limited by nodes that grow as fast as they move
        copying: 2 of at most 3 nodes copy at the same time (hard cap 4); 3 workers bring 50.0 MiB/s: one more is tried
    "#]].assert_eq(&status_text(&status));
    expect![[r#"
        batch:     canary
        phase:     preparing for 4 min
        takes:     P50 12 min, P90 31 min; limited by the cap of the source
        plan:      1
        started:   2023-11-14T22:13:20Z
        progress:  -

        NODE        CUSTOMER  SHARD   PHASE    BATCH   TARGET   SIZE     SNAPSHOTS  LAST SNAPSHOT         CERTIFICATE
        acme/web-1  acme      source  seeding  canary  shard-b  3.0 GiB  4          2023-11-14T22:13:20Z  in_use
    "#]]
    .assert_eq(&batch_text(&moves, UnixMillis(status.now_unix_ms)));
    let node = v1::FleetNode { since_unix_ms: 1_700_000_000_000, ..node() };
    assert!(node_text(&node).contains("since:           2023-11-14T22:13:20Z"), "{}", node_text(&node));
}

#[test]
fn lengths_of_time_have_two_units() {
    let shown = [1, 59_001, 61_000, 3_600_000, 90_061_000].map(span);
    assert_eq!(shown, ["1s", "1m 0s", "1m 1s", "1h 0m", "1d 1h"]);
}
