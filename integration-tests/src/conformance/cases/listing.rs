//! Listings: two versions, exact content types, never a temporary name, never empty for want of an answer.

use super::super::case::{Book, Needs};
use super::super::expect::is;
use super::super::request::{Body, V1, V2, get, list, post};
use super::name_of;

const ONLY_V2: &str = "rclone knows version 2 only and refuses the other with 400";

pub(super) fn write(book: &mut Book<'_>) {
    versions(book);
    absent(book);
    let content = book.content("temp-names", 9000);
    let path = book.repository("temp-names");
    let name = name_of(&content);
    let target = format!("{path}index/{name}");
    let half = Body::Short { announced: content.len(), sent: content.slice(..4000) };
    let case = book.case("temp-names", "an upload on its way is in no listing, nor is it when its client has vanished");
    case.given(&path);
    for _ in 0..2 {
        case.hold(post(&target, &content).with(half.clone()));
        case.ask(list(format!("{path}index/")), is(200).lists_only_objects_and_not(&name));
        case.rest_server(is(200), "rest-server lists its temporary files; clients skip names that are not hex");
        case.rclone(is(200), "rclone writes to the final name, which a listing may show half done");
    }
    case.ask(post(&target, &content), is(200));
    case.ask(list(format!("{path}index/")), is(200).lists(&name, 9000));
    case.rclone(is(200), "the half upload may still be written to, or removed, when the whole one is there");
}

fn versions(book: &mut Book<'_>) {
    let (one, two) = (book.content("versions 1", 321), book.content("versions 2", 1234));
    let (name_one, name_two) = (name_of(&one), name_of(&two));
    let path = book.repository("versions");
    let keys = format!("{path}keys/");
    let case = book.case("versions", "v2 lists names and sizes, v1 names; the content type says which, exactly");
    case.needs(Needs::OwnRepository).given(&path);
    case.ask(post(format!("{keys}{name_one}"), &one), is(200)).ask(post(format!("{keys}{name_two}"), &two), is(200));
    case.ask(list(&keys), is(200).listed(&[(&name_one, 321), (&name_two, 1234)]).header("content-type", V2));
    let by_name = || is(200).listed_by_name(&[&name_one, &name_two]);
    case.ask(get(&keys), by_name()).rclone(is(400), ONLY_V2);
    for accept in [V1, "*/*", "application/json"] {
        case.ask(get(&keys).header("accept", accept), by_name()).rclone(is(400), ONLY_V2);
    }

    let path = book.repository("versions-empty");
    let case = book.case("versions-empty", "an empty folder is `[]` in both versions, not `null`");
    case.needs(Needs::OwnRepository).given(&path);
    case.ask(list(format!("{path}locks/")), is(200).listed(&[]));
    case.ask(get(format!("{path}locks/")), is(200).listed_by_name(&[])).rclone(is(400), ONLY_V2);

    let contents: Vec<_> = (0..40).map(|n| book.content(&format!("many {n}"), 40 + n)).collect();
    let path = book.repository("many");
    let data = format!("{path}data/");
    let case = book.case("many", "packs lie in 256 folders and are listed as one, each once, with their sizes");
    case.needs(Needs::OwnRepository).given(&path);
    for content in &contents {
        case.ask(post(format!("{data}{}", name_of(content)), content), is(200));
    }
    let names: Vec<_> = contents.iter().map(|content| (name_of(content), content.len())).collect();
    let wanted: Vec<_> = names.iter().map(|(name, size)| (name.as_str(), *size)).collect();
    case.ask(list(&data), is(200).listed(&wanted));
}

fn absent(book: &mut Book<'_>) {
    let path = book.repository("no-repository");
    let case = book.case("no-repository", "a listing of a repository that does not exist is 404, never an empty list");
    case.needs(Needs::OwnRepository);
    for kind in super::KINDS {
        case.ask(list(format!("{path}{kind}/")), is(404));
        case.rclone(is(200).listed(&[]), "rclone answers an empty list for a folder that does not exist");
    }
    case.ask(get(format!("{path}keys/{}", "2".repeat(64))), is(404));
}
