//! What a shard counts, in Prometheus' text format. Names are `shardlift_shard_<noun>_<unit>`.

use crate::admission::Staging;
use crate::engine::{ReadCounts, Usage};
use crate::throttle::{Standing, Work};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Labels of a client's request. Only words of the route table and numbers: a stranger cannot make new series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    action: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabel {
    action: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WayLabel {
    way: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkLabel {
    work: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuantileLabels {
    action: &'static str,
    quantile: &'static str,
    when: &'static str,
}

/// All metrics of one shard.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<ActionLabel, Histogram>,
    received_bytes: Counter,
    sent_bytes: Counter,
    refused: Family<ReasonLabel, Counter>,
    forwarded: Counter,
    forward_failures: Counter,
    connections: Gauge,
    capacity_bytes: Gauge,
    free_bytes: Gauge,
    nodes: Gauge,
    alarms: Gauge,
    readmission_rate: Gauge,
    readmission_waiting: Gauge,
    readmission_delayed: Counter,
    readmission_let_in: Counter,
    deep_verify_bytes: Family<WayLabel, Counter>,
    deep_verify_damaged: Counter,
    deep_verify_missing: Counter,
    spare_rate: Gauge,
    spare_waiting: Gauge,
    spare_waits: Counter,
    spare_bytes: Family<WorkLabel, Counter>,
    spare_reason: Family<ReasonLabel, Gauge>,
    client_seconds: Family<QuantileLabels, Gauge<f64, AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let latency = || Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let mut metrics = Self {
            registry: Registry::with_prefix("shardlift_shard"),
            requests: Family::default(),
            seconds: Family::new_with_constructor(latency),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            refused: Family::default(),
            forwarded: Counter::default(),
            forward_failures: Counter::default(),
            connections: Gauge::default(),
            capacity_bytes: Gauge::default(),
            free_bytes: Gauge::default(),
            nodes: Gauge::default(),
            alarms: Gauge::default(),
            readmission_rate: Gauge::default(),
            readmission_waiting: Gauge::default(),
            readmission_delayed: Counter::default(),
            readmission_let_in: Counter::default(),
            deep_verify_bytes: Family::default(),
            deep_verify_damaged: Counter::default(),
            deep_verify_missing: Counter::default(),
            spare_rate: Gauge::default(),
            spare_waiting: Gauge::default(),
            spare_waits: Counter::default(),
            spare_bytes: Family::default(),
            spare_reason: Family::default(),
            client_seconds: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Client requests by action and status", self.requests.clone());
        registry.register("request_seconds", "Time from request to answer", self.seconds.clone());
        registry.register("received_bytes", "Bytes of objects taken from clients", self.received_bytes.clone());
        registry.register("sent_bytes", "Bytes of objects sent to clients", self.sent_bytes.clone());
        registry.register("refused_connections", "Connections or requests refused, by reason", self.refused.clone());
        registry.register("forwarded_requests", "Requests answered by the new writer", self.forwarded.clone());
        let failures = self.forward_failures.clone();
        registry.register("forward_failures", "Requests that could not be passed on to the new writer", failures);
        registry.register("open_connections", "Client connections", self.connections.clone());
        registry.register("capacity_bytes", "Bytes this shard may hold", self.capacity_bytes.clone());
        registry.register("free_bytes", "Bytes this shard can still take", self.free_bytes.clone());
        registry.register("nodes", "Nodes, whatever their mode", self.nodes.clone());
        registry.register("alarms", "Objects missing or rotten without a record that says why", self.alarms.clone());
        self.register_readmission();
        self.register_deep_verify();
        self.register_spare();
    }

    fn register_spare(&mut self) {
        let registry = &mut self.registry;
        let rate = self.spare_rate.clone();
        registry.register("spare_bytes_per_second", "What replication and deep verify may have, 0 if unlimited", rate);
        let waiting = self.spare_waiting.clone();
        registry.register("spare_waiting_transfers", "Transfers and reads that wait for their next bytes", waiting);
        let waits = self.spare_waits.clone();
        registry.register("spare_waits", "How often replication or deep verify had to wait for its next bytes", waits);
        let bytes = self.spare_bytes.clone();
        registry.register("spare_moved_bytes", "Bytes sent to shards, written from them, and read again", bytes);
        let reason = self.spare_reason.clone();
        registry.register("spare_reason", "1 for the reason of the present rate", reason);
        let seconds = self.client_seconds.clone();
        let help = "Time that the shard takes for its clients, of a moment and as usual while nothing is moved";
        registry.register("client_latency_seconds", help, seconds);
    }

    fn register_deep_verify(&mut self) {
        let registry = &mut self.registry;
        let bytes = self.deep_verify_bytes.clone();
        registry.register(
            "deep_verify_read_bytes",
            "Bytes read again from the disk, past the page cache or not",
            bytes,
        );
        let damaged = self.deep_verify_damaged.clone();
        registry.register("deep_verify_damaged_objects", "Objects read back with other bytes", damaged);
        let missing = self.deep_verify_missing.clone();
        registry.register("deep_verify_missing_objects", "Objects that were to be read and are gone", missing);
    }

    fn register_readmission(&mut self) {
        let registry = &mut self.registry;
        let rate = self.readmission_rate.clone();
        registry.register("readmission_sessions_per_second", "Rate of new sessions after a flip, 0 if unlimited", rate);
        let waiting = self.readmission_waiting.clone();
        registry.register("readmission_waiting_sessions", "New sessions that wait for their turn", waiting);
        let delayed = self.readmission_delayed.clone();
        registry.register("readmission_delayed_sessions", "New sessions that had to wait after a flip", delayed);
        let let_in = self.readmission_let_in.clone();
        registry.register("readmission_admitted_sessions", "New sessions let in under a rate", let_in);
    }

    /// Counts an answered request.
    pub(crate) fn request(&self, action: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { action, status }).inc();
        self.seconds.get_or_create(&ActionLabel { action }).observe(took.as_secs_f64());
    }

    /// Counts bytes of an object taken from a client.
    pub(crate) fn received(&self, bytes: u64) {
        self.received_bytes.inc_by(bytes);
    }

    /// Counts bytes of an object sent to a client.
    pub(crate) fn sent(&self, bytes: u64) {
        self.sent_bytes.inc_by(bytes);
    }

    /// Counts something refused; the reason is a fixed word.
    pub(crate) fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a request that the new writer of its node has answered.
    pub(crate) fn forwarded(&self) {
        self.forwarded.inc();
    }

    /// Counts a request that could not be passed on.
    pub(crate) fn forward_failed(&self) {
        self.forward_failures.inc();
    }

    /// Counts a connection for as long as the guard lives.
    pub(crate) fn connection(&self) -> ConnectionGuard {
        self.connections.inc();
        ConnectionGuard(self.connections.clone())
    }

    fn note_spare(&self, standing: &Standing) {
        let level = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.spare_rate.set(level(standing.rate.unwrap_or(0)));
        self.spare_waiting.set(level(standing.waiting));
        self.spare_waits.inner().store(standing.waits, Ordering::Relaxed);
        for (work, bytes) in Work::ALL.into_iter().zip(standing.bytes) {
            // Counted elsewhere, as below.
            self.spare_bytes.get_or_create(&WorkLabel { work: work.word() }).inner().store(bytes, Ordering::Relaxed);
        }
        for reason in Standing::WORDS {
            self.spare_reason.get_or_create(&ReasonLabel { reason }).set((reason == standing.word).into());
        }
        for seen in &standing.operations {
            for (when, times) in [("now", seen.now), ("usual", seen.usual)] {
                for (quantile, time) in [("0.5", times.p50), ("0.99", times.p99)] {
                    let labels = QuantileLabels { action: seen.operation.word(), quantile, when };
                    let known = if times.requests >= 1.0 { time.as_secs_f64() } else { f64::NAN };
                    self.client_seconds.get_or_create(&labels).set(known);
                }
            }
        }
    }

    /// All metrics as text, with the shard's present usage and re-admission, and what its deep verifies have read.
    ///
    /// # Errors
    /// When a metric cannot be written as text.
    pub(crate) fn render(
        &self,
        usage: Usage,
        staging: Staging,
        read: ReadCounts,
        standing: &Standing,
    ) -> Result<String, std::fmt::Error> {
        self.note_spare(standing);
        let level = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.capacity_bytes.set(level(usage.capacity.0));
        self.free_bytes.set(level(usage.free.0));
        self.nodes.set(level(usage.nodes));
        self.alarms.set(level(usage.alarms));
        self.readmission_rate.set(level(staging.per_second));
        self.readmission_waiting.set(level(staging.waiting));
        // Counted elsewhere; of two scrapes at once the later may show a little less.
        self.readmission_delayed.inner().store(staging.delayed, Ordering::Relaxed);
        self.readmission_let_in.inner().store(staging.let_in, Ordering::Relaxed);
        for (way, bytes) in [("direct", read.direct_bytes), ("cached", read.cached_bytes)] {
            self.deep_verify_bytes.get_or_create(&WayLabel { way }).inner().store(bytes, Ordering::Relaxed);
        }
        self.deep_verify_damaged.inner().store(read.damaged, Ordering::Relaxed);
        self.deep_verify_missing.inner().store(read.missing, Ordering::Relaxed);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Counts one connection until it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionGuard(Gauge);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throttle::{Limits, Throttle};
    use shardlift_model::ByteCount;

    #[test]
    fn metrics_render_with_their_unit_and_labels() {
        let metrics = Metrics::default();
        metrics.request("store", 200, Duration::from_millis(3));
        metrics.refuse("handshake");
        let guard = metrics.connection();
        let usage = Usage { capacity: ByteCount(9), free: ByteCount(4), nodes: 2, alarms: 1 };
        let staging = Staging { per_second: 40, waiting: 3, delayed: 7, let_in: 9 };
        let read = ReadCounts { direct_bytes: 5, cached_bytes: 6, damaged: 1, missing: 2 };
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { cap: Some(5 << 20), ..Limits::default() };
        let standing = Throttle::open(folder.path(), limits).unwrap().standing();
        let text = metrics.render(usage, staging, read, &standing).unwrap();
        for line in [
            "shardlift_shard_requests_total{action=\"store\",status=\"200\"} 1",
            "shardlift_shard_refused_connections_total{reason=\"handshake\"} 1",
            "shardlift_shard_open_connections 1",
            "shardlift_shard_free_bytes 4",
            "shardlift_shard_alarms 1",
            "shardlift_shard_readmission_sessions_per_second 40",
            "shardlift_shard_readmission_waiting_sessions 3",
            "shardlift_shard_readmission_delayed_sessions_total 7",
            "shardlift_shard_readmission_admitted_sessions_total 9",
            "shardlift_shard_deep_verify_read_bytes_total{way=\"direct\"} 5",
            "shardlift_shard_deep_verify_read_bytes_total{way=\"cached\"} 6",
            "shardlift_shard_deep_verify_damaged_objects_total 1",
            "shardlift_shard_deep_verify_missing_objects_total 2",
            "shardlift_shard_spare_bytes_per_second 5242880",
            "shardlift_shard_spare_reason{reason=\"cap\"} 1",
            "shardlift_shard_spare_reason{reason=\"held\"} 0",
            "shardlift_shard_spare_moved_bytes_total{work=\"sent\"} 0",
            "shardlift_shard_client_latency_seconds{action=\"store\",quantile=\"0.99\",when=\"usual\"} NaN",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        drop(guard);
        assert!(
            metrics.render(usage, staging, read, &standing).unwrap().contains("shardlift_shard_open_connections 0")
        );
    }
}
