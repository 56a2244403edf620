//! Events as they become final, as server-sent events.
//!
//! A stream keeps nothing in memory but its place: it reads a page of the index, sends it when the client reads, and waits for the next
//! block. So a slow client costs nothing, and one that comes back misses nothing.

use super::{Explorer, Pairs, Shared, cursor, failure::Failure, parameters};
use crate::{
    doors::Caller,
    explorer::{
        error::IndexError,
        records::Event,
        store::{Item, Wanted},
        tables::EVENTS,
    },
};
use axum::{
    body::{Body, Bytes},
    extract::{Extension, Query, State},
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use fairweir_net::Place;
use std::sync::Arc;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::timeout,
};

/// Events that are read at a time.
const PAGE: i64 = 64;

struct Reader {
    explorer: Arc<Explorer>,
    heights: watch::Receiver<u64>,
    last: i64,
    is_first: bool,
    _places: (OwnedSemaphorePermit, Place),
}

impl Reader {
    async fn page(&mut self) -> Result<Vec<Item>, IndexError> {
        let wanted = Wanted {
            table: &EVENTS,
            by: None,
            beyond: Some(self.last),
            ascending: true,
            limit: PAGE,
        };
        let items = self.explorer.index.store.list(wanted).await?;
        if let Some(item) = items.last() {
            self.last = item.seq;
        }
        Ok(items)
    }

    /// The next bytes, or the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_first {
            // The headers go out with the first bytes: a client sees at once that it is heard.
            self.is_first = false;
            return Some(Bytes::from_static(b": events as they become final\n\n"));
        }
        let stop = self.explorer.stop.clone();
        loop {
            self.heights.borrow_and_update();
            let items = match self.page().await {
                Ok(items) => items,
                Err(error) => {
                    // The client comes back by itself, from its last event on.
                    tracing::warn!(%error, "a stream of events ends");
                    return None;
                }
            };
            if !items.is_empty() {
                return Some(items.iter().map(message).collect::<String>().into());
            }
            let heartbeat = self.explorer.heartbeat;
            tokio::select! {
                changed = timeout(heartbeat, self.heights.changed()) => match changed {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return None,
                    Err(_) => return Some(Bytes::from_static(b": still here\n\n")),
                },
                () = stop.cancelled() => return None,
            }
        }
    }
}

fn message(item: &Item) -> String {
    let name = serde_json::from_str::<Event>(&item.record).map(|event| event.event);
    format!(
        "id: {}\nevent: {}\ndata: {}\n\n",
        cursor::write(item.seq),
        name.unwrap_or_default(),
        item.record
    )
}

pub(super) async fn stream(
    State(explorer): Shared,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Query(pairs): Query<Pairs>,
) -> Result<Response, Failure> {
    let names = parameters(pairs, &["after"])?;
    let resumed = headers.get("last-event-id").map(HeaderValue::to_str);
    let resumed = resumed
        .transpose()
        .map_err(|_| Failure::malformed("Last-Event-ID", "is the id of an event"))?;
    let last = match resumed.or(names.get("after").map(String::as_str)) {
        Some(text) => cursor::read(text)?,
        None => explorer.index.last_seq()?,
    };
    let fair = explorer.fair_streams.take(caller);
    let counted = fair.ok_or_else(Failure::too_many_streams)?;
    let place = Arc::clone(&explorer.streams)
        .try_acquire_owned()
        .map_err(|_| Failure::too_many_streams())?;
    let reader = Reader {
        heights: explorer.index.heights(),
        explorer,
        last,
        is_first: true,
        _places: (place, counted),
    };
    let parts = futures::stream::unfold(reader, |mut reader| async move {
        let bytes = reader.next().await?;
        Some((Ok::<_, core::convert::Infallible>(bytes), reader))
    });
    let mut response = Response::new(Body::from_stream(parts));
    let fields = response.headers_mut();
    fields.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
