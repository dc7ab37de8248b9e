//! Ranges: what restic's every read depends on.

use super::super::case::Book;
use super::super::expect::{any_of, is};
use super::super::request::{get, head, post};
use super::name_of;
use bytes::Bytes;

const BREAKS_OFF: &str =
    "rclone does not compare a range with the object: it announces what it cannot send and breaks off";

pub(super) fn write(book: &mut Book<'_>) {
    let bytes = book.content("range", 5000);
    let path = book.repository("range");
    let target = format!("{path}data/{}", name_of(&bytes));
    let case = book.case("range", "one range, closed or open, is answered 206 with exactly its bytes");
    case.given(&path).ask(post(&target, &bytes), is(200));
    for (range, from, to) in [
        ("bytes=0-", 0, 5000),
        ("bytes=0-0", 0, 1),
        ("bytes=1-9", 1, 10),
        ("bytes=4999-", 4999, 5000),
        ("bytes=4000-4999", 4000, 5000),
        ("bytes=0-4999", 0, 5000),
    ] {
        let wanted = bytes.slice(from..to);
        let expect = is(206).body(&wanted).header("content-length", wanted.len().to_string());
        case.ask(get(&target).range(range), expect.header("content-range", format!("bytes {from}-{}/5000", to - 1)));
    }
    beyond(book, &bytes);
    odd(book, &bytes);
}

fn beyond(book: &mut Book<'_>, bytes: &Bytes) {
    let path = book.repository("range-beyond");
    let target = format!("{path}data/{}", name_of(bytes));
    let case = book.case("range-beyond", "an end past the object is cut to it; a start at or past its end is 416");
    case.given(&path).ask(post(&target, bytes), is(200));
    let tail = bytes.slice(4990..);
    case.ask(
        get(&target).range("bytes=4990-6000"),
        is(206).body(&tail).header("content-length", "10").header("content-range", "bytes 4990-4999/5000"),
    );
    let huge = "bytes=4990-18446744073709551615";
    case.ask(get(&target).range(huge), is(206).body(&tail));
    case.rest_server(any_of(&[206, 416]), "Go reads the end as a signed number");
    case.rclone(is(206).or_closed(), BREAKS_OFF);
    for range in ["bytes=5000-", "bytes=5000-5001", "bytes=9999-"] {
        case.ask(get(&target).range(range), is(416)).rclone(is(206).or_closed(), BREAKS_OFF);
    }
}

fn odd(book: &mut Book<'_>, bytes: &Bytes) {
    let path = book.repository("range-odd");
    let target = format!("{path}data/{}", name_of(bytes));
    let case = book.case("range-odd", "what is no range is ignored or refused, and never answered with other bytes");
    case.given(&path).ask(post(&target, bytes), is(200));
    for range in ["bytes=9-3", "bytes=a-b", "bytes=", "lines=1-2", "bytes=--5"] {
        case.ask(get(&target).range(range), is(416));
        case.ours(any_of(&[200, 400, 416]), "RFC 9110 lets a server ignore what it does not understand");
        case.rclone(any_of(&[200, 206]).or_closed(), BREAKS_OFF);
    }
    let tail = bytes.slice(4995..);
    case.ask(get(&target).range("bytes=-5"), is(206).body(&tail));
    case.ours(any_of(&[200, 206, 416]), "no client sends suffix ranges; the protocol does not know them");

    let path = book.repository("range-missing");
    let case = book.case("range-missing", "a range of what is not there is 404, not 416");
    case.given(&path).ask(get(format!("{path}data/{}", "1".repeat(64))).range("bytes=0-"), is(404));

    let path = book.repository("range-head");
    let target = format!("{path}data/{}", name_of(bytes));
    let case = book.case("range-head", "HEAD tells the whole length to a client that sends no range");
    case.given(&path).ask(post(&target, bytes), is(200));
    case.ask(head(&target), is(200).header("content-length", "5000").no_body());
}
