//! A crowd of clients after a flip: let in at a rate, all of them served.

use crate::http::{BOTH, Http, Version};
use crate::moving::moved;
use crate::operation::plain;
use crate::world::{NODE, Pair, Running, World, eventually};
use shardlift_api::v1;
use shardlift_model::Role;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What a crowd of connections, all open and silent until now, sees when it asks at once.
struct Crowd {
    started: Instant,
    /// Status and time from the start.
    asking: JoinSet<(u16, Duration)>,
}

async fn connections(world: &World, shard: &Running, client: &Pair, count: usize) -> Vec<Http> {
    let mut open = Vec::new();
    for index in 0..count {
        open.push(Http::open(world, shard, Some(client), BOTH[index % 2]).await.unwrap());
    }
    open
}

fn crowd(open: Vec<Http>, path: &'static str) -> Crowd {
    let started = Instant::now();
    let mut asking = JoinSet::new();
    for mut http in open {
        asking.spawn(async move {
            let status = http.get(path).await.unwrap().status;
            (status, started.elapsed())
        });
    }
    Crowd { started, asking }
}

impl Crowd {
    /// Waits for all answers; they are to be 200. Returns when each came, in order.
    async fn served(self) -> Vec<Duration> {
        let mut times = Vec::new();
        for (status, time) in self.asking.join_all().await {
            assert_eq!(status, 200);
            times.push(time);
        }
        times.sort();
        times
    }
}

async fn metric(shard: &Running, name: &str) -> u64 {
    let name = format!("shardlift_shard_readmission_{name}");
    let text = plain(shard.metrics, "/metrics").await;
    let value = text.lines().find_map(|line| line.strip_prefix(&name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
}

/// How many can have come in after this time: one at once, then by a rate that is doubled each second at most.
fn most(start: f64, time: Duration) -> f64 {
    let doubled = 2_f64.powf(time.as_secs_f64().floor());
    1.0 + start * (doubled - 1.0) + start * doubled * time.as_secs_f64().fract()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_after_a_flip_comes_in_at_a_rate_and_all_are_served() {
    let world = World::new();
    let (a, b, client) = moved(&world, "readmission_per_second = 5").await;
    let mut late = Http::open(&world, &a, Some(&client), Version::Http2).await.unwrap();
    let mut first = Http::open(&world, &b, Some(&client), Version::Http1).await.unwrap();
    let open = connections(&world, &b, &client, 100).await;
    assert_eq!(first.get("/acme/web/config").await.unwrap().status, 200);
    let crowd = crowd(open, "/acme/web/config");
    eventually("a crowd waits", || async { metric(&b, "waiting_sessions").await >= 60 }).await;
    assert!(metric(&b, "sessions_per_second").await >= 5);
    assert_eq!(late.get("/acme/web/config").await.unwrap().status, 200, "forwarded requests do not wait");
    assert_eq!(first.get("/acme/web/config").await.unwrap().status, 200, "nor do connections that are in");
    let waiting = metric(&b, "waiting_sessions").await;
    assert!(waiting > 0, "both came before those who wait, {:?} after the start", crowd.started.elapsed());
    let times = crowd.served().await;
    assert_eq!(times.len(), 100);
    for (index, time) in times.iter().enumerate() {
        // The stage began before the crowd came; the credit of that time is worth a quarter of a second at most.
        let most = most(5.0, *time + Duration::from_secs(1));
        assert!((index as f64) < most, "{index} were in after {time:?}, {most} at most");
    }
    assert!(times[99] > Duration::from_secs(2), "{:?}", times[99]);
    assert_eq!((metric(&b, "waiting_sessions").await, metric(&b, "admitted_sessions_total").await), (0, 101));
    let delayed = metric(&b, "delayed_sessions_total").await;
    assert!((60..=100).contains(&delayed), "{delayed}");
    assert_eq!(b.status(NODE).await.requests_in_flight, 0);
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_were_never_promoted_here_are_not_delayed() {
    let world = World::new();
    let (a, b, moved) = moved(&world, "readmission_per_second = 1").await;
    b.make_node("acme/db", v1::NodeSettings::default()).await;
    let client = world.issue(Role::Node, "acme/db");
    let staged = crowd(connections(&world, &b, &moved, 4).await, "/acme/web/config");
    eventually("clients of the other node wait", || async { metric(&b, "waiting_sessions").await > 0 }).await;
    let times = crowd(connections(&world, &b, &client, 40).await, "/acme/db/data/").served().await;
    assert_eq!(times.len(), 40);
    let delayed = metric(&b, "delayed_sessions_total").await;
    assert!((1..=3).contains(&delayed), "{delayed}: none of the forty");
    assert_eq!(staged.served().await.len(), 4);
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_rate_all_come_in_at_once() {
    let world = World::new();
    let (a, b, client) = moved(&world, "readmission_per_second = 0").await;
    let times = crowd(connections(&world, &b, &client, 40).await, "/acme/web/config").served().await;
    assert_eq!(times.len(), 40);
    let counts = (metric(&b, "delayed_sessions_total").await, metric(&b, "admitted_sessions_total").await);
    assert_eq!((metric(&b, "sessions_per_second").await, counts), (0, (0, 0)));
    a.end().await;
    b.end().await;
}
