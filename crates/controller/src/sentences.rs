//! What an event means, as sentences: one for operators, with names and reasons, and one for the customers it concerns.
//!
//! INV-10: a customer's sentence names no node but the one it is about, no customer and no reason: reasons are texts from
//! other parts and from operators and may name anything. The match is exhaustive, so that a new event cannot be silent
//! by accident.

mod batches;
mod nodes;
mod stages;

use shardlift_migration::{Event, Order, World};
use shardlift_model::{BatchId, CustomerId, NodeId};

/// Whom an event concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Concerns {
    /// All customers: the service as a whole.
    Service,
    /// Operators only.
    Operators,
    /// One node and its customer.
    Node(NodeId),
    /// A node that is new to the world, and its customer.
    NewNode(NodeId, CustomerId),
    /// The customers with nodes in a batch.
    Batch(BatchId),
}

/// An event in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// Whom it concerns.
    pub(crate) concerns: Concerns,
    /// For operators.
    pub(crate) operator: String,
    /// For those it concerns; `None` when it means nothing to them.
    pub(crate) customer: Option<String>,
}

impl Told {
    fn operators(text: String) -> Self {
        Self { concerns: Concerns::Operators, operator: text, customer: None }
    }

    fn batch(batch: &BatchId, operator: String, customer: &str) -> Self {
        Self { concerns: Concerns::Batch(batch.clone()), operator, customer: Some(customer.to_owned()) }
    }
}

/// What an event means to the world that it has not changed yet.
pub(crate) fn tell(event: &Event, before: &World) -> Told {
    match event {
        Event::LeadershipTaken { .. }
        | Event::LimitsSet { .. }
        | Event::SeedingAdvised { .. }
        | Event::ShardRecorded { .. }
        | Event::RouterRecorded { .. }
        | Event::PlanApplied { .. }
        | Event::OrderGiven { .. }
        | Event::CertificateIssued { .. }
        | Event::CertificatesRevoked { .. }
        | Event::RevocationListRenewed { .. }
        | Event::StatusTokenGranted { .. } => tell_of_service(event),
        Event::BatchStarted { .. }
        | Event::BatchPaused { .. }
        | Event::BatchResumed { .. }
        | Event::BatchReady { .. }
        | Event::CutoverStarted { .. }
        | Event::BatchCommitted { .. }
        | Event::RollbackCommitted { .. }
        | Event::BatchSettled { .. }
        | Event::VerdictReached { .. }
        | Event::BatchReleased { .. }
        | Event::BatchRolledBack { .. }
        | Event::BatchAborted { .. } => batches::tell_of_batch(event),
        Event::NodeFound { .. }
        | Event::NodeDefined { .. }
        | Event::StageEntered { .. }
        | Event::ReplicaVerified { .. }
        | Event::FinalStateNamed { .. }
        | Event::FenceLost { .. }
        | Event::MoveHeld { .. }
        | Event::MoveRetried { .. }
        | Event::UndoStarted { .. }
        | Event::WriterPromoted { .. }
        | Event::RollbackStarted { .. }
        | Event::RollbackUndone { .. }
        | Event::RestoreStarted { .. }
        | Event::SoakFactSeen { .. }
        | Event::EnrolmentGranted { .. }
        | Event::NodeEnrolled { .. }
        | Event::CertificateSeen { .. }
        | Event::TakeoverStarted { .. }
        | Event::StockTaken { .. }
        | Event::TakeoverCommitted { .. }
        | Event::WriterWrittenOff { .. }
        | Event::SettingsChanged { .. }
        | Event::ReceiptIssued { .. } => nodes::tell_of_node(event, before),
    }
}

fn order_words(order: &Order) -> String {
    match order {
        Order::Plan { revision } => format!("Plan {revision} was"),
        Order::Start { batch } => format!("The start of batch {batch} was"),
        Order::Release { batch, force: false } => format!("The release of batch {batch} was"),
        Order::Release { batch, force: true } => format!("The release of batch {batch} by force was"),
        Order::AcceptDamaged { node } => format!("The move of {node} with damaged objects was"),
    }
}

fn tell_of_service(event: &Event) -> Told {
    match event {
        Event::LeadershipTaken { term } => Told::operators(format!("A controller took over with term {term}.")),
        Event::LimitsSet { limits } => Told::operators(format!(
            "The limits were set: fence lease {} ms, drain {} ms, cutover {} ms, {} nodes seed at a time.",
            limits.fence_lease_ms, limits.drain_ms_max, limits.cutover_ms_max, limits.seeding_nodes_max
        )),
        Event::SeedingAdvised { count } => Told::operators(format!(
            "At most {count} nodes seed at a time from now on: more were measured not to be worth it, or are tried."
        )),
        Event::ShardRecorded { shard } => Told::operators(format!(
            "Shard {} is recorded at {}, {}.",
            shard.shard, shard.control_address, shard.capacity
        )),
        Event::RouterRecorded { router } => {
            Told::operators(format!("Router {} is recorded at {}.", router.router, router.control_address))
        }
        Event::PlanApplied { plan, batches, .. } => {
            let nodes: usize = batches.iter().map(|batch| batch.nodes.len()).sum();
            let operator = format!("Plan {} came into force: {} batches, {nodes} nodes.", plan.revision, batches.len());
            let customer = Some(format!("Plan {} for moving nodes came into force.", plan.revision));
            Told { concerns: Concerns::Service, operator, customer }
        }
        Event::OrderGiven { order, by, .. } => Told::operators(format!("{} ordered by {by}.", order_words(order))),
        Event::CertificateIssued { serial, holder, .. } => {
            Told::operators(format!("The {} {} got the certificate {serial}.", holder.role, holder.name))
        }
        Event::CertificatesRevoked { serials, reason, .. } => {
            Told::operators(format!("Revoked ({reason}): {}.", serials.join(", ")))
        }
        Event::RevocationListRenewed { .. } => Told::operators("The revocation list was renewed.".to_owned()),
        Event::StatusTokenGranted { grant, .. } => {
            Told::operators(format!("A status token was made for customer {}.", grant.customer))
        }
        other => Told::operators(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_migration::node::Held;
    use shardlift_migration::{Migration, SoakFact, Stage, Takeover};
    use shardlift_model::{Generation, Step, Term, UnixMillis};

    fn node() -> NodeId {
        "acme/web-1".parse().unwrap()
    }

    fn world() -> World {
        World::new("test".parse().unwrap(), "backup.example".parse().unwrap())
    }

    #[test]
    fn reasons_are_for_operators_only() {
        let secret = "node globex/db-7 of customer globex is in the way";
        let held = Held { reason: secret.into(), advice: secret.into(), since: UnixMillis(1) };
        for event in [
            Event::FenceLost { node: node(), reason: secret.into() },
            Event::MoveHeld { node: node(), held },
            Event::UndoStarted { node: node(), reason: secret.into() },
            Event::RollbackStarted { node: node(), reason: secret.into(), rehearsal: false, at: UnixMillis(1) },
            Event::TakeoverStarted { node: node(), after_seq: 7, reason: secret.into(), at: UnixMillis(1) },
            Event::SoakFactSeen { node: node(), fact: SoakFact::Alert { reason: secret.into() }, at: UnixMillis(1) },
        ] {
            let told = tell(&event, &world());
            assert!(told.operator.contains(secret), "{told:?}");
            assert!(!told.customer.unwrap_or_default().contains("globex"));
            assert_eq!(told.concerns, Concerns::Node(node()));
        }
    }

    #[test]
    fn customers_are_told_that_nothing_was_lost_only_when_it_is_true() {
        let mut world = world();
        world.apply(&Event::NodeFound {
            node: node(),
            customer: "acme".parse().unwrap(),
            server_name: "web.backup.example".parse().unwrap(),
            shard: "a".parse().unwrap(),
            generation: Generation(1),
            route_version: 1,
        });
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut moving = Migration::planned("one".parse().unwrap(), a, b, UnixMillis(1));
        let back = Event::StageEntered { node: node(), stage: Stage::RolledBack, step: Step(1), at: UnixMillis(1) };
        world.nodes.get_mut(&node()).unwrap().migration = Some(moving.clone());
        assert!(tell(&back, &world).customer.unwrap().contains("no backup was lost"));
        moving.takeover = Some(Takeover { after_seq: 7, stock: None });
        world.nodes.get_mut(&node()).unwrap().migration = Some(moving);
        assert_eq!(tell(&back, &world).customer, None);
        let at = UnixMillis(1_764_000_000_000);
        let begun = Event::TakeoverStarted { node: node(), after_seq: 7, reason: "b burnt".into(), at };
        let told = tell(&begun, &world).customer.unwrap();
        assert!(told.contains("before 2025-11-24T16:00:00Z may not be available"), "{told}");
    }

    #[test]
    fn every_stage_has_a_sentence_for_operators() {
        for stage in Stage::ALL {
            let event = Event::StageEntered { node: node(), stage, step: Step(1), at: UnixMillis(1) };
            let told = tell(&event, &world());
            assert!(told.operator.starts_with("acme/web-1 ") && told.operator.ends_with('.'), "{}", told.operator);
        }
    }

    #[test]
    fn leadership_is_no_news_for_customers() {
        assert_eq!(tell(&Event::LeadershipTaken { term: Term(3) }, &world()).customer, None);
    }
}
