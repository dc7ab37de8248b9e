//! What a router counts, in Prometheus' text format. Names are `shardlift_router_<noun>_<unit>`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Why a connection was closed before it reached a shard. Fixed words: a stranger cannot make new series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Closed {
    /// The hello did not come in time.
    Slow,
    /// No usable hello.
    NoHello,
    /// A name without a route.
    UnknownName,
    /// The shard could not be reached.
    ShardUnreachable,
    /// Too many connections.
    Full,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// All metrics of one router.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    passed: Counter,
    closed: Family<ReasonLabel, Counter>,
    open: Gauge,
    severed: Counter,
    from_clients: Counter,
    to_clients: Counter,
    version: Gauge,
    routes: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("shardlift_router"),
            passed: Counter::default(),
            closed: Family::default(),
            open: Gauge::default(),
            severed: Counter::default(),
            from_clients: Counter::default(),
            to_clients: Counter::default(),
            version: Gauge::default(),
            routes: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("passed_connections", "Connections passed to a shard", metrics.passed.clone());
        registry.register("closed_connections", "Connections closed before a shard, by reason", metrics.closed.clone());
        registry.register("open_connections", "Connections being passed through", metrics.open.clone());
        let severed = metrics.severed.clone();
        registry.register("severed_connections", "Connections ended because their node was taken over", severed);
        registry.register("from_clients_bytes", "Bytes passed from clients to shards", metrics.from_clients.clone());
        registry.register("to_clients_bytes", "Bytes passed from shards to clients", metrics.to_clients.clone());
        registry.register("table_version", "Version of the routes in force", metrics.version.clone());
        registry.register("routes", "Routes in force", metrics.routes.clone());
        metrics
    }
}

impl Metrics {
    /// Counts a connection that was closed before it reached a shard.
    pub fn close(&self, reason: Closed) {
        self.closed.get_or_create(&ReasonLabel { reason: reason.word() }).inc();
    }

    /// How many connections were closed for a reason.
    #[must_use]
    pub fn closed(&self, reason: Closed) -> u64 {
        self.closed.get_or_create(&ReasonLabel { reason: reason.word() }).get()
    }

    /// Connections being passed through.
    #[must_use]
    pub fn open(&self) -> u64 {
        u64::try_from(self.open.get()).unwrap_or(0)
    }

    /// Counts a connection for as long as the guard lives.
    pub(crate) fn pass(&self) -> OpenGuard {
        self.passed.inc();
        self.open.inc();
        OpenGuard(self.open.clone())
    }

    /// Counts connections that were ended by a change of the routes.
    pub(crate) fn sever(&self, connections: u64) {
        self.severed.inc_by(connections);
    }

    /// Counts the bytes of a connection that ended.
    pub(crate) fn copied(&self, from_client: u64, to_client: u64) {
        self.from_clients.inc_by(from_client);
        self.to_clients.inc_by(to_client);
    }

    /// All metrics as text.
    ///
    /// # Errors
    /// When a metric cannot be written as text.
    pub fn render(&self, version: u64, routes: usize) -> Result<String, std::fmt::Error> {
        self.version.set(i64::try_from(version).unwrap_or(i64::MAX));
        self.routes.set(i64::try_from(routes).unwrap_or(i64::MAX));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Closed {
    const fn word(self) -> &'static str {
        match self {
            Self::Slow => "slow_hello",
            Self::NoHello => "no_hello",
            Self::UnknownName => "unknown_name",
            Self::ShardUnreachable => "shard_unreachable",
            Self::Full => "full",
        }
    }
}

/// Counts one connection until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenGuard(Gauge);

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
