//! Routes that sever: what was passed to the former shard has ended when the router says that it has the route.

use super::*;
use std::time::Instant;

fn severing(name: &str, node: &str, shard: &str, address: SocketAddr, generation: u64) -> v1::Route {
    v1::Route { sever: true, ..route(name, node, shard, address, generation) }
}

async fn metrics(running: &Running) -> String {
    let mut stream = TcpStream::connect(running.metrics).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

async fn is_over(stream: &mut Tls) -> bool {
    let mut byte = [0; 1];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut byte)).await;
    !matches!(read.unwrap(), Ok(1))
}

#[tokio::test]
async fn a_route_that_severs_ends_what_was_passed_elsewhere_and_nothing_else() {
    let pki = Pki::new();
    let running = start(&pki, &pki.path("state")).await;
    let names = ["web.example", "db.example"];
    let (a, root_a) = shard("a", &names).await;
    let (b, root_b) = shard("b", &names).await;
    let roots = [root_a, root_b];
    let mut client = control(&pki, &running, Role::Controller);
    apply(&mut client, 1, vec![route(names[0], "web", "a", a, 1), route(names[1], "db", "a", a, 1)]).await.unwrap();
    let mut cut = Vec::new();
    for _ in 0..20 {
        cut.push(reach(&running, names[0], &roots).await.unwrap().0);
    }
    let (mut other, _) = reach(&running, names[1], &roots).await.unwrap();
    let flip = vec![severing(names[0], "web", "b", b, 2)];
    for _ in 0..2 {
        assert_eq!(apply(&mut client, 2, flip.clone()).await.unwrap(), 2);
        let seen = client.describe_router(v1::DescribeRouterRequest {}).await.unwrap().into_inner();
        assert_eq!((seen.version, seen.open_connections), (2, 1), "none is left when it is answered");
    }
    for stream in &mut cut {
        assert!(is_over(stream).await);
    }
    let (mut kept, letter) = reach(&running, names[0], &roots).await.unwrap();
    assert_eq!(letter, "b");
    // Severing again ends nothing that leads to where it should.
    apply(&mut client, 3, vec![severing(names[0], "web", "b", b, 3)]).await.unwrap();
    echo(&mut kept, b"still here").await;
    echo(&mut other, b"nobody's business").await;
    let back = client.get_routes(v1::GetRoutesRequest::default()).await.unwrap().into_inner().routes;
    assert_eq!(back.iter().map(|route| route.sever).collect::<Vec<_>>(), [false, true]);
    let metrics = metrics(&running).await;
    assert!(metrics.contains("shardlift_router_severed_connections_total 20\n"), "{metrics}");
    drop((kept, other));
    running.end().await;
}

#[tokio::test]
async fn a_node_that_is_renamed_with_the_flip_is_severed_under_its_former_name() {
    let pki = Pki::new();
    let running = start(&pki, &pki.path("state")).await;
    let (a, root_a) = shard("a", &["web.example"]).await;
    let (b, _) = shard("b", &["www.example"]).await;
    let mut client = control(&pki, &running, Role::Controller);
    apply(&mut client, 1, vec![route("web.example", "web", "a", a, 1)]).await.unwrap();
    let (mut open, _) = reach(&running, "web.example", &[root_a]).await.unwrap();
    apply(&mut client, 2, vec![severing("www.example", "web", "b", b, 2)]).await.unwrap();
    assert!(is_over(&mut open).await);
    running.end().await;
}

/// Connections to an address that have got no answer yet.
fn being_made(address: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X}", address.port());
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    table
        .lines()
        .map(fields)
        .filter(|fields| fields.len() > 3 && fields[2].ends_with(&port) && fields[3] == "02")
        .count()
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within five seconds: {what}");
}

/// A listener whose queue is full, so that nobody gets an answer any more.
async fn deaf() -> (std::net::TcpListener, Vec<TcpStream>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..10 {
        match tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
            Ok(stream) => waiting.push(stream.unwrap()),
            Err(_elapsed) => return (listener, waiting),
        }
    }
    panic!("the queue of a listener never fills");
}

#[tokio::test]
async fn a_connection_that_is_just_being_made_is_ended_too() {
    let pki = Pki::new();
    let running = start(&pki, &pki.path("state")).await;
    let (listener, _waiting) = deaf().await;
    let address = listener.local_addr().unwrap();
    let (b, root) = shard("b", &["web.example"]).await;
    let mut client = control(&pki, &running, Role::Controller);
    apply(&mut client, 1, vec![route("web.example", "web", "a", address, 1)]).await.unwrap();
    eventually("nobody else connects", || being_made(address) == 0).await;
    let reaching = reach(&running, "web.example", std::slice::from_ref(&root));
    let change = async {
        eventually("the router connects", || being_made(address) == 1).await;
        let asked = Instant::now();
        apply(&mut client, 2, vec![severing("web.example", "web", "b", b, 2)]).await.unwrap();
        assert_eq!(being_made(address), 0);
        assert!(asked.elapsed() < Duration::from_secs(3), "it does not wait for the shard that is gone");
    };
    let (reached, ()) = tokio::join!(reaching, change);
    assert!(reached.is_err(), "closed without an answer");
    let metrics = metrics(&running).await;
    assert!(metrics.contains("shardlift_router_severed_connections_total 1\n"), "{metrics}");
    assert_eq!(reach(&running, "web.example", &[root]).await.unwrap().1, "b");
    running.end().await;
}

/// Clients that come all the time, while their node is taken to and fro.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_is_at_the_former_shard_once_the_change_is_answered() {
    let pki = Pki::new();
    let running = Arc::new(start(&pki, &pki.path("state")).await);
    let (a, root_a) = shard("a", &["web.example"]).await;
    let (b, root_b) = shard("b", &["web.example"]).await;
    let mut client = control(&pki, &running, Role::Controller);
    apply(&mut client, 1, vec![route("web.example", "web", "a", a, 1)]).await.unwrap();
    let open: Arc<std::sync::Mutex<Vec<(Tls, String)>>> = Arc::default();
    let stop = CancellationToken::new();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let (running, open, stop) = (running.clone(), open.clone(), stop.clone());
        let roots = [root_a.clone(), root_b.clone()];
        clients.push(tokio::spawn(async move {
            while !stop.is_cancelled() {
                // One that was cut in the handshake comes again.
                if let Ok(reached) = reach(&running, "web.example", &roots).await {
                    open.lock().unwrap().push(reached);
                }
            }
        }));
    }
    for version in 2..40 {
        eventually("clients come", || open.lock().unwrap().len() > 2).await;
        let (name, address) = if version % 2 == 0 { ("b", b) } else { ("a", a) };
        let flip = severing("web.example", "web", name, address, version);
        apply(&mut client, version, vec![flip]).await.unwrap();
        let reached = std::mem::take(&mut *open.lock().unwrap());
        for (mut stream, letter) in reached {
            if letter != name {
                assert!(is_over(&mut stream).await, "still at {letter} under version {version}");
            }
        }
    }
    stop.cancel();
    for client in clients {
        client.await.unwrap();
    }
    open.lock().unwrap().clear();
    Arc::into_inner(running).unwrap().end().await;
}
