//! Takes incoming connections and hands their streams to the queues of their protocols.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

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
use crate::{PeerId, incoming::Registry};

/// Most incoming connections, handshakes included. Each holds two windows at most.
const CONNECTIONS_MAX: usize = 256;

/// Most incoming connections of one peer: one in use, and some that it lost and we have not yet given up.
const CONNECTIONS_PER_PEER_MAX: usize = 8;

/// Time for the handshake of a connection, and of a stream. Both are a round trip or two.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Owns all incoming connections, each in a task that ends with it.
pub(super) struct Acceptor {
    endpoint: Endpoint,
    policy: DialPolicy,
    shared: Arc<Shared>,
}

struct Shared {
    registry: Arc<Registry<QuicStream>>,
    connections: Mutex<BTreeMap<PeerId, usize>>,
}

impl Acceptor {
    pub(super) fn new(
        endpoint: Endpoint,
        policy: DialPolicy,
        registry: Arc<Registry<QuicStream>>,
    ) -> Self {
        let shared = Shared {
            registry,
            connections: Mutex::new(BTreeMap::new()),
        };
        Self {
            endpoint,
            policy,
            shared: Arc::new(shared),
        }
    }

    /// Runs until the endpoint closes.
    pub(super) async fn run(self) {
        let mut connections = JoinSet::new();
        while let Some(incoming) = self.endpoint.accept().await {
            reap(&mut connections);
            if connections.len() >= CONNECTIONS_MAX || !self.allows(&incoming.remote_addr()) {
                tracing::debug!(from = ?incoming.remote_addr(), "connection refused");
                incoming.refuse();
                continue;
            }
            connections.spawn(serve(incoming, self.shared.clone()));
        }
    }

    fn allows(&self, addr: &IncomingAddr) -> bool {
        match addr {
            IncomingAddr::Ip(addr) => self.policy.check(*addr).is_ok(),
            // A relay is somewhere else, and we use none.
            _ => false,
        }
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
    let Some(_place) = Place::take(&shared, peer) else {
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

/// One of a peer's connections, counted until dropped.
struct Place {
    shared: Arc<Shared>,
    peer: PeerId,
}

impl Place {
    fn take(shared: &Arc<Shared>, peer: PeerId) -> Option<Self> {
        let mut connections = shared
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = connections.entry(peer).or_insert(0);
        if *count >= CONNECTIONS_PER_PEER_MAX {
            return None;
        }
        *count += 1;
        Some(Self {
            shared: shared.clone(),
            peer,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut connections = self
            .shared
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = connections.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.peer);
            }
        }
    }
}
