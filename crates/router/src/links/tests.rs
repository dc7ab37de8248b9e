//! Connections and changes that cross in every order; a checker, and mutants that it notices.

use super::*;
use shardlift_model::Token;
use std::cell::Cell;

fn route(node: &str, shard: &str) -> Route {
    Route {
        server_name: format!("{node}.example").parse().unwrap(),
        node: node.parse().unwrap(),
        shard: shard.parse().unwrap(),
        client_address: "127.0.0.1:8000".into(),
        token: Token::new(1, 1, 0),
        sever: true,
    }
}

/// The checker: after a change that severs, nothing leads anywhere else.
fn check(links: &Links, route: &Route) -> Result<(), String> {
    let entered = links.lock();
    let left = entered.by_node.get(&route.node).into_iter().flatten().filter(|(_, entry)| {
        // One that was told to end is counted by whoever waits for it.
        !entry.route.leads_where(route) && !entry.cut.is_cancelled()
    });
    match left.count() {
        0 => Ok(()),
        count => Err(format!("{count} connection(s) lead to the former shard")),
    }
}

#[tokio::test]
async fn a_change_waits_for_the_connections_that_it_ends_and_for_no_other() {
    let links = Arc::new(Links::default());
    let (to_a, to_b) = (links.enter(route("web", "a")), links.enter(route("web", "b")));
    let other = links.enter(route("db", "a"));
    let new = [route("web", "b")];
    let mut severing = std::pin::pin!(links.sever(&new));
    assert!(in_a_moment(severing.as_mut()).await.is_none(), "it waits");
    assert_eq!(to_a.unless_cut(std::future::pending::<()>()).await, None);
    assert!(in_a_moment(severing.as_mut()).await.is_none(), "told is not ended");
    drop(to_a);
    assert_eq!(severing.await, 1);
    assert_eq!(to_b.unless_cut(async { 7 }).await, Some(7));
    assert_eq!(other.unless_cut(async { 8 }).await, Some(8));
    assert_eq!(check(&links, &new[0]), Ok(()));
    drop((to_b, other));
    assert!(links.lock().by_node.is_empty(), "nothing is kept of what has ended");
    assert_eq!(links.sever(&new).await, 0);
}

async fn in_a_moment<F: Future + Unpin>(future: F) -> Option<F::Output> {
    tokio::time::timeout(std::time::Duration::from_millis(20), future).await.ok()
}

/// Runs a connection and a change of its route; the change comes before the look with this number.
fn crossing(
    before_look: u32,
    find: impl Fn(&Arc<Links>, &dyn Fn() -> Option<Route>) -> Option<Link>,
) -> Result<(), String> {
    let links = Arc::new(Links::default());
    let (looks, changed) = (Cell::new(0), Cell::new(false));
    let (old, new) = (route("web", "a"), route("web", "b"));
    let change = || {
        changed.set(true);
        links.cut(std::slice::from_ref(&new));
    };
    let look = || {
        looks.set(looks.get() + 1);
        if looks.get() == before_look {
            change();
        }
        Some(if changed.get() { new.clone() } else { old.clone() })
    };
    let link = find(&links, &look);
    if !changed.get() {
        change();
    }
    let checked = check(&links, &new);
    drop(link);
    checked
}

#[test]
fn whenever_a_change_comes_no_connection_outlives_it() {
    for before_look in 1..5 {
        assert_eq!(crossing(before_look, |links, look| links.find(look)), Ok(()), "before look {before_look}");
    }
}

#[test]
fn the_checker_catches_a_connection_that_does_not_look_again() {
    let once = |links: &Arc<Links>, look: &dyn Fn() -> Option<Route>| {
        let route = look()?;
        // The change comes between the look and the entry.
        look()?;
        Some(links.enter(route))
    };
    assert!(crossing(2, once).is_err());
}

#[test]
fn the_checker_catches_a_connection_that_is_entered_when_it_is_made() {
    let late = |links: &Arc<Links>, look: &dyn Fn() -> Option<Route>| {
        let route = look()?;
        let same = look()?.leads_where(&route);
        // While it connects.
        look()?;
        same.then(|| links.enter(route))
    };
    assert!(crossing(3, late).is_err());
}

#[test]
fn a_name_that_loses_its_route_meanwhile_leads_nowhere() {
    let links = Arc::new(Links::default());
    let looks = Cell::new(0);
    let look = || {
        looks.set(looks.get() + 1);
        (looks.get() == 1).then(|| route("web", "a"))
    };
    assert!(links.find(look).is_none());
    assert!(links.lock().by_node.is_empty());
}
