//! Takes incoming connections and hands their streams to the queues of their protocols.

use std::{sync::Arc, time::Duration};

use iroh::{
    Endpoint,
    endpoint::{self, IncomingAddr, RecvStream, SendStream},
};
use tokio::{task::JoinSet, time::timeout};

use super::{
    DialPolicy, QuicStream,
    error::TOO_MANY_CONNECTIONS,
    handshake::{HEADER_BYTES, Status, read_header},
};
use crate::{Counts, PeerId, Place, Site, incoming::Registry};

/// Most incoming connections, handshakes included. Each holds two windows at most.
const CONNECTIONS_MAX: usize = 256;

/// Most incoming connections of one peer: one in use, and some that it lost and we have not yet given up.
const CONNECTIONS_PER_PEER_MAX: usize = 8;

/// Most incoming connections from one place of the internet, handshakes included: identities cost nothing, addresses do. This machine's own
/// programs are not counted.
const CONNECTIONS_PER_SITE_MAX: usize = 64;

/// Incoming connections from which on whoever begins another one must show first that it receives what is sent to its address: a forged one
/// takes no place then. It costs a round trip.
const CONNECTIONS_UNASKED_MAX: usize = 32;

// Else forged addresses could fill the places of the site that they name.
const _: () = assert!(CONNECTIONS_UNASKED_MAX < CONNECTIONS_PER_SITE_MAX);

/// Time for the handshake of a connection, and of a stream. Both are a round trip or two.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Owns all incoming connections, each in a task that ends with it.
pub(super) struct Acceptor {
    endpoint: Endpoint,
    policy: DialPolicy,
    shared: Arc<Shared>,
    /// Connections from which on whoever begins another one is asked to prove its address.
    asks_from: usize,
}

struct Shared {
    registry: Arc<Registry<QuicStream>>,
    peers: Counts<PeerId>,
    sites: Counts<Site>,
}

impl Acceptor {
    pub(super) fn new(
        endpoint: Endpoint,
        policy: DialPolicy,
        registry: Arc<Registry<QuicStream>>,
    ) -> Self {
        let shared = Shared {
            registry,
            peers: Counts::default(),
            sites: Counts::default(),
        };
        Self {
            endpoint,
            policy,
            shared: Arc::new(shared),
            asks_from: CONNECTIONS_UNASKED_MAX,
        }
    }

    /// The same with another number of connections from which on addresses are asked for.
    #[cfg(test)]
    pub(super) const fn asking_from(mut self, connections: usize) -> Self {
        self.asks_from = connections;
        self
    }

    /// Runs until the endpoint closes.
    pub(super) async fn run(self) {
        let mut connections = JoinSet::new();
        while let Some(incoming) = self.endpoint.accept().await {
            reap(&mut connections);
            if connections.len() >= self.asks_from && !incoming.remote_addr_validated() {
                // It comes again, with the proof; nothing is kept of it until then.
                let _ = incoming.retry();
                continue;
            }
            let from = incoming.remote_addr();
            let Some(counted) = self.admit(&from, connections.len()) else {
                tracing::debug!(?from, "connection refused");
                incoming.refuse();
                continue;
            };
            let serving = serve(incoming, self.shared.clone());
            connections.spawn(async move {
                serving.await;
                drop(counted);
            });
        }
    }

    /// Lets a connection in beside so many others.
    fn admit(&self, from: &IncomingAddr, others: usize) -> Option<Place> {
        let IncomingAddr::Ip(addr) = from else {
            // A relay is somewhere else, and we use none.
            return None;
        };
        if others >= CONNECTIONS_MAX || self.policy.check(*addr).is_err() {
            return None;
        }
        let sites = &self.shared.sites;
        sites.admit(Site::of(*addr), CONNECTIONS_PER_SITE_MAX)
    }
}

/// Forgets tasks that have ended.
fn reap(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.try_join_next() {
        if let Err(error) = ended {
            tracing::error!(%error, "task of a connection failed");
        }
    }
}

async fn serve(incoming: endpoint::Incoming, shared: Arc<Shared>) {
    let connection = match timeout(HANDSHAKE_MAX, incoming.into_future()).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(%error, "connection's handshake failed");
            return;
        }
        Err(_) => return,
    };
    let peer = PeerId::new(*connection.remote_id().as_bytes());
    let Some(_place) = shared.peers.take(peer, CONNECTIONS_PER_PEER_MAX) else {
        connection.close(TOO_MANY_CONNECTIONS, b"too many connections");
        return;
    };
    let mut streams = JoinSet::new();
    // The transport bounds how many streams the peer has open, and so how many wait here.
    while let Ok((outward, inward)) = connection.accept_bi().await {
        reap(&mut streams);
        let shared = shared.clone();
        streams.spawn(async move {
            let greeting = greet(outward, inward, peer, &shared.registry);
            if timeout(HANDSHAKE_MAX, greeting).await.is_err() {
                tracing::debug!(%peer, "stream's handshake took too long");
            }
        });
    }
}

/// Reads a stream's header and queues the stream, or says why not. A stream lost on the way is its opener's to notice.
async fn greet(
    mut outward: SendStream,
    mut inward: RecvStream,
    peer: PeerId,
    registry: &Registry<QuicStream>,
) {
    let mut header = [0; HEADER_BYTES];
    if inward.read_exact(&mut header).await.is_err() {
        return;
    }
    let place =
        read_header(header).and_then(|protocol| registry.reserve(protocol).map_err(Status::from));
    match place {
        Ok(permit) => {
            // The place is reserved first and the stream queued last, so that an accepted stream has its place.
            if outward
                .write_all(&[Status::Accepted.to_byte()])
                .await
                .is_ok()
            {
                permit.send((peer, QuicStream::new(outward, inward)));
            }
        }
        Err(status) => {
            if outward.write_all(&[status.to_byte()]).await.is_ok() {
                let _ = outward.finish();
            }
        }
    }
}
