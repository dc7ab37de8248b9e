//! Deletion, and what append-only leaves of it.

use super::super::case::Book;
use super::super::expect::is;
use super::super::request::{create, delete, get, head, list, post};
use super::{KINDS, name_of};

const NOT_THERE: &str = "rclone answers 404 for what is not there";

pub(super) fn write(book: &mut Book<'_>) {
    let path = book.repository("delete");
    let contents = KINDS.map(|kind| (kind, book.content(&format!("delete {kind}"), 300)));
    let case = book.case("delete", "an object is deleted once and for all; deleting it again is no error");
    case.given(&path);
    for (kind, content) in &contents {
        let (folder, name) = (format!("{path}{kind}/"), name_of(content));
        let target = format!("{folder}{name}");
        case.ask(post(&target, content), is(200)).ask(delete(&target), is(200));
        case.ask(get(&target), is(404)).ask(head(&target), is(404));
        case.ask(list(&folder), is(200).lists_only_objects_and_not(&name));
        case.ask(delete(&target), is(200)).rclone(is(404), NOT_THERE);
        case.ask(post(&target, content), is(200)).ask(get(&target), is(200).body(content));
    }

    let path = book.repository("delete-nothing");
    let case = book.case("delete-nothing", "deleting what was never there is no error: clients repeat themselves");
    case.given(&path).ask(delete(format!("{path}data/{}", "3".repeat(64))), is(200)).rclone(is(404), NOT_THERE);
    append_only(book);
}

fn append_only(book: &mut Book<'_>) {
    let path = book.repository("append-only");
    let contents = KINDS.map(|kind| (kind, book.content(&format!("append-only {kind}"), 300)));
    let case = book.append_only("append-only", "objects can be added and read; only locks can be deleted");
    case.given(&path);
    for (kind, content) in &contents {
        let target = format!("{path}{kind}/{}", name_of(content));
        case.ask(post(&target, content), is(200));
        if *kind == "locks" {
            case.ask(delete(&target), is(200)).ask(head(&target), is(404));
        } else {
            case.ask(delete(&target), is(403)).ask(get(&target), is(200).body(content));
        }
    }

    let content = book.content("append-only-absent", 300);
    let path = book.repository("append-only-absent");
    let case = book.append_only("append-only-absent", "a deletion is denied whether or not the object is there");
    case.given(&path).ask(delete(format!("{path}data/{}", name_of(&content))), is(403));
    case.ask(delete(format!("{path}locks/{}", name_of(&content))), is(200));
    case.rclone(is(404), NOT_THERE);

    let path = book.repository("append-only-retry");
    let target = format!("{path}data/{}", name_of(&content));
    let case = book.append_only("append-only-retry", "a lost answer does not wedge an append-only client");
    case.given(&path).ask(post(&target, &content), is(200)).ask(delete(&target), is(403));
    case.ask(post(&target, &content), is(403));
    case.ours(is(200), "after a lost answer restic deletes and uploads again: one of the two must work");
    case.ask(get(&target), is(200).body(&content));

    let path = book.repository("append-only-config");
    let config = format!("{path}config");
    let bytes = book.content("append-only-config", 155);
    let case = book.append_only("append-only-config", "config stays, and so does the repository");
    case.needs(super::super::case::Needs::OwnRepository).given(&path).ask(post(&config, &bytes), is(200));
    case.ask(delete(&config), is(403)).ask(delete(&path), is(405)).ask(create(&path), is(200));
    case.ask(get(&config), is(200).body(&bytes));
}
