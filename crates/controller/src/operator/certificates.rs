//! Certificates: who has which, and what is taken back.

use super::OperatorService;
use super::service::wish;
use crate::issuer::SignedList;
use crate::observed::{ListHolder, Observed};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::{convert, v1};
use shardlift_audit::{Entry, field};
use shardlift_migration::certificates::CertificateRecord;
use shardlift_migration::input::Revocation;
use shardlift_migration::{Input, World};
use shardlift_model::{BatchId, NodeId, RevocationReason, Role};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;
use tokio::time::Instant;

/// How long the answer waits for parts; what a revocation is promised to take.
const IN_FORCE: Duration = Duration::from_secs(5);

/// Largest page of certificates.
const PAGE_MAX: u32 = 1000;

/// What the audit log says of a request in words: names, and characters of each. What came of it is in its fields.
const SUBJECT_NAMES_MAX: usize = 5;
const SUBJECT_CHARS_MAX: usize = 80;

/// Most serials of one request.
const SERIALS_MAX: usize = 1000;

impl OperatorService {
    /// Recorded when it returns.
    pub(super) async fn take_back(&self, request: &v1::RevokeCertificatesRequest) -> Result<TakenBack, Fault> {
        let wish = self.wish(request)?;
        let (nodes, reason) = (wish.nodes.iter().map(ToString::to_string).collect(), wish.reason.to_string());
        let revoked = || self.context.shared.world(revoked_serials);
        let before = revoked();
        self.submit(Input::Revoke(wish)).await?;
        let serials = revoked().into_iter().filter(|serial| !before.contains(serial)).collect();
        let number = self.context.shared.world(|world| world.revocation_list.number);
        Ok(TakenBack { serials, nodes, reason, number })
    }

    /// Answered when every part holds the list, or after what is promised: the answer says which do not.
    pub(super) async fn in_force(&self, taken: TakenBack) -> Result<v1::RevokeCertificatesResponse, Fault> {
        self.wait_for_lists(taken.number).await?;
        Ok(v1::RevokeCertificatesResponse { serials: taken.serials, list: Some(self.revocations("")?) })
    }

    fn wish(&self, request: &v1::RevokeCertificatesRequest) -> Result<Revocation, Fault> {
        let invalid = |text: String| Fault::new(FaultKind::Invalid, text);
        let reason: RevocationReason = match request.reason.as_str() {
            "" => RevocationReason::default(),
            text => text.parse().map_err(|error| invalid(format!("reason {text:?}: {error}")))?,
        };
        let mut nodes: BTreeSet<NodeId> =
            request.nodes.iter().map(|node| convert::node(node)).collect::<Result<_, _>>()?;
        if !request.batch.is_empty() {
            let batch: BatchId = convert::name("batch", &request.batch)?;
            let found = self
                .context
                .shared
                .world(|world| world.batches.get(&batch).map(|batch| batch.nodes.keys().cloned().collect::<Vec<_>>()));
            let unknown = || Fault::new(FaultKind::NotFound, format!("batch {batch} is not known"));
            nodes.extend(found.ok_or_else(unknown)?);
        }
        if request.serials.len() > SERIALS_MAX {
            return Err(invalid(format!("more than {SERIALS_MAX} serials: give them in several commands")));
        }
        if nodes.is_empty() && request.serials.is_empty() {
            return Err(invalid("name serials, nodes or a batch".to_owned()));
        }
        let serials = request.serials.iter().map(|serial| canonical(serial)).collect();
        Ok(Revocation { serials, nodes: nodes.into_iter().collect(), reason })
    }

    async fn wait_for_lists(&self, number: u64) -> Result<(), Fault> {
        let deadline = Instant::now() + IN_FORCE;
        let issuers = self.issuer.listing().map_err(Fault::internal)?;
        let mut changes = self.context.shared.changes();
        let all_hold = || {
            self.context.shared.both(|recorded, observed| {
                ListHolder::all(&recorded.world).all(|part| observed.lists_at(&part, &issuers) >= number)
            })
        };
        while !all_hold() {
            match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                _ => break,
            }
        }
        Ok(())
    }

    /// The list of a CA that holds, and where it and those of all other CAs are in force.
    pub(super) fn revocations(&self, issuer: &str) -> Result<v1::RevocationsView, Fault> {
        let lists = self.issuer.lists(&self.context.shared).map_err(Fault::internal)?;
        if lists.is_empty() {
            let text = "no revocation list was made yet: try again in a moment";
            return Err(Fault::new(FaultKind::Unavailable, text));
        }
        let issuers: Vec<String> = lists.iter().map(|list| list.issuer.clone()).collect();
        let wanted = lists.into_iter().find(|list| issuer.is_empty() || list.issuer == issuer);
        let unknown = || {
            Fault::new(
                FaultKind::NotFound,
                format!("no CA that signs lists has this name: there is {}", issuers.join(", ")),
            )
        };
        let list = wanted.ok_or_else(unknown)?;
        Ok(self.context.shared.both(|recorded, observed| view(&recorded.world, observed, issuers, &list)))
    }

    pub(super) fn list_certificates_page(
        &self,
        request: &v1::ListCertificatesRequest,
    ) -> Result<v1::ListCertificatesResponse, Fault> {
        let node = match request.node.as_str() {
            "" => None,
            node => Some(convert::node(node)?),
        };
        let limit = if request.limit == 0 { PAGE_MAX } else { request.limit.min(PAGE_MAX) };
        let limit = usize::try_from(limit).map_err(Fault::internal)?;
        let wanted = |known: &CertificateRecord| {
            let is_its = |node: &NodeId| {
                known.holder.as_ref().is_some_and(|holder| holder.role == Role::Node && holder.name == node.as_str())
            };
            (!request.revoked || known.revoked.is_some()) && node.as_ref().is_none_or(is_its)
        };
        Ok(self.context.shared.world(|world| {
            let after = (Bound::Excluded(request.after.as_str()), Bound::Unbounded);
            let mut found = world.certificates.range::<str, _>(after).filter(|(_, known)| wanted(known));
            let page: Vec<_> = found.by_ref().take(limit).collect();
            let next = match (found.next(), page.last()) {
                (Some(_), Some((serial, _))) => (*serial).clone(),
                _ => String::new(),
            };
            let certificates = page.into_iter().map(|(serial, known)| certificate(serial, known)).collect();
            v1::ListCertificatesResponse { certificates, next }
        }))
    }
}

/// What was taken back.
pub(super) struct TakenBack {
    serials: Vec<String>,
    nodes: Vec<String>,
    reason: String,
    /// Of the list that names it.
    number: u64,
}

/// What is wished, for the audit log.
pub(super) fn revocation_wish(asker: &str, request: &v1::RevokeCertificatesRequest) -> Entry {
    let wish = wish(asker, "revoke certificates", &subject(request));
    if request.batch.is_empty() { wish } else { wish.text(field::BATCH, &request.batch) }
}

/// What came of it: all serials, and all nodes, in as many records as it takes.
pub(super) fn taken_back(wish: Entry, taken: &TakenBack) -> Vec<Entry> {
    let wish = wish.text("reason", &taken.reason);
    match taken.nodes.as_slice() {
        [] => wish.names(field::SERIALS, &taken.serials),
        [node] => wish.text(field::NODE, node).names(field::SERIALS, &taken.serials),
        nodes => {
            let of_serials =
                if taken.serials.is_empty() { vec![] } else { wish.clone().names(field::SERIALS, &taken.serials) };
            wish.names(field::NODES, nodes).into_iter().chain(of_serials).collect()
        }
    }
}

/// What a request names, in a few words: the first of it, whatever it is.
fn subject(request: &v1::RevokeCertificatesRequest) -> String {
    let v1::RevokeCertificatesRequest { serials, nodes, batch, .. } = request;
    let named = nodes.iter().chain(serials).chain(std::iter::once(batch)).filter(|name| !name.is_empty());
    let first = named.take(SUBJECT_NAMES_MAX).map(|name| name.chars().take(SUBJECT_CHARS_MAX).collect::<String>());
    let first = first.collect::<Vec<_>>().join(" ");
    format!("{first} ({} nodes, {} serials)", nodes.len(), serials.len())
}

/// As openssl and browsers write serials, too: `0A:BC`.
fn canonical(serial: &str) -> String {
    let digits: String = serial.trim().chars().filter(|digit| *digit != ':').collect();
    digits.to_ascii_lowercase().trim_start_matches('0').to_owned()
}

fn revoked_serials(world: &World) -> BTreeSet<String> {
    let revoked = world.certificates.iter().filter(|(_, known)| known.revoked.is_some());
    revoked.map(|(serial, _)| serial.clone()).collect()
}

fn certificate(serial: &str, known: &CertificateRecord) -> v1::CertificateView {
    v1::CertificateView {
        serial: serial.to_owned(),
        role: known.holder.as_ref().map_or_else(String::new, |holder| holder.role.to_string()),
        name: known.holder.as_ref().map_or_else(String::new, |holder| holder.name.clone()),
        not_after_unix_ms: known.not_after.map_or(0, |at| at.0),
        revoked_unix_ms: known.revoked.map_or(0, |revoked| revoked.at.0),
        reason: known.revoked.map_or_else(String::new, |revoked| revoked.reason.to_string()),
    }
}

fn view(world: &World, observed: &Observed, issuers: Vec<String>, list: &SignedList) -> v1::RevocationsView {
    let at = |part: ListHolder| {
        let held = observed.lists_at(&part, &issuers);
        let in_force = held >= list.number;
        let problem = observed.problem_at(&part).filter(|_| !in_force).cloned().unwrap_or_default();
        let (shard, router) = match part {
            ListHolder::Shard(shard) => (shard.to_string(), String::new()),
            ListHolder::Router(router) => (String::new(), router.to_string()),
        };
        v1::RevocationsAt { shard, router, number: held, in_force, problem }
    };
    v1::RevocationsView {
        issuer: list.issuer.clone(),
        number: list.number,
        made_unix_ms: list.at.0,
        next_update_unix_ms: list.next_update.0,
        certificates: revoked_serials(world).len() as u64,
        list_pem: list.pem.clone(),
        parts: ListHolder::all(world).map(at).collect(),
        issuers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_log_names_what_was_asked_for_within_bounds() {
        let request = v1::RevokeCertificatesRequest {
            serials: vec!["a".repeat(1000); 1000],
            nodes: vec!["acme/web-1".to_owned()],
            batch: "canary".to_owned(),
            ..Default::default()
        };
        let said = subject(&request);
        assert!(said.starts_with("acme/web-1 aaaa") && said.ends_with("(1 nodes, 1000 serials)"), "{said}");
        assert!(said.len() < 2000, "{}", said.len());
        let request = v1::RevokeCertificatesRequest { batch: "canary".to_owned(), ..Default::default() };
        assert_eq!(subject(&request), "canary (0 nodes, 0 serials)");
    }

    #[test]
    fn serials_are_taken_as_openssl_writes_them() {
        for (written, meant) in [("0A:BC", "abc"), ("7abc", "7abc"), (" 00ff ", "ff"), ("x", "x"), ("", ""), ("00", "")]
        {
            assert_eq!(canonical(written), meant);
        }
    }
}
