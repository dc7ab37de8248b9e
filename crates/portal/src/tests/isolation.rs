//! INV-10 as a property: in random worlds no answer to one customer holds a name of another.

use super::stage::{Got, NEVER, Stage, batch, entry, grant, node};
use crate::query::STATES;
use crate::scope::Sight;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use shardlift_api::view::World;
use shardlift_model::UnixMillis;
use shardlift_pki::enrolment::AccessToken;
use std::collections::BTreeSet;

const CUSTOMERS: [&str; 3] = ["qzalpha", "qzbravo", "qzcharly"];

/// Who owns each node, which batch each moves with, and the worklog: (node, whether it was another customer's then).
type Seeds = (Vec<usize>, Vec<usize>, Vec<(prop::sample::Index, Option<usize>)>);

fn seeds() -> impl Strategy<Value = Seeds> {
    let node = prop::collection::vec(0_usize..3, 1..12);
    let batch = prop::collection::vec(0_usize..3, 12);
    let told = prop::collection::vec((any::<prop::sample::Index>(), prop::option::weighted(0.2, 0_usize..3)), 0..12);
    (node, batch, told)
}

/// Names of one length, none part of another, and none that gives its owner away.
fn name(number: usize) -> String {
    if number.is_multiple_of(2) { format!("kx{number:03}") } else { format!("kx{number:03}/wy") }
}

fn world_of((owners, batches, told): &Seeds) -> World {
    let views = owners.iter().enumerate().map(|(number, owner)| {
        let mut view = node(&name(number), CUSTOMERS[*owner], STATES[number % STATES.len()]);
        view.batch = Some(format!("batch-{}", batches[number]).parse().unwrap());
        view
    });
    let members = |of: usize| (0..owners.len()).filter(|number| batches[*number] == of).map(name).collect::<Vec<_>>();
    let mut worklog = vec![entry(1, None, &[], "A plan came into force.")];
    for (index, then) in told {
        let number = index.index(owners.len());
        let text = format!("Node {} is copied.", name(number));
        let to = CUSTOMERS[then.unwrap_or(owners[number])];
        worklog.push(entry(worklog.len() as u64 + 1, Some(&name(number)), &[to], &text));
    }
    // Named so that only its addressee may read it.
    for customer in CUSTOMERS {
        worklog.push(entry(worklog.len() as u64 + 1, None, &[customer], &format!("A word for {customer}.")));
    }
    World {
        revision: 1,
        made_at: UnixMillis(1),
        nodes: views.map(|view| (view.node.clone(), view)).collect(),
        batches: (0..3)
            .map(|of| {
                let names = members(of);
                batch(&format!("batch-{of}"), &names.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .collect(),
        worklog,
        ..World::default()
    }
}

/// Every address that this world gives reason to ask for.
fn addresses(world: &World) -> Vec<String> {
    let fixed =
        ["/v1/nodes", "/v1/nodes?limit=1", "/v1/batches", "/v1/worklog", "/v1/worklog?limit=1", "/openapi.json"];
    let mut addresses: Vec<String> = fixed.map(str::to_owned).into();
    addresses.extend(["/healthz", "/nowhere", "/v1/nodes/none", "/v1/nodes?limit=0"].map(str::to_owned));
    addresses.extend(STATES.map(|state| format!("/v1/nodes?state={state}")));
    for node in world.nodes.keys() {
        addresses.push(format!("/v1/nodes/{node}"));
        addresses.push(format!("/v1/nodes/{}", node.as_str().replace('/', "%2F")));
        addresses.push(format!("/v1/nodes?limit=2&after={node}"));
        addresses.push(format!("/v1/nodes/{node}?colour=red"));
        addresses.push(format!("/v1/batches?node={node}"));
    }
    addresses
}

/// The first thing in an answer that is another customer's.
fn leak(got: &Got, world: &World, customer: &str) -> Option<String> {
    let text = format!("{:?} {}", got.headers, got.body);
    let others = world.nodes.values().filter(|view| view.customer.as_str() != customer);
    let names = others.flat_map(|view| [view.node.to_string(), view.server_name.to_string()]);
    let customers = CUSTOMERS.into_iter().filter(|other| *other != customer).map(str::to_owned);
    names.chain(customers).find(|name| text.contains(name))
}

async fn check(seeds: &Seeds, blind: Option<Sight>) -> Result<(), String> {
    let mut world = world_of(seeds);
    let tokens: Vec<AccessToken> = CUSTOMERS.iter().map(|customer| grant(&mut world, customer, NEVER)).collect();
    let stage = Stage { blind, ..Stage::new(world.clone()) };
    for (customer, token) in CUSTOMERS.into_iter().zip(&tokens) {
        for address in addresses(&world) {
            let got = stage.get(&address, token).await;
            if let Some(name) = leak(&got, &world, customer) {
                return Err(format!("{customer} reads {name} at {address}"));
            }
        }
        complete(&stage, &world, customer, token).await?;
    }
    Ok(())
}

/// Nothing is hidden either; and what is not one's own does not exist.
async fn complete(stage: &Stage, world: &World, customer: &str, token: &AccessToken) -> Result<(), String> {
    let list = stage.get("/v1/nodes?limit=1000", token).await;
    let listed: BTreeSet<String> = list.names("nodes", "node").into_iter().collect();
    let own = world.nodes.values().filter(|view| view.customer.as_str() == customer);
    if listed != own.map(|view| view.node.to_string()).collect() {
        return Err(format!("{customer} reads the nodes {listed:?}"));
    }
    let nothing = stage.get("/v1/nodes/none", token).await;
    for node in world.nodes.keys() {
        let got = stage.get(&format!("/v1/nodes/{node}"), token).await;
        if listed.contains(node.as_str()) != got.status.is_success() || (!got.status.is_success() && got != nothing) {
            return Err(format!("{customer} gets {got:?} for {node}"));
        }
    }
    if !stage.get("/v1/worklog", token).await.body.contains(&format!("A word for {customer}.")) {
        return Err(format!("{customer} misses a word"));
    }
    Ok(())
}

fn search(cases: u32, blind: Option<Sight>) -> Result<(), TestError<Seeds>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&seeds(), |seeds| runtime.block_on(check(&seeds, blind)).map_err(TestCaseError::fail))
}

#[test]
fn no_answer_holds_a_name_of_another_customer() {
    // The error shows the smallest world that fails, which is all that is needed to see it again.
    search(100, None).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_service_without_one_of_its_checks_is_caught() {
    for sight in [Sight::Node, Sight::Member, Sight::Addressee, Sight::Subject] {
        let found = search(300, Some(sight));
        assert!(matches!(found, Err(TestError::Fail(..))), "{sight:?}: {found:?}");
    }
}
