//! Repositories and their config.

use super::super::case::{Book, Needs};
use super::super::expect::{any_of, is};
use super::super::request::{Request, delete, get, head, list, post};
use super::KINDS;
use bytes::Bytes;

const NO_ALLOW: &str = "rclone sends no Allow header with 405";
const REPLACES: &str = "rclone replaces what is there unless it is in append-only mode";

pub(super) fn write(book: &mut Book<'_>) {
    creation(book);
    root(book);
    config(book);
}

fn creation(book: &mut Book<'_>) {
    let path = book.repository("create");
    let case =
        book.case("create", "a repository is created, all listings are empty; creating it again changes nothing");
    case.needs(Needs::OwnRepository).given(&path).given(&path);
    for kind in KINDS {
        case.ask(list(format!("{path}{kind}/")), is(200).listed(&[]));
    }
    let config = book.content("create-again", 100);
    let path = book.repository("create-again");
    let case = book.case("create-again", "creating a repository that is in use leaves its config and objects alone");
    case.needs(Needs::OwnRepository).given(&path).ask(post(format!("{path}config"), &config), is(200));
    case.given(&path).ask(get(format!("{path}config")), is(200).body(&config));

    let path = book.repository("create-not-true");
    let bad = |query: &str| Request::new("POST", format!("{path}{query}")).body(&Bytes::new());
    let case = book.case("create-not-true", "a POST to the root without create=true is refused");
    for query in ["?create=false", "?create=1", "", "?create="] {
        case.ask(bad(query), is(400));
        if query.starts_with("?create=") || query.is_empty() {
            case.ours(any_of(&[400, 404]), "a node that does not exist may be told apart from a bad query");
        }
    }

    let account = format!("/{}/", book.peer.account);
    let config = book.content("one-level", 64);
    let case = book.case("one-level", "the account's own folder is a repository as well, beside those below it");
    case.needs(Needs::OwnRepository).given(&account);
    case.ask(head(format!("{account}keys/{}", super::name_of(&config))), is(404));
}

fn root(book: &mut Book<'_>) {
    let path = book.repository("root-methods");
    let case = book.case("root-methods", "the root of a repository takes POST only, and says so");
    case.given(&path);
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        case.ask(Request::new(method, path.clone()), is(405).header_names("allow", "POST"));
        if method == "GET" {
            case.rclone(is(400), "rclone takes a GET of any folder for a listing, and this one is not of version 2");
        } else {
            case.rclone(is(405), NO_ALLOW);
        }
    }
    let config = book.content("root-delete", 64);
    let path = book.repository("root-delete");
    let case = book.case("root-delete", "a DELETE of the whole repository deletes nothing");
    case.needs(Needs::OwnRepository).given(&path).ask(post(format!("{path}config"), &config), is(200));
    case.ask(delete(path.clone()), is(405)).ask(get(format!("{path}config")), is(200).body(&config));
}

fn config(book: &mut Book<'_>) {
    let (first, second) = (book.content("config", 155), book.content("config other", 155));
    let path = book.repository("config");
    let config = format!("{path}config");
    let case = book.case("config", "config is created once, served whole, and never replaced");
    case.needs(Needs::OwnRepository).given(&path);
    case.ask(head(&config), is(404)).ask(get(&config), is(404)).ask(post(&config, &first), is(200));
    case.ask(head(&config), is(200).header("content-length", "155").no_body());
    case.ask(get(&config), is(200).body(&first));
    case.ask(post(&config, &second), is(403)).rclone(is(200), REPLACES);
    case.ask(get(&config), is(200).body(&first)).rclone(is(200).body(&second), REPLACES);

    let path = book.repository("config-again");
    let config = format!("{path}config");
    let case = book.case("config-again", "a client that repeats the very same config did not see the first answer");
    case.needs(Needs::OwnRepository).given(&path).ask(post(&config, &first), is(200));
    case.ask(post(&config, &first), is(403));
    case.ours(any_of(&[200, 403]), "an identical upload is a lost answer and may be answered 200");
    case.rclone(is(200), REPLACES);
    case.ask(get(&config), is(200).body(&first));

    let path = book.repository("config-range");
    let config = format!("{path}config");
    let case = book.case("config-range", "restic asks for config with an open range and takes 200 and 206");
    case.needs(Needs::OwnRepository).given(&path).ask(post(&config, &first), is(200));
    case.ask(get(&config).range("bytes=0-"), is(200).body(&first));
    case.ours(any_of(&[200, 206]).body(&first), "config is an object like the others: a range of it is allowed");
    case.rclone(is(206).body(&first), "rclone serves config like any object");

    let path = book.repository("config-race");
    let config = format!("{path}config");
    let contents: Vec<Bytes> = (0..4).map(|n| book.content(&format!("config-race {n}"), 200)).collect();
    let case = book.case("config-race", "of four configs that come at once exactly one is stored");
    case.needs(Needs::OwnRepository).needs(Needs::ExclusiveCreate).given(&path);
    case.race(contents.iter().map(|content| post(&config, content)).collect(), 1, is(403));
    case.ask(head(&config), is(200).header("content-length", "200"));

    let path = book.repository("config-delete");
    let config = format!("{path}config");
    let case = book.case("config-delete", "config can be deleted, and a second time; then a new one is taken");
    case.needs(Needs::OwnRepository).given(&path).ask(post(&config, &first), is(200));
    case.ask(delete(&config), is(200)).ask(head(&config), is(404));
    case.ask(delete(&config), is(200)).rclone(is(404), "rclone answers 404 for what is not there");
    case.ask(post(&config, &second), is(200)).ask(get(&config), is(200).body(&second));

    let path = book.repository("config-no-repository");
    let case = book.case("config-no-repository", "config of a repository that does not exist is not there");
    case.needs(Needs::OwnRepository);
    case.ask(head(format!("{path}config")), is(404)).ask(get(format!("{path}config")), is(404));
}
