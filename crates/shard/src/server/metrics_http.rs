//! Metrics and health in plain HTTP on a loopback address: `/metrics` and `/healthz`, nothing else.

use crate::engine::Engine;
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
struct Shared {
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
}

/// Serves until `stop`.
///
/// # Errors
/// When the listener fails.
pub(crate) async fn serve(
    listener: TcpListener,
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(Shared { engine, metrics });
    axum::serve(listener, routes).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

async fn metrics_text(State(shared): State<Shared>) -> Result<String, StatusCode> {
    let staging = shared.engine.readmission().staging();
    let (usage, read) = (shared.engine.usage(), shared.engine.read_counts());
    let standing = shared.engine.throttle().standing();
    shared.metrics.render(usage, staging, read, &standing).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
