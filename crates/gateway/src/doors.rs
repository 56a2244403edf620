//! Lets connections in, speaks HTTP on them, and lets them out.

use crate::connection::Patient;
use axum::Router;
use core::future::Future;
use fairweir_net::{Counts, Place, Site};
use hyper::{body::Incoming, server::conn::http1, service::Service as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a client may read nothing of what it asked for.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// Time after an accept that the system refused.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// One place of the internet has one of so many parts of all places at most: addresses cost something, connections nothing.
const PARTS: usize = 4;
/// Connections that are turned away at a time with a word, and for how long each may take to read it.
const TELLINGS_MAX: usize = 32;
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(1);
/// What is said to a connection that is one too many of its site: an error as OpenAI's clients and the explorer's read it.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 10\r\nconnection: close\r\ncontent-length: 140\r\n\r\n\
    {\"error\":{\"message\":\"your address has as many connections as it may have\",\"type\":\"server_error\",\"param\":null,\"code\":\"too_many_connections\"}}";

/// How connections are let in and out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doors {
    pub(crate) connections_max: usize,
    pub(crate) header_within: Duration,
    pub(crate) shutdown_within: Duration,
}

/// Where a request comes from; nowhere for this machine. Every request has it among its extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller(Option<Site>);

/// Places of which each site gets a part; this machine's own programs, a proxy among them, are not counted.
#[derive(Clone, Debug)]
pub(crate) struct FairPlaces {
    sites: Counts<Site>,
    each_max: usize,
}

impl FairPlaces {
    /// Of so many places in all.
    pub(crate) fn of(all: usize) -> Self {
        Self {
            sites: Counts::default(),
            each_max: (all / PARTS).max(1),
        }
    }

    /// A place until it is dropped, or `None` if the site has its part.
    pub(crate) fn take(&self, Caller(site): Caller) -> Option<Place> {
        self.sites.admit(site, self.each_max)
    }
}

/// Speaks HTTP on one connection until it ends; once `stop` is called, to the end of the running request alone.
async fn speak(
    (stream, caller): (TcpStream, Caller),
    router: Router,
    header_within: Duration,
    stop: CancellationToken,
) {
    // Each event is a small write that should leave at once.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(Patient::new(stream, READ_WITHIN));
    let answer = TowerToHyperService::new(router);
    let answer = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(caller);
        answer.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_within)
        .max_headers(64)
        .serve_connection(io, answer);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Says that there is no place, and waits for a moment until it is read: what is closed with a question unread is reset, and the answer lost.
async fn turn_away(mut stream: TcpStream) {
    let told = async {
        stream.write_all(TOO_MANY).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1_024];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    if let Ok(Err(error)) = timeout(TURNED_AWAY_WITHIN, told).await {
        tracing::debug!(%error, "a connection too many of its site was closed");
    }
}

/// Answers connections until `until` resolves, and then the requests that run, and `rest`, to their end, for a time.
pub(crate) async fn answer_connections(
    doors: Doors,
    router: Router,
    listener: TcpListener,
    until: impl Future<Output = ()> + Send,
    rest: impl Future<Output = ()> + Send,
) {
    let (stop, abandon) = (CancellationToken::new(), CancellationToken::new());
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(doors.connections_max));
    let fair = FairPlaces::of(doors.connections_max);
    let tellings = Arc::new(Semaphore::new(TELLINGS_MAX));
    let accept = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, address)) => {
                    let caller = Caller(Site::of(address));
                    let Some(counted) = fair.take(caller) else {
                        // Where too many are told already, the next ones are only closed.
                        if let Ok(telling) = Arc::clone(&tellings).try_acquire_owned() {
                            connections.spawn(async move {
                                turn_away(stream).await;
                                drop(telling);
                            });
                        }
                        continue;
                    };
                    let spoken = speak(
                        (stream, caller),
                        router.clone(),
                        doors.header_within,
                        stop.clone(),
                    );
                    let abandoned = abandon.clone();
                    connections.spawn(async move {
                        tokio::select! {
                            () = spoken => {}
                            () = abandoned.cancelled() => {}
                        }
                        drop((place, counted));
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = until => {}
    }
    drop(listener);
    stop.cancel();
    connections.close();
    let ended = async {
        connections.wait().await;
        rest.await;
    };
    if timeout(doors.shutdown_within, ended).await.is_err() {
        tracing::warn!("requests were still running when the server stopped");
        abandon.cancel();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn caller(address: &str) -> Caller {
        Caller(Site::of(address.parse().unwrap()))
    }

    #[test]
    fn a_site_has_a_quarter_and_this_machine_what_there_is() {
        let places = FairPlaces::of(8);
        let _first = places.take(caller("10.0.0.1:1")).unwrap();
        let second = places.take(caller("10.0.0.1:2")).unwrap();
        assert!(places.take(caller("10.0.0.1:3")).is_none());
        assert!(places.take(caller("10.0.0.2:3")).is_some());
        drop(second);
        assert!(places.take(caller("10.0.0.1:3")).is_some());
        for _ in 0..8 {
            assert!(places.take(caller("127.0.0.1:1")).is_some());
        }
    }

    #[tokio::test]
    async fn who_is_turned_away_hears_why_though_it_asked_something() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        client.write_all(&[b'x'; 10_000]).await.unwrap();
        let mut told = Vec::new();
        let (_, read) = tokio::join!(turn_away(stream), client.read_to_end(&mut told));
        assert_eq!(read.unwrap(), TOO_MANY.len());
        assert_eq!(told, TOO_MANY);
    }

    #[test]
    fn who_is_turned_away_is_told_in_whole() {
        let told = core::str::from_utf8(TOO_MANY).unwrap();
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], "too_many_connections");
    }
}
