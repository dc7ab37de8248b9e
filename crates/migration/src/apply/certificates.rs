//! What was issued, and what was taken back.

use crate::certificates::{CertificateHolder, CertificateRecord, REMEMBERED, Revoked};
use crate::event::Event;
use crate::node::{CertificateState, Node};
use crate::world::World;
use shardlift_model::{NodeId, Role, UnixMillis};

impl World {
    pub(super) fn take_in_certificate_event(&mut self, event: &Event) {
        match event {
            Event::CertificateIssued { serial, holder, not_after } => self.issue(serial, holder, *not_after),
            Event::CertificatesRevoked { serials, nodes, reason, at } => {
                let revoked = Revoked { at: *at, reason: *reason };
                serials.iter().for_each(|serial| self.revoke(serial, revoked));
                self.enrolments.retain(|_, grant| !nodes.contains(&grant.node));
                nodes.iter().for_each(|node| self.await_token(node));
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

    fn issue(&mut self, serial: &str, holder: &CertificateHolder, not_after: UnixMillis) {
        let holder = Some(holder.clone());
        let record = CertificateRecord { holder, not_after: Some(not_after), revoked: None };
        self.certificates.insert(serial.to_owned(), record);
    }

    /// With the certificate ends the token that it was got with: its answer could be asked for again.
    fn revoke(&mut self, serial: &str, revoked: Revoked) {
        let unknown = CertificateRecord { holder: None, not_after: None, revoked: None };
        let record = self.certificates.entry(serial.to_owned()).or_insert(unknown);
        record.revoked = Some(revoked);
        let is_its = |node: &&mut Node| node.serials.iter().any(|other| other == serial);
        let node = match &record.holder {
            Some(holder) if holder.role == Role::Node => {
                let name = holder.name.parse::<NodeId>().ok();
                name.and_then(|name| self.nodes.get_mut(&name)).filter(is_its)
            }
            Some(_) => None,
            None => self.nodes.values_mut().find(is_its),
        };
        let Some(node) = node else { return };
        if let Some(token) = node.enrolled_with {
            self.enrolments.remove(&token);
        }
        node.serials.retain(|other| other != serial);
        let (CertificateState::Issued { serial: present } | CertificateState::InUse { serial: present }) =
            &node.certificate
        else {
            return;
        };
        if present == serial {
            node.certificate = CertificateState::None;
        }
    }

    /// The token that a node's client was to get its certificate with is gone.
    fn await_token(&mut self, node: &NodeId) {
        if let Some(node) = self.nodes.get_mut(node)
            && node.certificate == CertificateState::TokenCreated
        {
            node.certificate = CertificateState::None;
        }
    }
}
