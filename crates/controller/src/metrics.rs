//! Figures for Prometheus, named `shardlift_controller_<noun>_<unit>`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Phase {
    phase: &'static str,
}

/// All figures; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    pub(crate) inputs: Counter,
    pub(crate) refusals: Counter,
    pub(crate) events: Counter,
    pub(crate) append_seconds: Histogram,
    pub(crate) revision: Gauge,
    pub(crate) term: Gauge,
    pub(crate) effects: Gauge,
    pub(crate) parts_unreachable: Gauge,
    pub(crate) moves_held: Gauge,
    nodes: Family<Phase, Gauge>,
    enrolments: Family<Outcome, Counter>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("shardlift_controller");
        let metrics = (
            Counter::default(),
            Counter::default(),
            Counter::default(),
            Histogram::new(exponential_buckets(0.0005, 2.0, 14)),
        );
        let (inputs, refusals, events, append_seconds) = metrics;
        let (revision, term, effects) = (Gauge::default(), Gauge::default(), Gauge::default());
        let (parts_unreachable, moves_held) = (Gauge::default(), Gauge::default());
        let nodes = Family::<Phase, Gauge>::default();
        let enrolments = Family::<Outcome, Counter>::default();
        registry.register("inputs", "Inputs that were decided", inputs.clone());
        registry.register("refusals", "Inputs that were refused", refusals.clone());
        registry.register("events", "Events that were recorded", events.clone());
        let append = append_seconds.clone();
        registry.register_with_unit("append", "How long the store took for an append", Unit::Seconds, append);
        registry.register("revision", "Number of the last recorded event", revision.clone());
        registry.register("term", "Leadership number", term.clone());
        registry.register("effects", "Effects that are running", effects.clone());
        registry.register("parts_unreachable", "Shards and routers that do not answer", parts_unreachable.clone());
        registry.register("moves_held", "Moves that need an operator", moves_held.clone());
        registry.register("nodes", "Nodes by the phase of their move", nodes.clone());
        registry.register("enrolments", "Enrolments by result", enrolments.clone());
        let registry = Arc::new(registry);
        Self {
            registry,
            inputs,
            refusals,
            events,
            append_seconds,
            revision,
            term,
            effects,
            parts_unreachable,
            moves_held,
            nodes,
            enrolments,
        }
    }

    pub(crate) fn enrolled(&self, done: bool) {
        self.enrolments.get_or_create(&Outcome { result: if done { "done" } else { "refused" } }).inc();
    }

    /// Replaces the count of one phase.
    pub(crate) fn nodes_in(&self, phase: &'static str, count: usize) {
        self.nodes.get_or_create(&Phase { phase }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The text that Prometheus reads.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
