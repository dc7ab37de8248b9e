//! What was issued, and what was taken back.

use crate::certificates::{CertificateHolder, CertificateRecord, LIVE_MAX, REMEMBERED, Revoked};
use crate::event::Event;
use crate::node::CertificateState;
use crate::world::World;
use shardlift_model::{NodeId, UnixMillis};
use std::collections::BTreeSet;

impl World {
    pub(super) fn take_in_certificate_event(&mut self, event: &Event) {
        match event {
            Event::CertificateIssued { serial, holder, not_after, renews } => {
                self.issue(serial, holder, *not_after, renews.clone());
            }
            Event::CertificatesRevoked { serials, nodes, reason, at } => {
                self.revoke(serials, Revoked { at: *at, reason: *reason });
                self.end_tokens(nodes);
                self.revocation_list.next(*at);
            }
            Event::RevocationListRenewed { at } => {
                let ended_before = at.0.saturating_sub(u64::try_from(REMEMBERED.as_millis()).unwrap_or(u64::MAX));
                self.certificates.retain(|_, known| known.not_after.is_none_or(|ends| ends.0 >= ended_before));
                self.revocation_list.next(*at);
            }
            _ => {}
        }
    }

    fn issue(&mut self, serial: &str, holder: &CertificateHolder, not_after: UnixMillis, renews: Option<String>) {
        if renews.is_some() {
            self.renew(serial, holder);
        }
        let holder = Some(holder.clone());
        let record = CertificateRecord { holder, not_after: Some(not_after), renews, revoked: None };
        self.certificates.insert(serial.to_owned(), record);
    }

    /// A node that renews what its last token got may come with the new one before it came with the old one.
    fn renew(&mut self, serial: &str, holder: &CertificateHolder) {
        let Some(node) = holder.node().and_then(|node| self.nodes.get_mut(&node)) else { return };
        node.serials.push(serial.to_owned());
        if node.serials.len() > LIVE_MAX {
            node.serials.remove(0);
        }
    }

    /// With a certificate ends the token that it was got with: its answer could be asked for again.
    fn revoke(&mut self, serials: &[String], revoked: Revoked) {
        for serial in serials {
            let unknown = CertificateRecord { holder: None, not_after: None, renews: None, revoked: None };
            self.certificates.entry(serial.clone()).or_insert(unknown).revoked = Some(revoked);
        }
        let serials: BTreeSet<&str> = serials.iter().map(String::as_str).collect();
        for node in self.nodes.values_mut() {
            let before = node.serials.len();
            node.serials.retain(|serial| !serials.contains(serial.as_str()));
            if node.serials.len() == before {
                continue;
            }
            if let Some(token) = node.enrolled_with {
                self.enrolments.remove(&token);
            }
            if let CertificateState::Issued { serial } | CertificateState::InUse { serial } = &node.certificate
                && serials.contains(serial.as_str())
            {
                node.certificate = CertificateState::None;
            }
        }
    }

    /// A client that was to get its certificate with one of them waits for another one.
    fn end_tokens(&mut self, nodes: &[NodeId]) {
        let nodes: BTreeSet<&NodeId> = nodes.iter().collect();
        self.enrolments.retain(|_, grant| !nodes.contains(&grant.node));
        for name in nodes {
            if let Some(node) = self.nodes.get_mut(name)
                && node.certificate == CertificateState::TokenCreated
            {
                node.certificate = CertificateState::None;
            }
        }
    }
}
