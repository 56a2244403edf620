//! A network inside one process, for simulations and tests.
//!
//! Nothing runs by itself: a frame is handed over when its reader looks after its time of arrival. So the only thing needed
//! from a runtime is its clock, and under a deterministic runtime the same seed and the same calls give the same run.
//!
//! A cut link loses what is being opened over it and holds back the frames of open streams until it is restored, as a
//! connection does that keeps sending again. Two things are simpler than in a real network: bandwidth is unlimited, and a
//! sender learns at once that its reader has made room or gone (unless the way back is cut).
//!
//! ```
//! use std::time::Duration;
//! use commonware_runtime::{Runner as _, Supervisor as _, deterministic};
//! use fairweir_net::{Network as _, PeerId, memory::{Hub, Link}};
//!
//! deterministic::Runner::seeded(7).start(|context| async move {
//!     let hub = Hub::new(context.child("net"), 7);
//!     let alice = hub.join(PeerId::new([1; 32])).expect("the first of that name");
//!     hub.set_link(PeerId::new([1; 32]), PeerId::new([2; 32]), Link {
//!         latency: Duration::from_millis(40),
//!         ..Link::default()
//!     });
//!     alice.close().await;
//! });
//! ```

mod fabric;
mod link;
mod stream;

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use commonware_runtime::Clock;
use futures::future::{Either, pending, select};

use self::fabric::Fabric;
pub use self::{
    link::{LOSS_WHOLE_BPS, Link},
    stream::MemoryStream,
};
use crate::{
    DEADLINE_MAX, Incoming, NetError, Network, Operation, PeerAddr, PeerId, Protocol,
    incoming::{Refusal, Registry},
};

/// The switch in the middle: peers join it, and tests change its links.
pub struct Hub<C: Clock> {
    shared: Arc<Shared<C>>,
}

impl<C: Clock> Hub<C> {
    /// A network without peers. `clock` is a runtime's context; `seed` feeds jitter and loss.
    pub fn new(clock: C, seed: u64) -> Self {
        let state = State {
            fabric: Fabric::new(seed),
            peers: BTreeMap::new(),
        };
        Self {
            shared: Arc::new(Shared {
                clock,
                state: Mutex::new(state),
            }),
        }
    }

    /// Adds a peer. It stays until [`Network::close`], after which the id may join again, as after a restart.
    ///
    /// # Errors
    ///
    /// [`NetError::AlreadyJoined`].
    pub fn join(&self, peer: PeerId) -> Result<MemoryNetwork<C>, NetError> {
        let registry = Arc::new(Registry::new());
        let mut state = self.shared.lock();
        if state.peers.contains_key(&peer) {
            return Err(NetError::AlreadyJoined { peer });
        }
        state.peers.insert(peer, registry.clone());
        Ok(MemoryNetwork {
            shared: self.shared.clone(),
            id: peer,
            registry,
        })
    }

    /// Changes the link from one peer to another, for what is sent from then on. The peers need not have joined.
    pub fn set_link(&self, from: PeerId, to: PeerId, link: Link) {
        self.shared.lock().fabric.set_link(from, to, link);
    }

    /// Cuts the link from one peer to another, in that direction alone.
    pub fn cut(&self, from: PeerId, to: PeerId) {
        self.shared.lock().fabric.set_cut(from, to, true);
    }

    /// Undoes [`Hub::cut`]; frames held back arrive.
    pub fn restore(&self, from: PeerId, to: PeerId) {
        self.shared.lock().fabric.set_cut(from, to, false);
    }
}

impl<C: Clock> Clone for Hub<C> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<C: Clock> fmt::Debug for Hub<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hub").finish_non_exhaustive()
    }
}

struct Shared<C: Clock> {
    clock: C,
    state: Mutex<State<C>>,
}

struct State<C: Clock> {
    fabric: Fabric,
    peers: BTreeMap<PeerId, Arc<Registry<MemoryStream<C>>>>,
}

impl<C: Clock> Shared<C> {
    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> SystemTime {
        self.clock.current()
    }

    /// Awaits `work` for at most `deadline`.
    async fn within<T>(
        &self,
        deadline: Duration,
        operation: Operation,
        work: impl Future<Output = Result<T, NetError>> + Send,
    ) -> Result<T, NetError> {
        let timer = pin!(self.clock.sleep(deadline.min(DEADLINE_MAX)));
        match select(pin!(work), timer).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(NetError::DeadlinePassed { operation }),
        }
    }
}

/// A peer's place in a [`Hub`].
pub struct MemoryNetwork<C: Clock> {
    shared: Arc<Shared<C>>,
    id: PeerId,
    registry: Arc<Registry<MemoryStream<C>>>,
}

impl<C: Clock> MemoryNetwork<C> {
    async fn dial(&self, peer: PeerId, protocol: Protocol) -> Result<MemoryStream<C>, NetError> {
        if peer == self.id {
            return Err(NetError::SelfDial);
        }
        self.travel(self.id, peer).await?;
        let answer = self.arrive(peer, protocol);
        self.travel(peer, self.id).await?;
        answer
    }

    /// The handshake passes over a link, or stalls for good.
    async fn travel(&self, from: PeerId, to: PeerId) -> Result<(), NetError> {
        if self.registry.is_closed() {
            return Err(NetError::Closed);
        }
        let Some(delay) = self.shared.lock().fabric.pass(from, to) else {
            return pending().await;
        };
        if !delay.is_zero() {
            self.shared.clock.sleep(delay).await;
        }
        if self.shared.lock().fabric.is_cut(from, to) {
            return pending().await;
        }
        Ok(())
    }

    /// What the peer does when the opening reaches it.
    fn arrive(&self, peer: PeerId, protocol: Protocol) -> Result<MemoryStream<C>, NetError> {
        let registry = self
            .shared
            .lock()
            .peers
            .get(&peer)
            .cloned()
            .ok_or(NetError::Unreachable { peer })?;
        let permit = registry
            .reserve(protocol)
            .map_err(|refusal| match refusal {
                Refusal::UnknownProtocol => NetError::UnknownProtocol { protocol },
                Refusal::Busy => NetError::Busy { peer },
            })?;
        let opened = self.shared.lock().fabric.open(self.id, peer);
        let (ours, theirs) = opened.ok_or(NetError::Busy { peer })?;
        // Not under the lock: a stream that finds its queue gone is dropped here, and that takes the lock.
        permit.send((self.id, MemoryStream::new(self.shared.clone(), theirs)));
        Ok(MemoryStream::new(self.shared.clone(), ours))
    }
}

impl<C: Clock> Network for MemoryNetwork<C> {
    type Stream = MemoryStream<C>;

    fn local_addr(&self) -> PeerAddr {
        PeerAddr::from_id(self.id)
    }

    fn now(&self) -> Duration {
        self.shared
            .now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }

    async fn open(
        &self,
        peer: &PeerAddr,
        protocol: Protocol,
        deadline: Duration,
    ) -> Result<Self::Stream, NetError> {
        let dial = self.dial(peer.id(), protocol);
        self.shared.within(deadline, Operation::Open, dial).await
    }

    fn accept(
        &self,
        protocol: Protocol,
        capacity: usize,
    ) -> Result<Incoming<Self::Stream>, NetError> {
        self.registry.register(protocol, capacity)
    }

    async fn close(&self) {
        if self.registry.is_closed() {
            return;
        }
        let left = {
            let mut state = self.shared.lock();
            state.fabric.leave_all(self.id);
            state.peers.remove(&self.id)
        };
        if let Some(registry) = left {
            registry.close();
        }
    }
}

impl<C: Clock> Clone for MemoryNetwork<C> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            id: self.id,
            registry: self.registry.clone(),
        }
    }
}

impl<C: Clock> fmt::Debug for MemoryNetwork<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MemoryNetwork")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
