//! Opens streams to peers over connections that are dialled once and kept.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use iroh::{
    Endpoint, EndpointAddr, PublicKey, TransportAddr,
    endpoint::{ConnectOptions, Connection, ReadExactError},
};
use tokio::{sync::OnceCell, time::timeout};

use super::{
    ALPN, DialPolicy, QuicStream,
    error::{from_connecting, from_connection, from_dial},
    handshake::{Status, header},
    transport,
};
use crate::{AddressError, NetError, PeerAddr, PeerId, Protocol};

/// Most connections kept for reuse; the one unused for longest makes room. Streams keep theirs alive.
const CONNECTIONS_MAX: usize = 256;

/// A kept connection on which no stream was answered for half the deadline, and for so long, is taken for dead. A peer that
/// restarts leaves us such a connection, and the transport would need its idle timeout to notice.
const PATIENCE_MIN: Duration = Duration::from_millis(500);

/// Connections to peers, by peer.
pub(super) struct Dialler {
    endpoint: Endpoint,
    policy: DialPolicy,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    slots: BTreeMap<PeerId, Slot>,
    uses: u64,
}

struct Slot {
    /// Ordinal of the last use.
    used: u64,
    /// Several callers may wait for one dialling.
    connection: Arc<OnceCell<Connection>>,
}

/// Why no stream came of a connection.
enum Failure {
    /// Nobody answers on it any more; another connection may do.
    Dead(NetError),
    /// The peer's answer, or one another connection would not change.
    Final(NetError),
}

impl Dialler {
    pub(super) fn new(endpoint: Endpoint, policy: DialPolicy) -> Self {
        Self {
            endpoint,
            policy,
            kept: Mutex::default(),
        }
    }

    /// Opens a stream. The caller enforces `deadline`; here it sets how long to wait on a kept connection.
    pub(super) async fn open(
        &self,
        peer: &PeerAddr,
        protocol: Protocol,
        deadline: Duration,
    ) -> Result<QuicStream, NetError> {
        let target = self.target(peer)?;
        let id = peer.id();
        let cell = self.slot(id);
        let is_kept = cell.initialized();
        let connection = self.connection(&cell, &target, id).await?;
        let patience = if is_kept {
            PATIENCE_MIN.max(deadline / 2)
        } else {
            deadline
        };
        match open_on(connection, id, protocol, patience).await {
            Ok(stream) => return Ok(stream),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Dead(error)) => {
                self.forget(id, &cell);
                if !is_kept {
                    return Err(error);
                }
                tracing::debug!(peer = %id, %error, "kept connection is dead, dialling anew");
            }
        }
        let cell = self.slot(id);
        let connection = self.connection(&cell, &target, id).await?;
        open_on(connection, id, protocol, deadline)
            .await
            .map_err(|failure| match failure {
                Failure::Dead(error) | Failure::Final(error) => error,
            })
    }

    pub(super) fn forget_all(&self) {
        self.lock().slots.clear();
    }

    /// The addresses to dial, under the policy.
    fn target(&self, peer: &PeerAddr) -> Result<EndpointAddr, NetError> {
        let key =
            PublicKey::from_bytes(peer.id().as_bytes()).map_err(|_| AddressError::NotAPublicKey)?;
        let can_be_dialled = |addr: &&SocketAddr| addr.port() != 0 && !addr.ip().is_unspecified();
        let mut refused = None;
        let mut addrs = Vec::new();
        for addr in peer.addrs().iter().filter(can_be_dialled) {
            match self.policy.check(*addr) {
                Ok(()) => addrs.push(TransportAddr::Ip(*addr)),
                Err(error) => refused = Some(error),
            }
        }
        if addrs.is_empty() {
            return Err(refused.unwrap_or(AddressError::NoUsableAddress.into()));
        }
        Ok(EndpointAddr::from_parts(key, addrs))
    }

    async fn connection<'a>(
        &self,
        cell: &'a OnceCell<Connection>,
        target: &EndpointAddr,
        peer: PeerId,
    ) -> Result<&'a Connection, NetError> {
        cell.get_or_try_init(|| Box::pin(self.dial(target, peer)))
            .await
    }

    async fn dial(&self, target: &EndpointAddr, peer: PeerId) -> Result<Connection, NetError> {
        // On a connection we dialled only we open streams.
        let options = ConnectOptions::new().with_transport_config(transport(0));
        let connecting = self
            .endpoint
            .connect_with_opts(target.clone(), ALPN, options)
            .await
            .map_err(|error| from_dial(&error, peer))?;
        connecting
            .await
            .map_err(|error| from_connecting(&error, peer))
    }

    /// The connection kept for a peer, or an empty place for one.
    fn slot(&self, peer: PeerId) -> Arc<OnceCell<Connection>> {
        let mut kept = self.lock();
        kept.uses += 1;
        let used = kept.uses;
        if let Some(slot) = kept.slots.get_mut(&peer)
            && !slot.is_closed()
        {
            slot.used = used;
            return slot.connection.clone();
        }
        if kept.slots.len() >= CONNECTIONS_MAX {
            let unused = kept.slots.iter().min_by_key(|(_, slot)| slot.used);
            if let Some(unused) = unused.map(|(peer, _)| *peer) {
                kept.slots.remove(&unused);
            }
        }
        let connection = Arc::new(OnceCell::new());
        let slot = Slot {
            used,
            connection: connection.clone(),
        };
        kept.slots.insert(peer, slot);
        connection
    }

    /// Gives up a connection, unless another has taken its place.
    fn forget(&self, peer: PeerId, connection: &Arc<OnceCell<Connection>>) {
        let mut kept = self.lock();
        if kept
            .slots
            .get(&peer)
            .is_some_and(|slot| Arc::ptr_eq(&slot.connection, connection))
        {
            kept.slots.remove(&peer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn is_closed(&self) -> bool {
        self.connection
            .get()
            .is_some_and(|connection| connection.close_reason().is_some())
    }
}

/// Opens a stream and waits for the peer's answer to its header, for at most `patience`.
///
/// Waiting for one of the connection's streams to become free is not counted: that is the peer's pace, not its silence.
async fn open_on(
    connection: &Connection,
    peer: PeerId,
    protocol: Protocol,
    patience: Duration,
) -> Result<QuicStream, Failure> {
    let (outward, inward) = connection
        .open_bi()
        .await
        .map_err(|error| Failure::Dead(from_connection(&error, peer)))?;
    // From here on, giving up resets the stream.
    let mut stream = QuicStream::new(outward, inward);
    let lost = || {
        let reason = connection.close_reason();
        Failure::Dead(reason.map_or(NetError::Closed, |error| from_connection(&error, peer)))
    };
    stream
        .outward
        .write_all(&header(protocol))
        .await
        .map_err(|_| lost())?;
    let mut status = [0];
    match timeout(patience, stream.inward.read_exact(&mut status)).await {
        Ok(Ok(())) => {}
        Ok(Err(ReadExactError::FinishedEarly(_))) => {
            return Err(Failure::Final(NetError::BadHandshake));
        }
        Ok(Err(ReadExactError::ReadError(_))) => return Err(lost()),
        Err(_) => return Err(Failure::Dead(NetError::Unreachable { peer })),
    }
    let [status] = status;
    Status::read(status, peer, protocol).map_err(Failure::Final)?;
    Ok(stream)
}
