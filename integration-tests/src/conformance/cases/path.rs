//! Paths that try to be more than they are. They go out exactly as they are written here.

use super::super::case::{Book, Needs};
use super::super::expect::{any_of, is, refused};
use super::super::request::{create, get, head, list, post};
use super::name_of;

const REFUSED: &str = "any refusal by 4xx is right; what matters is that the path leads nowhere";
const RAW: &str = "rclone hands each path to its backend as it is";

pub(super) fn write(book: &mut Book<'_>) {
    unknown(book);
    names(book);
    nodes(book);
    climbing(book);
}

fn unknown(book: &mut Book<'_>) {
    let path = book.repository("unknown-path");
    let name = "4".repeat(64);
    let case = book.case("unknown-path", "paths outside the protocol are not found");
    case.given(&path);
    for rest in ["foo", "foo/", "foo/bar", "data/foo/bar", "Data/", "conf", "config/", "tmp/x", "data/44/"] {
        case.ask(get(format!("{path}{rest}")), is(404)).ours(any_of(&[400, 404, 405]), REFUSED);
        if rest.ends_with('/') {
            case.rclone(is(400), "rclone takes a GET of any folder for a listing, and this one is not of version 2");
        }
    }
    case.ask(get(format!("{path}data/44/{name}")), is(404)).ask(get(format!("{path}config/{name}")), is(404));
}

fn names(book: &mut Book<'_>) {
    let content = book.content("names", 99);
    let right = name_of(&content);
    let path = book.repository("names");
    let case = book.case("names", "an object's name is 64 lower-case hex digits and nothing else");
    case.given(&path);
    let upper = right.to_uppercase();
    let (shorter, longer) = (right[..63].to_owned(), format!("{right}0"));
    let temporary = format!("{right}.rest-server-temp1");
    let not_hex = format!("{}g", &right[..63]);
    for name in [&upper, &shorter, &longer, &temporary, &not_hex, &format!("{right}%00"), &"a".to_owned()] {
        let target = format!("{path}keys/{name}");
        for request in [head(&target), get(&target)] {
            case.ask(request, is(404)).ours(any_of(&[400, 404]), REFUSED);
        }
        case.ask(post(&target, &content), is(404)).ours(any_of(&[400, 404]), REFUSED).rclone(is(200), RAW);
    }
    case.ask(list(format!("{path}keys/")), is(200).lists_only_objects_and_not(&right)).rclone(is(200), RAW);
}

fn nodes(book: &mut Book<'_>) {
    let account = book.peer.account.clone();
    let refused_path = |case: &mut super::super::case::Case, part: &str| {
        case.ask(create(&format!("/{account}/{part}/")), is(404)).ours(refused(), REFUSED);
        case.rest_server(
            any_of(&[200, 400, 404, 405, 500]),
            "Go decodes before it splits, and file names are not checked",
        );
        case.rclone(if part.len() > 255 { is(500) } else { is(200) }, RAW);
    };
    let case = book.case("reserved-words", "a word of the protocol is no name of a repository, however it is written");
    for part in ["data", "keys", "locks", "snapshots", "index", "config", "%64ata", "confi%67"] {
        refused_path(case, part);
    }
    let case = book.case("three-levels", "a repository is at most two levels deep");
    refused_path(case, "a/b");
    refused_path(case, "a/b/c");

    let case = book.case("strange-names", "names with control characters, separators or a leading dot are refused");
    for part in ["%00", "a%00b", "%0a", "a%5cb", ".hidden", ".htpasswd", "a%2fb", "%ff", "a%3ab", "a*b", "%7f"] {
        refused_path(case, part);
    }
    let long = "x".repeat(300);
    let case =
        book.case("long-name", "a name longer than any file name is refused as a bad name, not as an error of ours");
    refused_path(case, &long);
    case.ask(get(format!("/{account}/{long}/config")), is(404)).ours(any_of(&[400, 404, 414]), REFUSED);

    let path = book.repository("raw-nul");
    let case = book.case("raw-nul", "a NUL in the request line ends the request");
    case.needs(Needs::Http1).ask(get(format!("{path}data/\0/")).by_hand(), is(400).or_closed());
}

fn climbing(book: &mut Book<'_>) {
    let content = book.content("climbing", 120);
    let name = name_of(&content);
    let path = book.repository("climbing");
    let inner = path.trim_matches('/').to_owned();
    let account = book.peer.account.clone();
    let case = book.case("climbing", "no spelling of a path reaches an object but the one spelling");
    case.given(&path).ask(post(format!("{path}keys/{name}"), &content), is(200));
    for spelling in [
        format!("{path}data/../keys/{name}"),
        format!("{path}data/%2e%2e/keys/{name}"),
        format!("{path}./keys/{name}"),
        format!("{path}%2e/keys/{name}"),
        format!("{path}/keys/{name}"),
        format!("{path}keys//{name}"),
        format!("//{inner}/keys/{name}"),
        format!("/{account}/x/../../{inner}/keys/{name}"),
        format!("/{account}/..%2f{inner}/keys/{name}"),
        format!("{path}keys/..%2fkeys%2f{name}"),
        format!("{path}keys%2f{name}"),
        format!("{path}keys/{name}/"),
        format!("{path}keys/{name}/."),
        format!("{path}keys/{name}%2f"),
    ] {
        case.ask(get(&spelling), is(404)).ours(refused(), REFUSED);
        case.rest_server(any_of(&[200, 301, 404]), "Go decodes before it splits");
        case.rclone(any_of(&[200, 301, 400, 404]), RAW);
    }
    let case = book.case("climbing-out", "no path leads out of the data folder or into another's");
    for spelling in [
        "/../../../../etc/passwd".to_owned(),
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd".to_owned(),
        format!("/{account}/../../etc/passwd"),
        format!("/{account}/..%2f..%2f..%2fetc%2fpasswd"),
        format!("/{account}/%2e%2e/.htpasswd"),
        "/.htpasswd".to_owned(),
    ] {
        case.ask(get(&spelling), is(404)).ours(refused(), REFUSED);
        case.rclone(any_of(&[301, 403, 404]), "Go redirects to the cleaned path, which is looked at again");
    }
}
