//! A controller's certificate that was revoked opens nothing at a router any more, now and after a restart.

use super::{Pki, Running, control, now, start};
use shardlift_api::v1;
use shardlift_model::{RevocationReason, Role};
use shardlift_pki::authority::Listed;
use shardlift_pki::{certificates_in, identity};
use std::time::Duration;
use tonic::transport::Channel;

fn serial_of_caller(pki: &Pki) -> String {
    let text = std::fs::read_to_string(pki.path("controller-caller.pem")).unwrap();
    identity::serial_hex(&certificates_in(&text).unwrap()[0]).unwrap()
}

fn list(pki: &Pki, number: u64, serials: &[&str]) -> v1::TakeRevocationsRequest {
    let listed = |serial| Listed { serial, at: now(), reason: RevocationReason::KeyCompromise };
    let day = Duration::from_secs(86_400);
    let list_pem = pki.authority.sign_list(number, now(), day, serials.iter().copied().map(listed)).unwrap();
    v1::TakeRevocationsRequest { list_pem }
}

async fn is_let_in(client: &mut v1::router_control_client::RouterControlClient<Channel>) -> bool {
    client.describe_router(v1::DescribeRouterRequest {}).await.is_ok()
}

fn other(pki: &Pki, running: &Running) -> v1::router_control_client::RouterControlClient<Channel> {
    control(pki, running, Role::Controller)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_controller_is_cut_off_and_stays_out() {
    let pki = Pki::new();
    let state = pki.path("state");
    let running = start(&pki, &state).await;
    let mut stolen = control(&pki, &running, Role::Controller);
    assert!(is_let_in(&mut stolen).await);
    let serial = serial_of_caller(&pki);
    // The same name again, with another certificate.
    let mut good = other(&pki, &running);
    let taken = good.take_revocations(list(&pki, 3, &[&serial])).await.unwrap().into_inner();
    assert_eq!(taken.number, 3);
    assert!(!is_let_in(&mut stolen).await, "its connection is open still");
    assert!(is_let_in(&mut good).await);
    // What is no news, or not signed by the CA, changes nothing.
    assert!(good.take_revocations(list(&pki, 2, &[])).await.is_err());
    let foreign = Pki::new();
    assert!(good.take_revocations(list(&foreign, 9, &[])).await.is_err());
    let held = good.describe_router(v1::DescribeRouterRequest {}).await.unwrap().into_inner().revocations;
    assert_eq!(held.iter().map(|list| (list.number, list.certificates)).collect::<Vec<_>>(), [(3, 1)]);
    for role in [Role::Operator, Role::Shard, Role::Router, Role::Node] {
        assert!(control(&pki, &running, role).take_revocations(list(&pki, 9, &[])).await.is_err(), "{role}");
    }
    running.end().await;

    let running = start(&pki, &state).await;
    let held = other(&pki, &running).describe_router(v1::DescribeRouterRequest {}).await.unwrap().into_inner();
    assert_eq!(held.revocations[0].number, 3);
    running.end().await;
    // A list that is damaged is not forgotten in silence.
    let file = std::fs::read_dir(state.join("revoked")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, "half").unwrap();
    let paths = pki.member(Role::Router, "router-1");
    let text = format!(
        "name = \"router-1\"\ncluster = \"c1\"\nstate = {state:?}\nclient_listen = \"127.0.0.1:0\"\n\
         control_listen = \"127.0.0.1:0\"\n[tls]\ncertificate = {:?}\nkey = {:?}\nca = {:?}\n",
        paths.certificate, paths.key, paths.ca
    );
    let config = shardlift_router::server::RouterConfig::parse(&text, &pki.path("router.toml")).unwrap();
    let refused = shardlift_router::server::Router::build(config).unwrap_err();
    assert!(shardlift_api::fault::chain(&refused).contains("cannot be used"), "{refused:?}");
}
