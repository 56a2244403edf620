//! Takes incoming connections and hands their streams to the queues of their protocols.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
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

/// Where connections come from: an address of version 4, or the network of one of version 6, which has more than anybody could count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Site(IpAddr);

impl Site {
    /// Nowhere for this machine.
    fn of(addr: SocketAddr) -> Option<Self> {
        let ip = addr.ip().to_canonical();
        if ip.is_loopback() {
            return None;
        }
        Some(Self(match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }))
    }
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

    /// Lets a connection in beside so many others; what it gives counts it for its site, if it has one.
    fn admit(&self, from: &IncomingAddr, others: usize) -> Option<Option<Counted<Site>>> {
        let IncomingAddr::Ip(addr) = from else {
            // A relay is somewhere else, and we use none.
            return None;
        };
        if others >= CONNECTIONS_MAX || self.policy.check(*addr).is_err() {
            return None;
        }
        match Site::of(*addr) {
            Some(site) => self
                .shared
                .sites
                .take(site, CONNECTIONS_PER_SITE_MAX)
                .map(Some),
            None => Some(None),
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

/// How many connections each has.
struct Counts<K>(Arc<Mutex<BTreeMap<K, usize>>>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Copy + Ord> Counts<K> {
    /// Counts one more, unless there are `max`.
    fn take(&self, of: K, max: usize) -> Option<Counted<K>> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(of).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Counted {
            counts: Arc::clone(&self.0),
            of,
        })
    }
}

/// One connection, counted until dropped.
struct Counted<K: Copy + Ord> {
    counts: Arc<Mutex<BTreeMap<K, usize>>>,
    of: K,
}

impl<K: Copy + Ord> Drop for Counted<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn site(addr: &str) -> Option<Site> {
        Site::of(addr.parse().unwrap())
    }

    #[test]
    fn addresses_of_one_network_are_one_site() {
        assert_eq!(site("127.0.0.1:7"), None);
        assert_eq!(site("[::1]:7"), None);
        assert_eq!(site("[::ffff:127.0.0.1]:7"), None);
        assert_eq!(site("10.0.0.1:7"), site("10.0.0.1:8"));
        assert_eq!(site("10.0.0.1:7"), site("[::ffff:10.0.0.1]:7"));
        assert_ne!(site("10.0.0.1:7"), site("10.0.0.2:7"));
        assert_eq!(site("[2001:db8:1:2::3]:7"), site("[2001:db8:1:2:9::4]:7"));
        assert_ne!(site("[2001:db8:1:2::3]:7"), site("[2001:db8:1:3::3]:7"));
    }

    #[test]
    fn a_site_has_so_many_places_and_each_comes_back() {
        let counts = Counts::default();
        let held: Vec<_> = (0..3).map(|_| counts.take(1, 3).unwrap()).collect();
        assert!(counts.take(1, 3).is_none());
        let _other = counts.take(2, 3).unwrap();
        drop(held);
        assert!(counts.take(1, 3).is_some());
        assert_eq!(
            counts.0.lock().unwrap().len(),
            1,
            "who has none is forgotten"
        );
    }
}
