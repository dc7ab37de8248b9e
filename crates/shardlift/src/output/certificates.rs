//! Certificates and revocation lists as people read them.

use super::{fields, rfc3339, table};
use shardlift_api::v1;
use shardlift_model::UnixMillis;

pub(crate) fn certificate_table(certificates: &[v1::CertificateView]) -> String {
    let time = |at: u64| if at == 0 { String::new() } else { rfc3339(UnixMillis(at)) };
    let row = |known: &v1::CertificateView| {
        let revoked = match known.revoked_unix_ms {
            0 => String::new(),
            at => format!("{} ({})", time(at), known.reason),
        };
        let serial = known.serial.clone();
        vec![serial, known.role.clone(), known.name.clone(), time(known.not_after_unix_ms), revoked]
    };
    table(&["SERIAL", "ROLE", "NAME", "ENDS", "REVOKED"], certificates.iter().map(row))
}

pub(crate) fn revocations_text(list: &v1::RevocationsView) -> String {
    let in_force = list.parts.iter().filter(|at| at.in_force).count();
    let facts = fields(&[
        ("list", format!("{} of {}", list.number, list.issuer)),
        ("certificates", list.certificates.to_string()),
        ("made", rfc3339(UnixMillis(list.made_unix_ms))),
        ("good until", rfc3339(UnixMillis(list.next_update_unix_ms))),
        ("in force", format!("at {in_force} of {} parts", list.parts.len())),
    ]);
    let behind = list.parts.iter().filter(|at| !at.in_force).map(|at| {
        let held = if at.number == 0 { "none, or it has not said".to_owned() } else { at.number.to_string() };
        vec![part_name(at), held, at.problem.clone()]
    });
    let behind = table(&["NOT AT", "HOLDS LIST", "PROBLEM"], behind);
    if in_force == list.parts.len() { facts } else { format!("{facts}\n\n{behind}") }
}

/// A shard by its name, a router as one.
pub(crate) fn part_name(at: &v1::RevocationsAt) -> String {
    if at.router.is_empty() { at.shard.clone() } else { format!("router {}", at.router) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_do_not_hold_the_list_are_named_and_others_only_counted() {
        let at = |shard: &str, number, in_force, problem: &str| v1::RevocationsAt {
            shard: shard.to_owned(),
            router: String::new(),
            number,
            in_force,
            problem: problem.to_owned(),
        };
        let mut list = v1::RevocationsView { issuer: "issuing-1".to_owned(), number: 7, ..Default::default() };
        let router = v1::RevocationsAt { router: "r".to_owned(), ..at("", 6, false, "") };
        list.parts = vec![at("a", 7, true, ""), at("b", 6, false, "it does not answer"), router];
        let text = revocations_text(&list);
        for part in ["7 of issuing-1", "at 1 of 3 parts", "router r", "b", "6", "it does not answer"] {
            assert!(text.contains(part), "{text}");
        }
        list.parts.truncate(1);
        assert!(!revocations_text(&list).contains("NOT AT"));
    }
}
