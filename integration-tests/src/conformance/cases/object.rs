//! Objects: stored under the name of their hash, read back whole, with the methods they know.

use super::super::case::Book;
use super::super::expect::{any_of, is};
use super::super::request::{Request, get, head, post};
use super::{KINDS, name_of};
use bytes::Bytes;

const NO_ALLOW: &str = "rclone sends no Allow header with 405";

pub(super) fn write(book: &mut Book<'_>) {
    let path = book.repository("object");
    let contents = KINDS.map(|kind| (kind, book.content(kind, 700)));
    let case = book.case("object", "an object of each kind is stored and read back, with its length, byte by byte");
    case.given(&path);
    for (kind, content) in &contents {
        let target = format!("{path}{kind}/{}", name_of(content));
        case.ask(head(&target), is(404)).ask(get(&target), is(404)).ask(post(&target, content), is(200).no_body());
        case.ask(head(&target), is(200).header("content-length", "700"));
        case.ask(get(&target), is(200).body(content).header("content-length", "700"));
    }

    let content = book.content("head-by-hand", 1000);
    let path = book.repository("head-by-hand");
    let target = format!("{path}data/{}", name_of(&content));
    let case = book.case("head-by-hand", "not one byte follows the head of an answer to HEAD");
    case.needs(super::super::case::Needs::Http1).given(&path).ask(post(&target, &content), is(200));
    case.ask(head(&target).by_hand(), is(200).header("content-length", "1000").no_body());
    case.ask(head(format!("{path}data/{}", "0".repeat(64))).by_hand(), is(404).no_body());

    let large: Bytes = book.content("object-large", 3_000_000);
    let path = book.repository("object-large");
    let target = format!("{path}data/{}", name_of(&large));
    let case = book.case("object-large", "an object larger than any window or buffer arrives whole");
    case.given(&path).ask(post(&target, &large), is(200)).ask(get(&target), is(200).body(&large));

    let path = book.repository("object-methods");
    let content = book.content("object-methods", 70);
    let target = format!("{path}data/{}", name_of(&content));
    let case = book.case("object-methods", "an object knows GET, HEAD, POST and DELETE; other methods change nothing");
    case.given(&path).ask(post(&target, &content), is(200));
    for method in ["PUT", "PATCH"] {
        let request = Request::new(method, target.clone()).body(&Bytes::from_static(b"other"));
        case.ask(request, is(405).header_names("allow", "GET").header_names("allow", "DELETE"));
        case.rclone(is(405), NO_ALLOW);
    }
    case.ask(get(&target), is(200).body(&content));

    let path = book.repository("listing-methods");
    let case = book.case("listing-methods", "a listing can only be read");
    case.given(&path);
    for method in ["PUT", "DELETE", "POST"] {
        let request = Request::new(method, format!("{path}data/")).body(&Bytes::new());
        case.ask(request, is(405).header_names("allow", "GET"));
        if method == "POST" {
            case.rclone(is(400), "rclone takes each POST to a folder for the creation of a repository");
        } else {
            case.rclone(is(405), NO_ALLOW);
        }
    }

    let path = book.repository("empty-object");
    let empty = Bytes::new();
    let target = format!("{path}locks/{}", name_of(&empty));
    let case = book.case("empty-object", "an empty object is an object: its name fits its bytes");
    case.given(&path).ask(post(&target, &empty), is(200)).ask(head(&target), is(200).header("content-length", "0"));
    case.ask(get(&target).range("bytes=0-"), any_of(&[200, 206, 416]));
}
