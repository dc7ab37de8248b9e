//! Lists of a hundred thousand nodes: what a page looks at is bounded, and figures are printed.

use super::*;
use crate::operator::{batches, parts, status};
use crate::state::Shared;
use crate::tests::fleet::{Fleet, PLANNED, shard};
use std::time::Instant;

const NODES: usize = 100_000;
const SHARDS: usize = 200;

/// All pages: nodes, pages, and most nodes of a page.
fn all(world: &World, limit: usize, filter: &Filter<'_>) -> (usize, usize, usize) {
    let (mut nodes, mut pages, mut most, mut after) = (0, 0, 0, None);
    loop {
        let found = page(world, after.clone(), limit, filter);
        assert!(found.nodes.len() <= limit && found.nodes.iter().all(|node| filter.matches(node)));
        assert!(found.next > after.as_ref() || found.next.is_none(), "it moves on");
        nodes += found.nodes.len();
        pages += 1;
        most = most.max(found.nodes.len());
        match found.next {
            Some(next) => after = Some(next.clone()),
            None => return (nodes, pages, most),
        }
    }
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let made = work();
    println!("{what}: {:.1} ms", began.elapsed().as_secs_f64() * 1000.0);
    made
}

#[test]
fn a_hundred_thousand_nodes_are_listed_filtered_and_paged_with_bounded_work() {
    let mut fleet = timed("building", || Fleet::new(NODES, SHARDS));
    let name = |number: usize| (Fleet::name(number), shard(1));
    let third = |part: usize| (part * NODES / 4..(part + 1) * NODES / 4).map(name).collect();
    fleet.plan(&[("canary", vec![name(NODES - 1)]), ("one", third(0)), ("two", third(1))]);
    fleet.copy("canary", PLANNED, &[(Fleet::name(NODES - 1), 7)]);
    let none = Filter { customer: "", shard: "", phase: "" };
    let world = &fleet.world;
    let expected = NODES / 1000;
    assert_eq!(timed("all pages of 1000", || all(world, 1000, &none)), (NODES, expected, 1000));
    let seeding = Filter { phase: "seeding", ..none };
    assert_eq!(
        timed("by phase", || all(world, 1000, &seeding)),
        (1, NODES / LOOKS_MAX, 1),
        "each page looks at so many"
    );
    let customer = Filter { customer: "customer-00777", ..none };
    assert_eq!(timed("by customer", || all(world, 1000, &customer)).0, 10);
    let on = Filter { shard: "shard-007", ..none };
    assert_eq!(timed("by shard", || all(world, 100, &on)).0, NODES / SHARDS);
    let views =
        |nodes: Vec<&Node>| nodes.into_iter().map(|node| fleet_node(world, &fleet.observed, node)).collect::<Vec<_>>();
    let first = page(world, None, 1000, &none);
    assert_eq!(timed("the views of one page", || views(first.nodes)).len(), 1000);
    let shards = timed("shards", || parts::shard_views(world, &fleet.observed));
    assert!(shards.iter().all(|shard| shard.nodes == (NODES / SHARDS) as u64));
    let listed = timed("batches", || batches::batch_views(world, &fleet.observed, ""));
    let shown: Vec<(u64, usize)> = listed.iter().map(|batch| (batch.node_count, batch.nodes.len())).collect();
    let quarter = (NODES / 4) as u64;
    assert_eq!(shown, [(1, 1), (quarter, 0), (quarter, 0)], "nodes of what is planned are not copied");
    let named = batches::batch_views(world, &fleet.observed, "two");
    assert_eq!(named[2].nodes.len() as u64, quarter, "unless they are asked for");
    let (recorded, observed) = fleet.recorded();
    let shared = Shared::new(recorded);
    shared.observe(|seen| *seen = observed);
    let status = timed("status", || status::status_view(&shared, ""));
    assert_eq!((status.nodes, status.batches.iter().map(|batch| batch.nodes.len()).sum::<usize>()), (NODES as u64, 1));
    let asked = std::cell::Cell::new(0);
    let is_active = || shared.once_a_revision(|_| asked.replace(asked.get() + 1) < usize::MAX);
    assert!((0..SHARDS).all(|_| is_active()));
    assert_eq!(asked.get(), 1, "one look for all that ask");
}

#[test]
fn a_list_that_was_cut_goes_on_where_it_ended() {
    let fleet = Fleet::new(25, 2);
    for limit in [1, 7, 25, 26] {
        let filter = Filter { customer: "", shard: "shard-001", phase: "settled" };
        assert_eq!(all(&fleet.world, limit, &filter).0, 12);
    }
    let nobody = Filter { customer: "nobody", shard: "", phase: "" };
    assert_eq!(all(&fleet.world, 5, &nobody), (0, 1, 0));
}
