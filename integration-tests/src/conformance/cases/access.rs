//! Who may do what: nobody without a login, and nobody in another's repository.

use super::super::case::{Book, Needs};
use super::super::expect::{Expect, any_of, is};
use super::super::peer::Access;
use super::super::request::{Request, create, delete, get, head, list, post};
use super::name_of;
use bytes::Bytes;

const FORBIDDEN: &str = "rclone tells a known account that it is forbidden";
const OURS_FOREIGN: &str = "the shard may say either; what matters is that it is the same for all foreign paths";

/// Every call of the protocol on one repository that holds `name` in `data`.
fn every_call(path: &str, name: &str, bytes: &Bytes) -> Vec<Request> {
    vec![
        create(path),
        head(format!("{path}config")),
        get(format!("{path}config")),
        post(format!("{path}config"), bytes),
        delete(format!("{path}config")),
        list(format!("{path}data/")),
        list(format!("{path}snapshots/")),
        head(format!("{path}data/{name}")),
        get(format!("{path}data/{name}")),
        get(format!("{path}data/{name}")).range("bytes=0-"),
        post(format!("{path}data/{name}"), bytes),
        delete(format!("{path}data/{name}")),
        delete(format!("{path}locks/{name}")),
        delete(path),
        get(path),
    ]
}

pub(super) fn write(book: &mut Book<'_>) {
    let demanded = book.peer.certificate_demanded;
    let unknown = move || -> Expect { if demanded { is(401).or_closed() } else { is(401) } };
    let bytes = book.content("access", 222);
    let name = name_of(&bytes);

    let path = book.repository("no-login");
    let case = book.case("no-login", "without a login every call is refused, and nothing happens");
    case.given(&path).ask(post(format!("{path}data/{name}"), &bytes), is(200));
    for request in every_call(&path, &name, &bytes) {
        case.ask(request.by(Access::Nobody), unknown());
    }
    case.ask(get(format!("{path}data/{name}")), is(200).body(&bytes));

    for (id, says, access) in [
        ("wrong-password", "a wrong password is refused for every call", Access::WrongPassword),
        ("unknown-user", "an unknown user is refused for every call", Access::UnknownUser),
        ("garbled-login", "a login that cannot be read is refused for every call", Access::Garbled),
    ] {
        let path = book.repository(id);
        let case = book.case(id, says);
        case.needs(Needs::Password).given(&path).ask(post(format!("{path}data/{name}"), &bytes), is(200));
        for request in every_call(&path, &name, &bytes) {
            case.ask(request.by(access), unknown());
        }
        case.ask(get(format!("{path}data/{name}")), is(200).body(&bytes));
    }
    foreign(book, &bytes);
}

fn foreign(book: &mut Book<'_>, bytes: &Bytes) {
    let name = name_of(bytes);
    let own = book.repository("foreign");
    let absent = format!("/{}/never-made-{}/", book.peer.account, book.protocol);
    let case = book.case("foreign", "another account gets nothing out of a repository, and nothing into it");
    case.needs(Needs::OtherAccount).given(&own).ask(post(format!("{own}data/{name}"), bytes), is(200));
    // A repository that exists and one that does not look the same from outside.
    for path in [&own, &absent] {
        for request in every_call(path, &name, bytes) {
            // What no repository root knows is refused before it is asked whose it is.
            let root = request.target == *path && request.method != "POST";
            let ours: &[u16] = if root { &[401, 403, 405] } else { &[401, 403] };
            case.ask(request.by(Access::Other), is(401)).ours(any_of(ours), OURS_FOREIGN);
            case.rclone(is(403), FORBIDDEN);
        }
    }
    case.ask(get(format!("{own}data/{name}")), is(200).body(bytes));

    let Some((other, _)) = book.peer.other.clone() else { return };
    let account = book.peer.account.clone();
    let case = book.case("foreign-prefix", "an account whose name begins like another's is not that other");
    case.needs(Needs::OtherAccount);
    for path in [format!("/{account}x/"), format!("/{account}-2/sub/"), format!("/{other}/"), "/".to_owned()] {
        case.ask(create(&path), is(401)).ours(any_of(&[400, 401, 403, 404, 405]), OURS_FOREIGN);
        case.rclone(is(403), FORBIDDEN);
    }
    let case = book.case("foreign-case", "the name of an account is compared letter by letter");
    case.needs(Needs::OtherAccount).ask(create(&format!("/{}/", account.to_uppercase())), is(401));
    case.ours(any_of(&[401, 403]), OURS_FOREIGN).rclone(is(403), FORBIDDEN);
}
