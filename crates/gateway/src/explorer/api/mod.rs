//! `/api/v1`: questions to the index, as JSON.

pub(crate) mod cursor;
mod document;
mod failure;
mod resources;
mod status;
mod stream;

use crate::{
    doors::{Doors, FairPlaces, answer_connections},
    explorer::{
        follow::Following,
        index::Index,
        live::{Asker, Live},
        store::{Item, Wanted},
    },
    server::json_response,
};
use axum::{
    Router,
    extract::{Path, Query, Request, State, rejection::PathRejection},
    response::Response,
    routing::get,
};
use core::future::Future;
use failure::Failure;
use resources::{Format, List, One, RESOURCES, Resource};
use std::{collections::BTreeMap, io, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

pub use document::openapi;

/// Rows of a page, unless it is said.
const LIMIT: i64 = 25;
/// Rows of a page at most.
const LIMIT_MAX: i64 = 100;

/// What an explorer takes.
#[derive(Clone, Copy, Debug)]
pub struct ExplorerOptions {
    /// Connections at a time, of which one place of the internet has a quarter at most.
    pub connections_max: usize,
    /// Streams of events at a time, likewise.
    pub streams_max: usize,
    /// The time between two signs of life on a stream.
    pub heartbeat: Duration,
    /// Time for a request's headers, and between two requests of a connection.
    pub header_within: Duration,
    /// Time for running answers when the explorer stops.
    pub shutdown_within: Duration,
}

impl Default for ExplorerOptions {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            streams_max: 256,
            heartbeat: Duration::from_secs(15),
            header_within: Duration::from_secs(60),
            shutdown_within: Duration::from_secs(5),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Explorer {
    pub(crate) index: Index,
    pub(crate) live: Asker,
    pub(crate) following: Following,
    pub(crate) chain: (String, String),
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) fair_streams: FairPlaces,
    pub(crate) heartbeat: Duration,
    pub(crate) stop: CancellationToken,
}

type Shared = State<Arc<Explorer>>;
type Names = BTreeMap<String, String>;
type Pairs = Vec<(String, String)>;

/// Query parameters, each at most once and each known.
pub(crate) fn parameters(pairs: Pairs, known: &[&str]) -> Result<Names, Failure> {
    let mut names = Names::new();
    for (name, value) in pairs {
        if !known.contains(&name.as_str()) {
            return Err(Failure::unknown_parameter(&name));
        }
        if names.insert(name.clone(), value).is_some() {
            return Err(Failure::malformed(&name, "may be given once"));
        }
    }
    Ok(names)
}

fn path_value(
    path: Result<Path<Names>, PathRejection>,
    wanted: Option<(&'static str, Format)>,
) -> Result<String, Failure> {
    let Some((name, format)) = wanted else {
        return Ok(String::new());
    };
    let Path(mut names) = path.map_err(|_| Failure::malformed(name, format.says()))?;
    let value = names.remove(name).unwrap_or_default();
    if format.fits(&value) {
        Ok(value)
    } else {
        Err(Failure::malformed(name, format.says()))
    }
}

/// A page as JSON, made of the records as they stand.
fn page(items: &[Item], limit: usize) -> String {
    let records: Vec<&str> = items
        .iter()
        .take(limit)
        .map(|item| item.record.as_str())
        .collect();
    let is_more = items.len() > limit;
    let last = items.get(limit.saturating_sub(1)).filter(|_| is_more);
    let next = last.map_or_else(
        || "null".to_owned(),
        |item| format!("\"{}\"", cursor::write(item.seq)),
    );
    format!("{{\"items\":[{}],\"next\":{next}}}", records.join(","))
}

async fn list(
    explorer: &Explorer,
    list: &'static List,
    path: Result<Path<Names>, PathRejection>,
    pairs: Pairs,
) -> Result<Response, Failure> {
    let path = path_value(path, list.within.map(|within| (within.name, within.format)))?;
    let filter = list.filter.as_ref();
    let mut known = vec!["limit", "cursor"];
    known.extend(filter.map(|filter| filter.name));
    let names = parameters(pairs, &known)?;
    let limit = names.get("limit").map_or(Ok(LIMIT), |text| {
        resources::whole_number(text)
            .and_then(|limit| i64::try_from(limit).ok())
            .filter(|limit| (1..=LIMIT_MAX).contains(limit))
            .ok_or_else(|| Failure::malformed("limit", "is a whole number from 1 to 100"))
    })?;
    let beyond = names.get("cursor").map(|text| cursor::read(text));
    let beyond = beyond.transpose()?;
    let chosen = filter.and_then(|filter| Some((filter, names.get(filter.name)?)));
    if let Some((filter, value)) = chosen
        && !filter.values.contains(&value.as_str())
    {
        let says = format!("is one of {}", filter.values.join(", "));
        return Err(Failure::malformed(filter.name, &says));
    }
    let by = match (&list.within, chosen) {
        (Some(within), _) => Some((within.column, path.as_str())),
        (None, Some((filter, value))) => Some((filter.column, value.as_str())),
        (None, None) => list.fixed,
    };
    let wanted = Wanted {
        table: list.table,
        by,
        beyond,
        ascending: false,
        limit: limit.saturating_add(1),
    };
    let items = explorer.index.store.list(wanted).await?;
    // Nothing of something that is not there is not the same as nothing.
    if let Some(within) = list.within.filter(|_| items.is_empty()) {
        row_of(explorer, within.of, &path).await?;
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(json_response(page(&items, limit)))
}

/// The one row of a key.
pub(crate) async fn row_of(
    explorer: &Explorer,
    one: &'static One,
    key: &str,
) -> Result<Item, Failure> {
    let wanted = Wanted {
        table: one.table,
        by: Some((one.column, key)),
        beyond: None,
        ascending: false,
        limit: 1,
    };
    let found = explorer.index.store.list(wanted).await?.pop();
    found.ok_or_else(|| Failure::not_found(one.what))
}

async fn one(
    explorer: &Explorer,
    one: &'static One,
    path: Result<Path<Names>, PathRejection>,
    pairs: Pairs,
) -> Result<Response, Failure> {
    let key = path_value(path, Some((one.name, one.format)))?;
    parameters(pairs, &[])?;
    let found = row_of(explorer, one, &key).await?;
    if one.is_account {
        return status::account(explorer, found, &key).await;
    }
    Ok(json_response(found.record))
}

async fn nowhere(request: Request) -> Failure {
    Failure::unknown_path(request.uri().path())
}

async fn other_method(request: Request) -> Failure {
    Failure::method(request.method().as_str())
}

fn router(explorer: Arc<Explorer>) -> Router {
    let mut router = Router::new()
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/seats", get(status::seats))
        .route("/api/v1/openapi.json", get(document::answer))
        .route("/api/v1/events/stream", get(stream::stream));
    for resource in RESOURCES {
        let route = get(
            move |State(explorer): Shared,
                  path: Result<Path<Names>, PathRejection>,
                  Query(pairs): Query<Pairs>| async move {
                match resource {
                    Resource::List(found) => list(&explorer, found, path, pairs).await,
                    Resource::One(found) => one(&explorer, found, path, pairs).await,
                }
            },
        );
        router = router.route(&format!("/api/v1{}", resource.path()), route);
    }
    router
        .fallback(nowhere)
        .method_not_allowed_fallback(other_method)
        .with_state(explorer)
}

/// Answers questions to an index until `shutdown` resolves.
///
/// # Errors
/// [`io::Error`] never as long as the listener works.
pub async fn serve(
    options: ExplorerOptions,
    index: Index,
    (chain_id, genesis): (String, String),
    live: Arc<dyn Live>,
    following: Following,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let stop = CancellationToken::new();
    let explorer = Arc::new(Explorer {
        index,
        live: Asker::new(live),
        following,
        chain: (chain_id, genesis),
        streams: Arc::new(Semaphore::new(options.streams_max)),
        fair_streams: FairPlaces::of(options.streams_max),
        heartbeat: options.heartbeat,
        stop: stop.clone(),
    });
    let doors = Doors {
        connections_max: options.connections_max,
        header_within: options.header_within,
        shutdown_within: options.shutdown_within,
    };
    let ended = async {
        shutdown.await;
        // Streams have no end of their own.
        stop.cancel();
    };
    answer_connections(doors, router(explorer), listener, ended, async {}).await;
    Ok(())
}
