//! Legality of what is known about shards, routers, nodes and tokens.

use super::{Illegal, SERIALS_MAX};
use crate::certificates::{CertificateHolder, REVOKED_MAX};
use crate::event::Event;
use crate::node::{CertificateState, Migration, Node};
use crate::record::{ORDERED_BY_BYTES_MAX, Order, RECEIPT_BYTES_MAX};
use crate::world::{EnrolmentGrant, Limits, World};
use shardlift_model::{NodeId, ServerName, Sha256, ShardId};

impl World {
    pub(super) fn legal_for_fleet(&self, event: &Event) -> Result<(), Illegal> {
        match event {
            Event::LeadershipTaken { term } if *term > self.term => Ok(()),
            Event::LeadershipTaken { term } => Err(Illegal::Term { term: *term, present: self.term }),
            Event::LimitsSet { limits } => limits.check().map_err(Illegal::Limits),
            Event::SeedingAdvised { count: 0 } => {
                Err(Illegal::Limits("at least one node must be advised to seed, or no node ever begins"))
            }
            Event::ShardRecorded { shard } => {
                let holder = self
                    .shards
                    .values()
                    .find(|other| other.control_address == shard.control_address && other.shard != shard.shard);
                free(&shard.control_address, holder.map(|other| format!("shard `{}`", other.shard)))
            }
            Event::RouterRecorded { router } => {
                let holder = self
                    .routers
                    .values()
                    .find(|other| other.control_address == router.control_address && other.router != router.router);
                free(&router.control_address, holder.map(|other| format!("router `{}`", other.router)))
            }
            Event::NodeFound { node, server_name, shard, route_version, .. } => {
                self.known_shard(shard)?;
                if self.nodes.contains_key(node) {
                    return Err(Illegal::KnownNode(node.clone()));
                }
                self.free_server_name(server_name, node)?;
                self.next_routes(*route_version, true)
            }
            Event::NodeDefined { node, server_name, route_version, .. } => {
                let known = self.known_node(node)?;
                self.free_server_name(server_name, node)?;
                self.next_routes(*route_version, known.server_name != *server_name)
            }
            Event::EnrolmentGranted { token, grant } => self.grant(token, grant),
            Event::NodeEnrolled { token, node, public_key, serial } => self.enrolled(token, node, public_key, serial),
            Event::CertificateSeen { node, serial } => {
                let known = self.known_node(node)?;
                if known.is_news(serial) { Ok(()) } else { Err(Illegal::Enrolment("this certificate is no news")) }
            }
            Event::CertificateIssued { serial, .. } if self.certificates.contains_key(serial) => {
                Err(Illegal::Certificates("the serial was handed out already"))
            }
            Event::CertificateIssued { serial, holder, renews: Some(shown), .. } => {
                self.renewed(shown, holder)?;
                serial_fits(serial)
            }
            Event::CertificateIssued { serial, .. } => serial_fits(serial),
            Event::CertificatesRevoked { serials, nodes, .. } => self.revoked(serials, nodes),
            Event::SettingsChanged { node, generation, settings } => {
                let known = self.known_node(node)?;
                let wrong = |why| Err(Illegal::Settings { node: node.clone(), why });
                if !settings.is_bounded() {
                    return wrong("they have more or longer holds than can be recorded");
                }
                let moves = known.migration.as_ref().is_some_and(Migration::changes_hands);
                if moves || known.generation != *generation { wrong("it changes hands") } else { Ok(()) }
            }
            Event::OrderGiven { order, by, .. } => self.order(order, by),
            Event::ReceiptIssued { node, generation, receipt, .. } => {
                let known = self.known_node(node)?;
                let wrong = |why| Err(Illegal::Receipt { node: node.clone(), why });
                if receipt.is_empty() || receipt.len() > RECEIPT_BYTES_MAX {
                    return wrong("it is empty or too long");
                }
                let due = known.receipt_due(*generation).is_some();
                if due { Ok(()) } else { wrong("no completed move of this generation waits for one") }
            }
            Event::StatusTokenGranted { token, .. } if self.status_tokens.contains_key(token) => {
                Err(Illegal::StatusToken)
            }
            _ => Ok(()),
        }
    }

    fn order(&self, order: &Order, by: &str) -> Result<(), Illegal> {
        if by.is_empty() || by.len() > ORDERED_BY_BYTES_MAX {
            return Err(Illegal::Order("nobody has this name"));
        }
        match order {
            Order::Plan { revision } if *revision == self.plan_revision() => Ok(()),
            Order::Plan { .. } => Err(Illegal::Order("the plan is not the one in force")),
            Order::Start { batch } | Order::Release { batch, .. } if self.batches.contains_key(batch) => Ok(()),
            Order::Start { batch } | Order::Release { batch, .. } => Err(Illegal::UnknownBatch(batch.clone())),
            Order::AcceptDamaged { node } => self.moving(node).map(drop),
        }
    }

    fn grant(&self, token: &Sha256, grant: &EnrolmentGrant) -> Result<(), Illegal> {
        self.known_node(&grant.node)?;
        if self.enrolments.contains_key(token) {
            return Err(Illegal::Enrolment("the token exists already"));
        }
        if grant.used_for.is_some() { Err(Illegal::Enrolment("a new token was not used")) } else { Ok(()) }
    }

    fn enrolled(&self, token: &Sha256, node: &NodeId, public_key: &Sha256, serial: &str) -> Result<(), Illegal> {
        let known = self.known_node(node)?;
        let grant = self.enrolments.get(token).filter(|grant| grant.node == *node);
        let grant = grant.ok_or(Illegal::Enrolment("no such token for this node"))?;
        match grant.used_for {
            Some(key) if key != *public_key => Err(Illegal::Enrolment("the token was used for another key")),
            // Its certificates would be ones that nobody waits for any more.
            Some(_) if known.enrolled_with != Some(*token) => Err(Illegal::Enrolment("a later token was used")),
            Some(_) if known.serials.len() >= SERIALS_MAX => Err(Illegal::Enrolment("the token was used too often")),
            // Serials of an earlier token are dropped with it, so only repetitions are compared.
            Some(_) if known.serials.iter().any(|other| other == serial) => {
                Err(Illegal::Enrolment("the serial was handed out already"))
            }
            _ => Ok(()),
        }
    }

    fn renewed(&self, shown: &str, holder: &CertificateHolder) -> Result<(), Illegal> {
        serial_fits(shown)?;
        if let Some(node) = holder.node() {
            let serials = &self.known_node(&node)?.serials;
            if !serials.is_empty() && !serials.iter().any(|known| known == shown) {
                return Err(Illegal::Certificates("a later token was used: its certificate is the one to renew"));
            }
        }
        let Some(known) = self.certificates.get(shown) else { return Ok(()) };
        if known.revoked.is_some() {
            return Err(Illegal::Certificates("the certificate that was shown is revoked"));
        }
        // One whose issue is not in this journal has no holder here.
        if known.holder.as_ref().is_some_and(|other| other != holder) {
            return Err(Illegal::Certificates("the certificate that was shown is somebody else's"));
        }
        Ok(())
    }

    fn revoked(&self, serials: &[String], nodes: &[NodeId]) -> Result<(), Illegal> {
        if serials.is_empty() && nodes.is_empty() {
            return Err(Illegal::Certificates("nothing is taken back"));
        }
        nodes.iter().try_for_each(|node| self.known_node(node).map(drop))?;
        for (place, serial) in serials.iter().enumerate() {
            serial_fits(serial)?;
            if serials[..place].last().is_some_and(|before| before >= serial) {
                return Err(Illegal::Certificates("serials are in order, each once"));
            }
            if self.certificates.get(serial).is_some_and(|known| known.revoked.is_some()) {
                return Err(Illegal::Certificates("it was revoked before"));
            }
        }
        let before = self.certificates.values().filter(|known| known.revoked.is_some()).count();
        if before + serials.len() > REVOKED_MAX {
            return Err(Illegal::Certificates("a list holds 40,000 revoked certificates that have not ended"));
        }
        Ok(())
    }

    pub(super) fn known_node(&self, node: &NodeId) -> Result<&Node, Illegal> {
        self.nodes.get(node).ok_or_else(|| Illegal::UnknownNode(node.clone()))
    }

    pub(super) fn known_shard(&self, shard: &ShardId) -> Result<(), Illegal> {
        if self.shards.contains_key(shard) { Ok(()) } else { Err(Illegal::UnknownShard(shard.clone())) }
    }

    fn free_server_name(&self, name: &ServerName, node: &NodeId) -> Result<(), Illegal> {
        match self.node_with_server_name(name) {
            Some(holder) if holder != node => {
                Err(Illegal::ServerNameTaken { name: name.clone(), holder: holder.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// In the one spelling in which certificates are compared, and no longer than a certificate can say it (RFC 5280: 20 bytes).
fn serial_fits(serial: &str) -> Result<(), Illegal> {
    let is_hex = serial.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if (1..=40).contains(&serial.len()) && is_hex && !serial.starts_with('0') {
        return Ok(());
    }
    Err(Illegal::Certificates("a serial is 1 to 40 digits of lower-case hex, without leading zeros"))
}

fn free(address: &str, holder: Option<String>) -> Result<(), Illegal> {
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty() && address.len() <= 300);
    if port.and_then(|(_, port)| port.parse::<u16>().ok()).is_none_or(|port| port == 0) {
        return Err(Illegal::Address(address.chars().take(300).collect()));
    }
    match holder {
        Some(holder) => Err(Illegal::AddressTaken { address: address.to_owned(), holder }),
        None => Ok(()),
    }
}

impl Node {
    /// True when a handshake with this serial says something new: it belongs to the last enrolment and is later than
    /// what was seen in use.
    #[must_use]
    pub fn is_news(&self, serial: &str) -> bool {
        let place = |serial: &str| self.serials.iter().position(|other| other == serial);
        match (&self.certificate, place(serial)) {
            (_, None) => false,
            (CertificateState::InUse { serial: used }, seen) => place(used) < seen,
            (CertificateState::Issued { .. }, Some(_)) => true,
            // A certificate that was handed out makes the state `Issued`.
            (CertificateState::None | CertificateState::TokenCreated, Some(_)) => false,
        }
    }
}

impl Limits {
    /// Whether cutovers can be kept within these bounds.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub const fn check(&self) -> Result<(), &'static str> {
        if self.fence_lease_ms == 0 || self.cutover_ms_max == 0 || self.drain_ms_max == 0 {
            return Err("fence_lease_ms, drain_ms_max and cutover_ms_max must be above 0");
        }
        if self.drain_ms_max >= self.fence_lease_ms {
            return Err("drain_ms_max must be below fence_lease_ms, or a fence ends before its final state is named");
        }
        if self.seeding_nodes_max == 0 {
            return Err("seeding_nodes_max must be above 0, or no node ever begins");
        }
        Ok(())
    }
}
