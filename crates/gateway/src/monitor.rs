//! What operators' tools ask a node: `/health`, for whoever restarts it, and `/metrics`, for Prometheus.

use crate::{
    doors::{Doors, answer_connections},
    server::json_response,
};
use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::Value;
use std::{fmt, future::Future, sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// What [`Watched::metrics`] is written in: OpenMetrics, which Prometheus reads.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One collector asks, and perhaps a person.
const DOORS: Doors = Doors {
    connections_max: 16,
    header_within: Duration::from_secs(30),
    shutdown_within: Duration::from_secs(1),
};

/// How a node is.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Whether it does what it should.
    pub is_well: bool,
    /// What it says about itself, an object.
    pub detail: Value,
}

/// A node that is watched.
pub trait Watched: fmt::Debug + Send + Sync + 'static {
    /// How it is now.
    fn health(&self) -> Health;
    /// Its counters, in OpenMetrics' text format.
    fn metrics(&self) -> String;
}

type Shared = State<Arc<dyn Watched>>;

async fn health(State(watched): Shared) -> Response {
    let health = watched.health();
    let status = if health.is_well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, json_response(health.detail.to_string())).into_response()
}

async fn metrics(State(watched): Shared) -> Response {
    let kind = HeaderValue::from_static(METRICS_TYPE);
    ([(header::CONTENT_TYPE, kind)], watched.metrics()).into_response()
}

async fn nowhere() -> (StatusCode, &'static str) {
    (
        StatusCode::NOT_FOUND,
        "here are /health and /metrics, and nothing else\n",
    )
}

/// Answers `GET /health` (200, or 503 when the node is not well) and `GET /metrics` until `shutdown` resolves.
pub async fn serve(
    watched: Arc<dyn Watched>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) {
    let router = Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .fallback(nowhere)
        .with_state(watched);
    answer_connections(DOORS, router, listener, shutdown, async {}).await;
}
