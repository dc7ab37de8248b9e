//! What each event means. Total: unknown ids are ignored, so that no journal can stop a replay; whether an event may happen
//! at all is [`World::legal`]'s to say. The only function that changes a world.

mod back;
mod certificates;
mod moves;
mod takeover;

use crate::batch::{Batch, BatchPhase};
use crate::event::Event;
use crate::node::{CertificateState, Migration, Node};
use crate::record::Order;
use crate::stage::Stage;
use crate::world::{AppliedPlan, Shard, World};
use shardlift_model::{BatchId, NodeId, Sha256, Step};
use std::collections::BTreeSet;

impl World {
    /// Takes one event in.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::LeadershipTaken { term } => self.term = *term,
            Event::LimitsSet { limits } => self.limits = limits.clone(),
            Event::SeedingAdvised { count } => self.seeding_advised = Some(*count),
            Event::ShardRecorded { shard } => self.record_shard(shard),
            Event::RouterRecorded { router } => {
                self.routers.insert(router.router.clone(), router.clone());
            }
            Event::NodeFound { .. } | Event::NodeDefined { .. } => self.take_in_node(event),
            Event::PlanApplied { plan, batches, accept_damaged } => self.take_in_plan(plan, batches, accept_damaged),
            Event::EnrolmentGranted { token, grant } => {
                self.enrolments.insert(*token, grant.clone());
                if let Some(node) = self.nodes.get_mut(&grant.node)
                    && node.certificate == CertificateState::None
                {
                    node.certificate = CertificateState::TokenCreated;
                }
            }
            Event::NodeEnrolled { token, node, public_key, serial } => self.enrol(token, node, *public_key, serial),
            Event::CertificateSeen { node, serial } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.certificate = CertificateState::InUse { serial: serial.clone() };
                }
            }
            Event::SettingsChanged { node, settings, .. } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.settings = Some(settings.clone());
                }
            }
            Event::OrderGiven { order, by, .. } => self.take_in_order(order, by),
            Event::ReceiptIssued { node, generation, at, .. } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.take_receipt(*generation, *at);
                }
            }
            Event::StatusTokenGranted { token, grant } => {
                self.status_tokens.insert(*token, grant.clone());
            }
            _ => {
                self.take_in_batch_event(event);
                self.take_in_move_event(event);
                self.take_in_way_back(event);
                self.take_in_takeover(event);
                self.take_in_certificate_event(event);
            }
        }
    }

    fn take_in_order(&mut self, order: &Order, by: &str) {
        let by = Some(by.to_owned());
        match order {
            Order::Plan { revision } => {
                let planned = self.batches.values_mut().filter(|batch| batch.plan_revision == *revision);
                planned.for_each(|batch| batch.orders.planned_by.clone_from(&by));
            }
            Order::Start { batch } => self.with_batch(batch, |batch| batch.orders.started_by = by),
            Order::Release { batch, force } => self.with_batch(batch, |batch| {
                batch.orders.released_by = by;
                batch.orders.forced = Some(*force);
            }),
            Order::AcceptDamaged { node } => self.with_move(node, |moving| moving.record.damage_accepted_by = by),
        }
    }

    fn record_shard(&mut self, shard: &Shard) {
        let before = self.shards.insert(shard.shard.clone(), shard.clone());
        // Routes name the address: routers only take a changed table under a higher version.
        let moved = before.is_some_and(|before| before.client_address != shard.client_address);
        if moved && self.routes().values().any(|routed| *routed.shard == shard.shard) {
            self.route_version = self.route_version.saturating_add(1);
        }
    }

    fn take_in_node(&mut self, event: &Event) {
        match event {
            Event::NodeFound { node, customer, server_name, shard, generation, route_version } => {
                let found = Node {
                    node: node.clone(),
                    customer: customer.clone(),
                    server_name: server_name.clone(),
                    shard: shard.clone(),
                    generation: *generation,
                    step: Step(0),
                    certificate: CertificateState::None,
                    enrolled_with: None,
                    serials: Vec::new(),
                    old_copies: BTreeSet::new(),
                    taken_over: None,
                    settings: None,
                    given_up: Vec::new(),
                    receipts_due: Vec::new(),
                    receipts: Vec::new(),
                    migration: None,
                };
                self.nodes.insert(node.clone(), found);
                self.server_names.insert(server_name.clone(), node.clone());
                self.route_version = *route_version;
            }
            Event::NodeDefined { node, customer, server_name, route_version } => {
                if let Some(known) = self.nodes.get_mut(node) {
                    known.customer = customer.clone();
                    let before = std::mem::replace(&mut known.server_name, server_name.clone());
                    self.server_names.remove(&before);
                    self.server_names.insert(server_name.clone(), node.clone());
                    self.route_version = *route_version;
                }
            }
            _ => {}
        }
    }

    fn take_in_plan(&mut self, plan: &AppliedPlan, batches: &[Batch], accept_damaged: &[NodeId]) {
        let never_started = |phase| phase == BatchPhase::Planned;
        let dropped: Vec<Batch> = self.batches.values().filter(|batch| never_started(batch.phase)).cloned().collect();
        for batch in dropped {
            self.batches.remove(&batch.batch);
            for name in batch.nodes.keys() {
                let Some(node) = self.nodes.get_mut(name) else { continue };
                node.migration = node.migration.take().filter(|m| m.batch != batch.batch || m.stage != Stage::Planned);
            }
        }
        for batch in batches {
            for (name, target) in &batch.nodes {
                let Some(node) = self.nodes.get_mut(name) else { continue };
                let (source, at) = (node.shard.clone(), plan.applied_at);
                let mut moving = Migration::planned(batch.batch.clone(), source, target.clone(), at);
                moving.accept_damaged = accept_damaged.contains(name);
                node.migration = Some(moving);
            }
            self.batches.insert(batch.batch.clone(), batch.clone());
        }
        self.plan = Some(plan.clone());
    }

    fn enrol(&mut self, token: &Sha256, node: &NodeId, public_key: Sha256, serial: &str) {
        let repeated = self.enrolments.get(token).is_some_and(|grant| grant.used_for.is_some());
        if let Some(grant) = self.enrolments.get_mut(token) {
            grant.used_for = Some(public_key);
        }
        let Some(node) = self.nodes.get_mut(node) else { return };
        if !repeated {
            node.serials.clear();
        }
        node.enrolled_with = Some(*token);
        node.serials.push(serial.to_owned());
        // A repetition after the certificate was seen changes nothing about that: it is for the same key.
        if !repeated || !matches!(node.certificate, CertificateState::InUse { .. }) {
            node.certificate = CertificateState::Issued { serial: serial.to_owned() };
        }
    }

    fn take_in_batch_event(&mut self, event: &Event) {
        match event {
            Event::BatchStarted { batch, at } => self.with_batch(batch, |batch| {
                batch.phase = BatchPhase::Preparing;
                batch.started_at = Some(*at);
            }),
            Event::BatchPaused { batch } => self.with_batch(batch, |batch| batch.paused = true),
            Event::BatchResumed { batch } => self.with_batch(batch, |batch| batch.paused = false),
            Event::BatchReady { batch, at } => self.with_batch(batch, |batch| batch.ready_at = Some(*at)),
            Event::CutoverStarted { batch, at } => self.with_batch(batch, |batch| {
                batch.phase = BatchPhase::CuttingOver;
                batch.cutover_at = Some(*at);
            }),
            Event::BatchCommitted { batch, at, placements } => {
                self.with_batch(batch, |batch| {
                    batch.phase = BatchPhase::Committed;
                    batch.committed_at = Some(*at);
                });
                placements.iter().for_each(|placement| self.place(placement, *at));
            }
            Event::BatchSettled { batch } => self.with_batch(batch, |batch| batch.phase = BatchPhase::Soaking),
            Event::VerdictReached { batch, verdict } => {
                self.with_batch(batch, |batch| batch.verdict = Some(verdict.clone()));
            }
            Event::BatchReleased { batch, .. } => self.with_batch(batch, |batch| batch.phase = BatchPhase::Released),
            Event::BatchAborted { batch } => self.with_batch(batch, |batch| batch.phase = BatchPhase::Aborted),
            Event::BatchRolledBack { batch } => self.with_batch(batch, |batch| batch.phase = BatchPhase::RolledBack),
            _ => {}
        }
    }

    fn with_batch(&mut self, batch: &BatchId, change: impl FnOnce(&mut Batch)) {
        if let Some(batch) = self.batches.get_mut(batch) {
            change(batch);
        }
    }

    fn with_move(&mut self, node: &NodeId, change: impl FnOnce(&mut Migration)) {
        if let Some(moving) = self.nodes.get_mut(node).and_then(|node| node.migration.as_mut()) {
            change(moving);
        }
    }
}

#[cfg(test)]
mod tests;
