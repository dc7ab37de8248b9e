//! Certificates: who has which, and what is taken back.

use crate::cli::{CertCommand, CertFilter, GetCrl, Global, RevokeCertificates};
use crate::confirm::confirm;
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::{certificate_table, part_name, print, put, revocations_text, talk};
use serde::Serialize;
use shardlift_api::v1;
use std::path::Path;

/// Pages that are read for one list; a server that never ends its list is wrong.
const PAGES_MAX: usize = 10_000;

#[derive(Debug, Serialize)]
struct Certificates {
    certificates: Vec<v1::CertificateView>,
}

pub(crate) async fn run(global: &Global, command: CertCommand) -> Result<(), Failure> {
    match command {
        CertCommand::List(filter) => list(global, filter).await,
        CertCommand::Revoke(arguments) => revoke(global, arguments).await,
        CertCommand::Crl(arguments) => crl(global, arguments).await,
    }
}

async fn list(global: &Global, filter: CertFilter) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let node = filter.node.map(|node| node.to_string()).unwrap_or_default();
    let mut request = v1::ListCertificatesRequest { node, revoked: filter.revoked, ..Default::default() };
    let mut all = Certificates { certificates: Vec::new() };
    for _ in 0..PAGES_MAX {
        let page = connection.answer(connection.client.clone().list_certificates(request.clone())).await?;
        all.certificates.extend(page.certificates);
        if page.next.is_empty() {
            return print(global.output, &all, |all| certificate_table(&all.certificates));
        }
        request.after = page.next;
    }
    Err(Failure::new(Exit::Failed, "the list of certificates does not end"))
}

async fn revoke(global: &Global, arguments: RevokeCertificates) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let nodes: Vec<String> = arguments.node.iter().map(ToString::to_string).collect();
    let batch = arguments.batch.map(|batch| batch.to_string()).unwrap_or_default();
    let question = question(&nodes, &batch, arguments.serial.len());
    confirm(&question, arguments.yes).await?;
    let (serials, reason) = (arguments.serial, arguments.reason.to_string());
    let request = v1::RevokeCertificatesRequest { serials, nodes, batch, reason };
    let done = connection.answer(connection.client.clone().revoke_certificates(request)).await?;
    let list = done.list.clone().unwrap_or_default();
    print(global.output, &done, |done| {
        let mut lines: Vec<String> = done.serials.iter().map(|serial| format!("revoked {serial}")).collect();
        if lines.is_empty() {
            lines.push("nothing was left to revoke".to_owned());
        }
        lines.push(revocations_text(&list));
        lines.join("\n")
    })?;
    let missing: Vec<String> = list.parts.iter().filter(|at| !at.in_force).map(part_name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let failure = Failure::new(Exit::Partly, format!("not in force yet at: {}", missing.join(", ")));
    Err(failure.advise("`shardlift cert crl` shows when it is; stop a shard that cannot be reached and must not wait"))
}

fn question(nodes: &[String], batch: &str, serials: usize) -> String {
    let mut what = Vec::new();
    if !nodes.is_empty() {
        what.push(format!("all certificates of {}", nodes.join(", ")));
    }
    if !batch.is_empty() {
        what.push(format!("all certificates of the nodes of batch {batch}"));
    }
    if serials > 0 {
        what.push(format!("{serials} by serial"));
    }
    format!("Revoke {}? Running backups with them are cut, and it cannot be undone.", what.join(" and "))
}

async fn crl(global: &Global, arguments: GetCrl) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let get = |issuer: String| async {
        let request = v1::GetRevocationsRequest { issuer };
        connection.answer(connection.client.clone().get_revocations(request)).await
    };
    let list = get(String::new()).await?;
    if let Some(path) = arguments.out {
        let mut text = list.list_pem.clone();
        for issuer in list.issuers.iter().filter(|issuer| **issuer != list.issuer) {
            text.push_str(&get(issuer.clone()).await?.list_pem);
        }
        if path == Path::new("-") {
            return put(&text);
        }
        let written = shardlift_pki::bundle::write(&path, &text);
        written.map_err(|error| Failure::caused("the list was not written", &error))?;
        talk(&format!("{}: list {} of {}", path.display(), list.number, list.issuers.join(", ")));
    }
    print(global.output, &list, revocations_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_says_all_that_goes() {
        let nodes = ["acme/web-1".to_owned(), "acme/db".to_owned()];
        let asked = question(&nodes, "canary", 2);
        for part in ["acme/web-1, acme/db", "batch canary", "2 by serial", "cannot be undone"] {
            assert!(asked.contains(part), "{asked}");
        }
        assert!(!question(&nodes, "", 0).contains("serial"));
    }
}
