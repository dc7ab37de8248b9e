//! All cases, by subject.

mod access;
mod deletion;
mod listing;
mod object;
mod path;
mod range;
mod repository;
mod upload;

use super::case::{Book, Case};
use super::peer::{Peer, Protocol};
use aws_lc_rs::digest::{SHA256, digest};

/// The cases for one peer over one protocol.
pub(super) fn all(peer: &Peer, protocol: Protocol) -> Vec<Case> {
    let mut book = Book { peer, protocol, cases: Vec::new() };
    repository::write(&mut book);
    object::write(&mut book);
    range::write(&mut book);
    listing::write(&mut book);
    upload::write(&mut book);
    deletion::write(&mut book);
    access::write(&mut book);
    path::write(&mut book);
    book.cases
}

/// The name an object with these bytes must have.
fn name_of(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// The kinds of objects, as in URLs.
const KINDS: [&str; 5] = ["data", "keys", "locks", "snapshots", "index"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::peer::{Login, Mode, Which};
    use std::collections::BTreeSet;

    #[test]
    fn every_case_has_an_id_of_its_own_a_sentence_a_step_and_reasons() {
        let peer = Peer {
            name: "none".to_owned(),
            which: Which::Ours,
            address: "127.0.0.1:1".parse().unwrap(),
            server_name: "a.backup.example".to_owned(),
            ca_pem: String::new(),
            account: "alice".to_owned(),
            owner: Login::basic("alice", "x"),
            other: Some(("bob".to_owned(), Login::basic("bob", "y"))),
            certificate_demanded: false,
            mode: Mode::Normal,
            repository: None,
            protocols: Vec::new(),
        };
        let cases = all(&peer, Protocol::Http1);
        let ids: BTreeSet<_> = cases.iter().map(|case| case.id).collect();
        assert_eq!(ids.len(), cases.len());
        for case in &cases {
            assert!(!case.steps.is_empty() && case.says.len() > 10, "{}", case.id);
            let reasons = case.steps.iter().flat_map(|step| &step.expected.why);
            assert!(reasons.into_iter().all(|(_, why)| why.len() > 15), "{}", case.id);
        }
    }
}
