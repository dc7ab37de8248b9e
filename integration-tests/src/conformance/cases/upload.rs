//! Uploads: nothing is stored that was not meant, nothing is answered 200 that is not stored.

use super::super::case::{Book, Needs};
use super::super::expect::{any_of, is};
use super::super::request::{Body, Request, get, head, list, post};
use super::name_of;
use bytes::Bytes;

const FINAL_NAME: &str = "rclone writes to the final name and removes it when the upload fails, a moment later";
const NO_HASH: &str = "rclone does not compare bytes with names";
const REPLACES: &str = "rclone replaces what is there unless it is in append-only mode";
const RETRY: &str = "an identical upload is a client that did not see the first answer; 403 would wedge it for ever";

pub(super) fn write(book: &mut Book<'_>) {
    wrong_hash(book);
    short(book);
    without_length(book);
    again(book);
    at_once(book);
}

fn wrong_hash(book: &mut Book<'_>) {
    let (content, other) = (book.content("wrong-hash", 800), book.content("wrong-hash other", 800));
    let path = book.repository("wrong-hash");
    let case = book.case("wrong-hash", "bytes that do not fit their name are refused, and nothing of them stays");
    case.given(&path);
    for kind in super::KINDS {
        let target = format!("{path}{kind}/{}", name_of(&content));
        case.ask(post(&target, &other), is(400)).rclone(is(200), NO_HASH);
        case.ask(head(&target), is(404)).rclone(is(200), NO_HASH);
        case.ask(list(format!("{path}{kind}/")), is(200).lists_only_objects_and_not(&name_of(&content)));
        case.rclone(is(200), NO_HASH);
    }
    let target = format!("{path}data/{}", name_of(&content));
    case.ask(post(&target, &content), is(200)).ask(get(&target), is(200).body(&content));
}

fn short(book: &mut Book<'_>) {
    let content = book.content("short-body", 5000);
    let path = book.repository("short-body");
    let target = format!("{path}data/{}", name_of(&content));
    let case = book.case("short-body", "a body that ends early is not stored, and the whole one is taken after it");
    let half = Body::Short { announced: content.len(), sent: content.slice(..2500) };
    case.given(&path).ask(post(&target, &content).with(half), is(400).or_closed());
    case.rclone(is(500).or_closed(), "rclone calls it an error of its own");
    case.ask(head(&target), is(404)).rclone(any_of(&[200, 404]), FINAL_NAME);
    case.ask(post(&target, &content), is(200)).ask(get(&target), is(200).body(&content));
    case.rclone(any_of(&[200, 404]), FINAL_NAME);

    // The part that arrives is a whole object by itself: only the announced length tells that something is missing.
    let part = content.slice(..2500);
    let path = book.repository("short-but-fitting");
    let target = format!("{path}data/{}", name_of(&part));
    let case = book.case("short-but-fitting", "a short body whose part fits the name is refused all the same");
    let half = Body::Short { announced: content.len(), sent: part.clone() };
    case.given(&path).ask(post(&target, &part).with(half), is(400).or_closed());
    case.rclone(is(500).or_closed(), "rclone calls it an error of its own");
    case.ask(head(&target), is(404)).rclone(any_of(&[200, 404]), FINAL_NAME);

    let path = book.repository("broken-body");
    let target = format!("{path}snapshots/{}", name_of(&part));
    let case = book.case("broken-body", "a body of unannounced length that breaks off is refused, even where it fits");
    case.given(&path).ask(post(&target, &part).with(Body::Broken(part.clone())), is(400).or_closed());
    case.rclone(is(500).or_closed(), "rclone calls it an error of its own");
    case.ask(head(&target), is(404)).rclone(any_of(&[200, 404]), FINAL_NAME);
    case.ask(list(format!("{path}snapshots/")), is(200).listed(&[])).rclone(is(200), FINAL_NAME);
    case.needs(Needs::OwnRepository);

    let path = book.repository("short-config");
    let target = format!("{path}config");
    let half = Body::Short { announced: 155, sent: content.slice(..100) };
    let case = book.case("short-config", "half a config is no config");
    case.needs(Needs::OwnRepository).given(&path);
    case.ask(post(&target, &content).with(half), is(400).or_closed());
    case.rclone(is(500).or_closed(), "rclone calls it an error of its own");
    case.ask(head(&target), is(404)).rclone(any_of(&[200, 404]), FINAL_NAME);
}

fn without_length(book: &mut Book<'_>) {
    let content = book.content("no-length", 100_000);
    let path = book.repository("no-length");
    let target = format!("{path}data/{}", name_of(&content));
    let chunks = vec![content.slice(..1), content.slice(1..70_000), content.slice(70_000..)];
    let case = book.case("no-length", "rustic sends no length: an upload in chunks is taken");
    let request = post(&target, &content).with(Body::Unsized(chunks));
    case.given(&path).ask(request, is(200)).ask(get(&target), is(200).body(&content));
    let other = book.content("no-length other", 1000);
    let path = book.repository("no-length-wrong");
    let target = format!("{path}data/{}", name_of(&content));
    let case = book.case("no-length-wrong", "an upload in chunks is compared with its name as well");
    let request = Request::new("POST", target.clone()).with(Body::Unsized(vec![other]));
    case.given(&path).ask(request, is(400)).rclone(is(200), NO_HASH);
    case.ask(head(&target), is(404)).rclone(is(200), NO_HASH);
}

fn again(book: &mut Book<'_>) {
    let content = book.content("again", 600);
    let path = book.repository("again");
    let target = format!("{path}data/{}", name_of(&content));
    let case = book.case("again", "the same object a second time");
    case.given(&path).ask(post(&target, &content), is(200));
    case.ask(post(&target, &content), is(403)).ours(is(200), RETRY).rclone(is(200), REPLACES);
    case.ask(get(&target), is(200).body(&content));

    let other = book.content("again other", 600);
    let path = book.repository("replace");
    let target = format!("{path}keys/{}", name_of(&content));
    let case = book.case("replace", "an object is never replaced");
    case.given(&path).ask(post(&target, &content), is(200)).ask(post(&target, &other), is(403));
    case.ours(any_of(&[400, 403]), "both are true: it exists, and these bytes are not what the name says");
    case.rclone(is(200), REPLACES);
    case.ask(get(&target), is(200).body(&content)).rclone(is(200).body(&other), REPLACES);
}

fn at_once(book: &mut Book<'_>) {
    let content: Bytes = book.content("at-once", 200_000);
    let path = book.repository("at-once");
    let target = format!("{path}data/{}", name_of(&content));
    let requests: Vec<Request> = (0..4).map(|_| post(&target, &content)).collect();
    let case =
        book.case("at-once", "the same object four times at once: it is stored whole, and every client may go on");
    case.needs(Needs::ExclusiveCreate).given(&path).race(requests, 4, is(403));
    case.ask(get(&target), is(200).body(&content));
}
