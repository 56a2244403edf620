//! A network between machines: QUIC by way of iroh, to direct addresses alone.
//!
//! A connection is authenticated both ways: a peer's id is the key of its TLS certificate. Streams to a peer share one
//! connection, which is dialled when first needed and dialled anew when it turns out dead. Relays, discovery, name lookup and
//! port mapping are off, so that datagrams go to the addresses dialled and, once a peer is connected, to the further addresses
//! that this peer names for itself, and nowhere else. A network bound to a loopback address cannot send beyond it.
//!
//! [`QuicNetwork::bind`] must be called inside a tokio runtime, such as the one commonware's tokio runner brings. The network
//! owns every task it starts; call [`Network::close`] so that peers are told, or else they notice by their idle timeout.

mod accept;
mod dial;
mod error;
mod handshake;
mod stream;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::Future,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use iroh::{
    Endpoint, RelayMode, SecretKey,
    endpoint::{
        BindError, IdleTimeout, NetReportConfig, PortmapperConfig, QuicTransportConfig, VarInt,
        presets,
    },
};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

pub use self::stream::QuicStream;
use self::{accept::Acceptor, dial::Dialler};
use crate::{
    DEADLINE_MAX, Incoming, NetError, Network, Operation, PEER_ADDRS_MAX, PeerAddr, PeerId,
    Protocol, STREAM_WINDOW_BYTES, STREAMS_PER_PEER_MAX, incoming::Registry,
};

/// Protocol of our connections in the TLS handshake; the number is the version.
const ALPN: &[u8] = b"fairweir/req/1";

/// Bytes in flight per connection and direction, four streams' worth.
const CONNECTION_WINDOW_BYTES: usize = 4 * STREAM_WINDOW_BYTES;

/// A connection that is silent for so long is dead. iroh sends something every 5 s.
const IDLE_TIMEOUT_MS: u32 = 20_000;

const _: () = assert!(STREAMS_PER_PEER_MAX <= u32::MAX as usize);
const _: () = assert!(CONNECTION_WINDOW_BYTES <= u32::MAX as usize);

/// With whom connections are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialPolicy {
    /// Only with peers on this machine: listens on a loopback address only, dials and accepts no other. For nodes whose keys
    /// anyone can know.
    LoopbackOnly,
    /// With peers anywhere.
    Any,
}

impl DialPolicy {
    /// Checks an address we listen on, dial or are dialled from.
    fn check(self, addr: SocketAddr) -> Result<(), NetError> {
        match self {
            Self::LoopbackOnly if !addr.ip().to_canonical().is_loopback() => {
                Err(NetError::NotLoopback { addr })
            }
            Self::LoopbackOnly | Self::Any => Ok(()),
        }
    }
}

/// How a peer takes part in a QUIC network.
#[derive(Clone)]
pub struct QuicOptions {
    /// Secret of the peer's ed25519 key; the public key is the peer's id.
    pub secret_key: [u8; 32],
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// With whom to connect.
    pub policy: DialPolicy,
    /// Addresses to give to others; port 0 stands for the port listened on. When empty: the address listened on, or those of
    /// the machine's interfaces when that is unspecified.
    pub advertise: Vec<SocketAddr>,
}

impl fmt::Debug for QuicOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("QuicOptions")
            .field("listen", &self.listen)
            .field("policy", &self.policy)
            .field("advertise", &self.advertise)
            .finish_non_exhaustive()
    }
}

/// A peer's place in a network between machines.
#[derive(Clone)]
pub struct QuicNetwork {
    inner: Arc<Inner>,
}

struct Inner {
    endpoint: Endpoint,
    local_addr: PeerAddr,
    origin: Instant,
    registry: Arc<Registry<QuicStream>>,
    dialler: Dialler,
    acceptor: OwnedTask,
}

impl QuicNetwork {
    /// Starts listening.
    ///
    /// # Errors
    ///
    /// [`NetError::AddressInUse`], [`NetError::CannotListen`], [`NetError::NotLoopback`] against the policy,
    /// [`NetError::BadAddress`] when too many addresses are advertised.
    pub async fn bind(options: QuicOptions) -> Result<Self, NetError> {
        options.policy.check(options.listen)?;
        let endpoint = Box::pin(endpoint(&options)).await?;
        let local_addr = match local_addr(&endpoint, &options) {
            Ok(local_addr) => local_addr,
            Err(error) => {
                endpoint.close().await;
                return Err(error);
            }
        };
        let registry = Arc::new(Registry::new());
        let acceptor = Acceptor::new(endpoint.clone(), options.policy, registry.clone());
        let dialler = Dialler::new(endpoint.clone(), options.policy);
        tracing::debug!(peer = %local_addr.id(), addrs = ?local_addr.addrs(), "listening");
        #[expect(
            clippy::disallowed_methods,
            reason = "the network owns the task and ends it"
        )]
        let accepting = tokio::spawn(acceptor.run());
        let inner = Inner {
            endpoint,
            local_addr,
            origin: Instant::now(),
            registry,
            dialler,
            acceptor: OwnedTask::new(accepting),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}

impl Network for QuicNetwork {
    type Stream = QuicStream;

    fn local_addr(&self) -> PeerAddr {
        self.inner.local_addr.clone()
    }

    fn now(&self) -> Duration {
        self.inner.origin.elapsed()
    }

    async fn open(
        &self,
        peer: &PeerAddr,
        protocol: Protocol,
        deadline: Duration,
    ) -> Result<Self::Stream, NetError> {
        if peer.id() == self.inner.local_addr.id() {
            return Err(NetError::SelfDial);
        }
        if self.inner.registry.is_closed() {
            return Err(NetError::Closed);
        }
        let deadline = deadline.min(DEADLINE_MAX);
        let open = Box::pin(self.inner.dialler.open(peer, protocol, deadline));
        within(deadline, Operation::Open, open).await
    }

    fn accept(
        &self,
        protocol: Protocol,
        capacity: usize,
    ) -> Result<Incoming<Self::Stream>, NetError> {
        self.inner.registry.register(protocol, capacity)
    }

    /// Tells every peer and waits, for a few seconds at most, until they know. The port is free again soon after the last
    /// clone and stream are dropped.
    async fn close(&self) {
        self.inner.registry.close();
        self.inner.dialler.forget_all();
        self.inner.endpoint.close().await;
        self.inner.acceptor.end().await;
    }
}

impl fmt::Debug for QuicNetwork {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("QuicNetwork")
            .field("local_addr", &self.inner.local_addr)
            .finish_non_exhaustive()
    }
}

/// A task that ends with its owner.
struct OwnedTask(Mutex<Option<JoinHandle<()>>>);

impl OwnedTask {
    const fn new(task: JoinHandle<()>) -> Self {
        Self(Mutex::new(Some(task)))
    }

    fn take(&self) -> Option<JoinHandle<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn end(&self) {
        if let Some(task) = self.take() {
            task.abort();
            if let Err(error) = task.await
                && error.is_panic()
            {
                tracing::error!(%error, "task ended with a panic");
            }
        }
    }
}

impl Drop for OwnedTask {
    fn drop(&mut self) {
        if let Some(task) = self.take() {
            task.abort();
        }
    }
}

async fn within<T>(
    deadline: Duration,
    operation: Operation,
    work: impl Future<Output = Result<T, NetError>> + Send,
) -> Result<T, NetError> {
    timeout(deadline.min(DEADLINE_MAX), work)
        .await
        .unwrap_or(Err(NetError::DeadlinePassed { operation }))
}

async fn endpoint(options: &QuicOptions) -> Result<Endpoint, NetError> {
    let addr = options.listen;
    let cannot_listen = |reason: String| NetError::CannotListen { addr, reason };
    Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(&options.secret_key))
        .alpns(vec![ALPN.to_vec()])
        .relay_mode(RelayMode::Disabled)
        .clear_address_lookup()
        .portmapper_config(PortmapperConfig::Disabled)
        .net_report_config(NetReportConfig::minimal())
        .transport_config(transport(STREAMS_PER_PEER_MAX))
        // The builder starts out with unspecified addresses of both families.
        .clear_ip_transports()
        .bind_addr(addr)
        .map_err(|error| cannot_listen(error.to_string()))?
        .bind()
        .await
        .map_err(|error| match error {
            BindError::Sockets { source, .. } if source.kind() == ErrorKind::AddrInUse => {
                NetError::AddressInUse { addr }
            }
            BindError::Sockets { source, .. } => cannot_listen(source.to_string()),
            other => cannot_listen(other.to_string()),
        })
}

/// Bounds of a connection on which the other side may have `streams` open.
fn transport(streams: usize) -> QuicTransportConfig {
    let window = |bytes: usize| VarInt::from_u32(u32::try_from(bytes).unwrap_or(u32::MAX));
    QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(window(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(window(STREAM_WINDOW_BYTES))
        .receive_window(window(CONNECTION_WINDOW_BYTES))
        .send_window(u64::from(window(CONNECTION_WINDOW_BYTES)))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .build()
}

fn local_addr(endpoint: &Endpoint, options: &QuicOptions) -> Result<PeerAddr, NetError> {
    let id = PeerId::new(*endpoint.id().as_bytes());
    let bound: Vec<SocketAddr> = endpoint.bound_sockets();
    let port = bound
        .first()
        .map_or(options.listen.port(), SocketAddr::port);
    let mut addrs: Vec<SocketAddr> = if !options.advertise.is_empty() {
        let given = options.advertise.iter().copied();
        given
            .map(|addr| match addr.port() {
                0 => SocketAddr::new(addr.ip(), port),
                _ => addr,
            })
            .collect()
    } else if options.listen.ip().is_unspecified() {
        let found = endpoint.addr();
        found.ip_addrs().copied().take(PEER_ADDRS_MAX).collect()
    } else {
        bound
    };
    if addrs.is_empty() {
        addrs.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    Ok(PeerAddr::new(id, addrs)?)
}
