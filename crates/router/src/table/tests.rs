//! The rules of the table, one by one and in random order, with mutants that must be caught.

use super::*;
use proptest::prelude::*;

fn route(name: &str, node: &str, shard: &str, token: Token) -> Route {
    Route {
        server_name: name.parse().unwrap(),
        node: node.parse().unwrap(),
        shard: shard.parse().unwrap(),
        client_address: "127.0.0.1:8000".into(),
        token,
        sever: false,
    }
}

fn change(version: u64, upserts: Vec<Route>) -> Change {
    Change { version, upserts }
}

fn table() -> Table {
    let web = route("web.example", "web", "a", Token::new(1, 5, 2));
    Table::default().with(&change(3, vec![web, route("db.example", "db", "a", Token::new(1, 5, 2))]))
}

#[test]
fn a_change_is_refused_as_a_whole_with_its_reason() {
    let good = || route("mail.example", "mail", "a", Token::new(1, 1, 0));
    let with = |mutate: &dyn Fn(&mut Route)| {
        let mut route = route("web.example", "web", "b", Token::new(1, 6, 1));
        mutate(&mut route);
        change(4, vec![good(), route])
    };
    let cases = [
        (change(2, vec![good()]), "version 2 is not above the router's version 3"),
        (change(3, vec![good()]), "version 3 is in force with other routes"),
        (with(&|r| r.token = Token::new(1, 5, 1)), "the token 1.5.1 for node web is stale: the router holds 1.5.2"),
        (with(&|r| r.token = Token::new(0, 9, 9)), "the token 0.9.9 for node web is stale: the router holds 1.5.2"),
        (with(&|r| r.node = "other".parse().unwrap()), "the server name web.example belongs to node web"),
        (with(&|r| r.server_name = "mail.example".parse().unwrap()), "node web appears twice in one change"),
        (with(&|r| r.client_address = "nowhere".into()), "the address of shard b is not host:port"),
        (with(&|r| r.client_address = "h:0".into()), "the address of shard b is not host:port"),
        (with(&|r| r.client_address = ":80".into()), "the address of shard b is not host:port"),
    ];
    for (change, expected) in cases {
        assert_eq!(table().judge(&change).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_repetition_is_told_from_a_new_change() {
    let flip = change(4, vec![route("web.example", "web", "b", Token::new(1, 6, 1))]);
    assert_eq!(table().judge(&flip), Ok(Verdict::New));
    let flipped = table().with(&flip);
    assert_eq!(flipped.judge(&flip), Ok(Verdict::Repeated));
    assert_eq!(flipped.find(&"web.example".parse().unwrap()).unwrap().shard.as_str(), "b");
    assert_eq!((flipped.version(), flipped.len()), (4, 2));
}

#[test]
fn a_node_that_is_renamed_leaves_no_old_name_behind() {
    let renamed = table().with(&change(4, vec![route("www.example", "web", "a", Token::new(1, 5, 3))]));
    assert!(renamed.find(&"web.example".parse().unwrap()).is_none());
    assert_eq!(renamed.len(), 2);
    let stale = change(5, vec![route("web.example", "web", "a", Token::new(1, 5, 2))]);
    assert!(matches!(renamed.judge(&stale), Err(Refused::StaleToken { .. })));
}

#[test]
fn routes_are_paged_in_the_order_of_their_names() {
    let names = |after: Option<&str>| -> Vec<String> {
        let after = after.map(|name| name.parse().unwrap());
        table().after(after.as_ref()).map(|route| route.server_name.to_string()).collect()
    };
    assert_eq!(names(None), ["db.example", "web.example"]);
    assert_eq!(names(Some("db.example")), ["web.example"]);
    assert!(names(Some("web.example")).is_empty());
}

/// INV-03 and INV-06 over one step: no node's token and no version ever goes down.
fn check_step(before: &Table, after: &Table) -> Result<(), String> {
    if after.version() < before.version() {
        return Err("INV-06: the version went down".into());
    }
    for held in before.after(None) {
        let now = after.after(None).find(|route| route.node == held.node);
        match now {
            Some(now) if now.token >= held.token => {}
            _ => return Err(format!("INV-03: node {} went from {} to {now:?}", held.node, held.token)),
        }
    }
    Ok(())
}

fn any_change() -> impl Strategy<Value = Change> {
    let any_route =
        (0..3_u8, 0..3_u8, 0..2_u8, 0..3_u64, 0..3_u64).prop_map(|(name, node, shard, generation, step)| {
            route(
                &format!("n{name}.example"),
                &format!("node{node}"),
                &format!("s{shard}"),
                Token::new(1, generation, step),
            )
        });
    (0..8_u64, proptest::collection::vec(any_route, 0..3)).prop_map(|(version, upserts)| Change { version, upserts })
}

proptest! {
    #[test]
    fn no_sequence_of_changes_takes_a_token_or_the_version_back(changes in proptest::collection::vec(any_change(), 0..20)) {
        let mut table = Table::default();
        for change in changes {
            let before = table.clone();
            if table.judge(&change) == Ok(Verdict::New) {
                table.take(&change);
            }
            prop_assert_eq!(check_step(&before, &table), Ok(()));
        }
    }
}

#[test]
fn the_checker_catches_a_table_that_takes_what_it_should_refuse() {
    let stale = change(4, vec![route("web.example", "web", "b", Token::new(1, 5, 1))]);
    assert!(check_step(&table(), &table().with(&stale)).unwrap_err().starts_with("INV-03"));
    let old = change(2, vec![]);
    assert!(check_step(&table(), &table().with(&old)).unwrap_err().starts_with("INV-06"));
}
