//! Paths, headers, limits, and the life of the server.

use crate::{
    buy,
    doors::{Doors, answer_connections},
    error::ApiError,
    keys::{Admission, ApiKeys, Denial, RateStanding},
    market::{Claimed, Market, Model, ReceiptError, TokenCounter},
    openai,
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use fairweir_types::order::{OrderId, SlotId};
use serde_json::{Value, json};
use std::{future::Future, io, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::task::TaskTracker;

/// How often what keys spent is written down.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Time for the bytes of one request's body.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// What a gateway takes.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// Bytes of one request.
    pub body_bytes_max: usize,
    /// Requests at a time.
    pub concurrent_max: usize,
    /// Connections at a time, of which one place of the internet has a quarter at most.
    pub connections_max: usize,
    /// Time for one request.
    pub request_within: Duration,
    /// Time for a request's headers, and between two requests of a connection.
    pub header_within: Duration,
    /// Time for running requests when the gateway stops.
    pub shutdown_within: Duration,
    /// Counts tokens before anything is bought, if somebody can.
    pub counter: Option<Arc<dyn TokenCounter>>,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            body_bytes_max: 2 * 1_024 * 1_024,
            concurrent_max: 256,
            connections_max: 1_024,
            request_within: Duration::from_secs(600),
            header_within: Duration::from_secs(60),
            shutdown_within: Duration::from_secs(30),
            counter: None,
        }
    }
}

/// What every request needs.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) options: GatewayOptions,
    pub(crate) market: Arc<dyn Market>,
    pub(crate) keys: ApiKeys,
    /// Tasks that end by themselves and are waited for.
    pub(crate) tasks: TaskTracker,
    requests: Arc<Semaphore>,
}

/// A request that was let in: it counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) admission: Admission,
    _permit: OwnedSemaphorePermit,
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    let secret = secret.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then_some(secret)
}

fn set(headers: &mut HeaderMap, name: &'static str, value: impl TryInto<HeaderValue>) {
    if let Ok(value) = value.try_into() {
        headers.insert(HeaderName::from_static(name), value);
    }
}

pub(crate) fn json_response(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    set(response.headers_mut(), "content-type", "application/json");
    response
}

fn rate_headers(headers: &mut HeaderMap, rate: RateStanding) {
    set(
        headers,
        "x-ratelimit-limit-requests",
        rate.limit.to_string(),
    );
    set(
        headers,
        "x-ratelimit-remaining-requests",
        rate.remaining.to_string(),
    );
    let reset = format!("{}ms", rate.reset.as_millis());
    set(headers, "x-ratelimit-reset-requests", reset);
}

impl Gateway {
    fn admit(&self, headers: &HeaderMap) -> Result<Admission, ApiError> {
        let secret = bearer(headers).ok_or_else(ApiError::no_key)?;
        self.keys.admit(secret).map_err(|denial| match denial {
            Denial::Unknown => ApiError::wrong_key(secret),
            Denial::Rate { limit, wait } => {
                let message = format!(
                    "Rate limit reached for this API key on requests per min (RPM): Limit {limit}, Used {limit}, Requested 1. Please try again in {}ms.",
                    wait.as_millis()
                );
                let mut error = ApiError::rate(message, wait);
                let mut extra = HeaderMap::new();
                let (remaining, reset) = (0, wait);
                rate_headers(&mut extra, RateStanding { limit, remaining, reset });
                let extra = extra.into_iter().filter_map(|(name, value)| {
                    Some((name?, value.to_str().unwrap_or_default().to_owned()))
                });
                error.headers.extend(extra);
                error
            }
            Denial::Concurrent { limit } => {
                let message =
                    format!("Too many requests at a time for this API key: the limit is {limit}.");
                ApiError::rate(message, Duration::ZERO)
            }
        })
    }

    fn guard(&self, headers: &HeaderMap) -> Result<Guard, ApiError> {
        let admission = self.admit(headers)?;
        let permit = Arc::clone(&self.requests)
            .try_acquire_owned()
            .map_err(|_| {
                ApiError::unavailable(
                    "overloaded",
                    "The gateway is currently overloaded, please try again later.",
                )
            })?;
        Ok(Guard {
            admission,
            _permit: permit,
        })
    }

    async fn body(&self, body: Body) -> Result<Bytes, ApiError> {
        let bytes_max = self.options.body_bytes_max;
        match timeout(BODY_WITHIN, axum::body::to_bytes(body, bytes_max)).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(_)) => Err(ApiError::too_large(bytes_max)),
            Err(_) => Err(ApiError::timeout("The request's body came too slowly.")),
        }
    }

    /// The model of a name, if it is on offer.
    pub(crate) async fn model(&self, name: &str) -> Result<Model, ApiError> {
        let models = self.market.models().await?;
        let found = models.into_iter().find(|model| model.name == name);
        found.ok_or_else(|| ApiError::no_model(name))
    }
}

type Shared = State<Arc<Gateway>>;

async fn answers<P, F>(gateway: Arc<Gateway>, request: Request, parse: P) -> Response
where
    P: FnOnce(Arc<Gateway>, Guard, Bytes) -> F,
    F: Future<Output = Result<Response, ApiError>>,
{
    let (parts, body) = request.into_parts();
    let guard = match gateway.guard(&parts.headers) {
        Ok(guard) => guard,
        Err(error) => return error.into_response(),
    };
    let rate = guard.admission.rate;
    let within = gateway.options.request_within;
    let answer = async {
        let body = gateway.body(body).await?;
        parse(Arc::clone(&gateway), guard, body).await
    };
    let mut response = match timeout(within, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => error.into_response(),
        Err(_) => ApiError::too_long(within.as_secs()).into_response(),
    };
    if let Some(rate) = rate {
        rate_headers(response.headers_mut(), rate);
    }
    response
}

async fn chat_completions(State(gateway): Shared, request: Request) -> Response {
    answers(gateway, request, |gateway, guard, body| async move {
        buy::answer(&gateway, guard, openai::chat(&body)?).await
    })
    .await
}

async fn completions(State(gateway): Shared, request: Request) -> Response {
    answers(gateway, request, |gateway, guard, body| async move {
        buy::answer(&gateway, guard, openai::completion(&body)?).await
    })
    .await
}

async fn embeddings(State(gateway): Shared, request: Request) -> Response {
    answers(gateway, request, |gateway, guard, body| async move {
        buy::vectors(&gateway, guard, openai::embedding(&body)?).await
    })
    .await
}

async fn models(State(gateway): Shared, headers: HeaderMap) -> Result<Response, ApiError> {
    gateway.admit(&headers)?;
    let models = gateway.market.models().await?;
    Ok(json_response(openai::models(&models).to_string()))
}

async fn one_model(
    State(gateway): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    gateway.admit(&headers)?;
    let model = gateway.model(&name).await?;
    Ok(json_response(openai::model(&model).to_string()))
}

fn slot_of(id: &str) -> Option<SlotId> {
    let (order, slot) = id.split_once(':')?;
    Some(SlotId {
        order: OrderId(order.parse().ok()?),
        slot: slot.parse().ok()?,
    })
}

async fn receipt(
    State(gateway): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admission = gateway.admit(&headers)?;
    let unknown = || {
        let reason = ReceiptError::Unknown.to_string();
        ApiError::not_found(reason, Some("receipt_not_found"))
    };
    let slot_id = slot_of(&id).ok_or_else(unknown)?;
    match gateway.market.receipt(slot_id, &admission.id).await {
        Ok(file) => {
            let mut response = Response::new(Body::from(file));
            let headers = response.headers_mut();
            set(headers, "content-type", "application/octet-stream");
            Ok(response)
        }
        Err(ReceiptError::Unknown) => Err(unknown()),
        Err(error @ ReceiptError::NotSettled(claimed)) => {
            let mut pending = json!({"status": "pending", "reason": error.to_string()});
            if let Some(Claimed { batch, at }) = claimed {
                pending["batch"] = json!(crate::json::slot_name(batch));
                pending["at"] = json!(at.to_string());
            }
            let mut response = json_response(pending.to_string());
            *response.status_mut() = StatusCode::ACCEPTED;
            set(response.headers_mut(), "retry-after", "2");
            Ok(response)
        }
        Err(error @ ReceiptError::Refunded) => Err(ApiError::not_found(
            error.to_string(),
            Some("receipt_refunded"),
        )),
        Err(error @ ReceiptError::Unclaimed) => Err(ApiError::not_found(
            error.to_string(),
            Some("receipt_unclaimed"),
        )),
        Err(ReceiptError::Market(error)) => Err(error.into()),
    }
}

async fn health(State(gateway): Shared) -> Response {
    let free = gateway.requests.available_permits();
    let value: Value = json!({
        "status": "ok",
        "running": gateway.market.running(),
        "requests": gateway.options.concurrent_max.saturating_sub(free),
        "version": env!("CARGO_PKG_VERSION"),
    });
    json_response(value.to_string())
}

async fn nowhere(request: Request) -> ApiError {
    let message = format!(
        "Invalid URL ({} {})",
        request.method(),
        request.uri().path()
    );
    ApiError::not_found(message, Some("unknown_url"))
}

async fn other_method(request: Request) -> ApiError {
    ApiError::method(request.method().as_str(), request.uri().path())
}

async fn name_request(mut response: Response) -> Response {
    if let Ok(name) = openai::random_name() {
        set(
            response.headers_mut(),
            "x-request-id",
            format!("req_{name}"),
        );
    }
    response
}

fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/v1/models", get(models))
        .route("/v1/models/{*name}", get(one_model))
        .route("/v1/chat/completions", post(chat_completions))
        .route("/v1/completions", post(completions))
        .route("/v1/embeddings", post(embeddings))
        .route("/v1/fairweir/receipts/{id}", get(receipt))
        .fallback(nowhere)
        .method_not_allowed_fallback(other_method)
        .layer(axum::middleware::map_response(name_request))
        .with_state(gateway)
}

/// Answers requests until `shutdown` resolves, and then those that run to their end, for a time.
///
/// # Errors
/// [`io::Error`] never as long as the listener works; what keys spent is written down whenever it can be.
pub async fn serve(
    options: GatewayOptions,
    market: Arc<dyn Market>,
    keys: ApiKeys,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let gateway = Arc::new(Gateway {
        requests: Arc::new(Semaphore::new(options.concurrent_max)),
        options,
        market,
        keys,
        tasks: TaskTracker::new(),
    });
    let router = router(Arc::clone(&gateway));
    let doors = Doors {
        connections_max: gateway.options.connections_max,
        header_within: gateway.options.header_within,
        shutdown_within: gateway.options.shutdown_within,
    };
    let until = async {
        tokio::select! {
            () = save_now_and_then(&gateway) => {}
            () = shutdown => {}
        }
        gateway.tasks.close();
    };
    answer_connections(doors, router, listener, until, gateway.tasks.wait()).await;
    save(&gateway).await;
    Ok(())
}

async fn save(gateway: &Arc<Gateway>) {
    let keys = gateway.keys.clone();
    let saved = tokio::task::spawn_blocking(move || keys.save()).await;
    if let Ok(Err(error)) = saved {
        tracing::warn!(%error, "what API keys spent could not be written down");
    }
}

async fn save_now_and_then(gateway: &Arc<Gateway>) {
    let mut ticks = interval(SAVE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        save(gateway).await;
    }
}
