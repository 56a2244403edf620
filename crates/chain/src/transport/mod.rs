//! The channels to other validators, handed in by whoever owns the network.

mod simulated;
mod tcp;

pub use simulated::{Simulated, simulated};
pub use tcp::{Tcp, TcpConfig, TcpPeers, tcp};

use commonware_actor::{Feedback, Unreliable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{
    BlockedSubscription, Blocker, CheckedSender, LimitedSender, Message, PeerSetSubscription,
    PeerSetUpdate, Provider, Receiver, Recipients, Sender, TrackedPeers,
};
use commonware_runtime::{IoBufs, Quota};
use commonware_utils::{
    NZU32, NZUsize,
    channel::{mpsc, ring},
    ordered::Set,
    sync::Mutex,
};
use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::SystemTime,
};

/// Channels that a validator needs, in the order of [`Transport`]'s fields, numbered from zero.
pub const CHANNELS: u64 = 7;
/// The one of proposed blocks.
const BLOCKS_CHANNEL: u64 = 4;

/// Messages a second that one channel takes from one peer: many times what an honest one sends. They come in bursts of 64 at most: room for
/// one of each peer that may connect is set aside for each channel, some hundred bytes a message.
#[must_use]
pub fn quota() -> Quota {
    Quota::per_second(NZU32!(1_024)).allow_burst(BURST)
}

/// Messages of one peer that one channel takes at once.
const BURST: NonZeroU32 = NZU32!(64);

/// The same for proposed blocks, which cost more than others: several times the rate at which one validator of four can propose.
#[must_use]
pub fn blocks_quota() -> Quota {
    Quota::per_second(NZU32!(128))
}

/// A node of the peer network, and where it is reached, if that is known.
pub type Place = (PublicKey, Option<SocketAddr>);

/// Takes who may connect.
pub trait Directory {
    /// Says who has a seat in an epoch, and who may have one in the next. Epochs come in ascending order.
    fn track(&mut self, epoch: u64, seated: Vec<Place>, standing: Vec<Place>);
}

/// The kinds of sender, receiver, peer list and blocker that a network is made of.
pub trait Network: Send + 'static {
    /// Sends on one channel.
    type Sender: Sender<PublicKey = PublicKey>;
    /// Receives on one channel.
    type Receiver: Receiver<PublicKey = PublicKey>;
    /// Knows who the validators are.
    type Peers: Provider<PublicKey = PublicKey> + Directory;
    /// Shuts out peers that break the protocol.
    type Blocker: Blocker<PublicKey = PublicKey>;
}

/// One channel of a network: what sends and what receives.
pub type Channel<N> = (<N as Network>::Sender, <N as Network>::Receiver);

/// The network as the chain sees it.
pub struct Transport<N: Network> {
    /// Channel 0: votes.
    pub votes: Channel<N>,
    /// Channel 1: certificates.
    pub certificates: Channel<N>,
    /// Channel 2: missing certificates.
    pub certificate_fetch: Channel<N>,
    /// Channel 3: missing blocks.
    pub block_fetch: Channel<N>,
    /// Channel 4: proposed blocks, and what is missing of them.
    pub blocks: Channel<N>,
    /// Channel 5: transactions that wait for a block.
    pub transactions: Channel<N>,
    /// Channel 6: blobs of clients.
    pub blobs: Channel<N>,
    /// Who the validators are.
    pub peers: N::Peers,
    /// Shuts out peers that break the protocol.
    pub blocker: N::Blocker,
}

impl<N: Network> fmt::Debug for Transport<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}

/// A network of one.
#[derive(Clone, Copy, Debug)]
pub struct Solo;

impl Network for Solo {
    type Sender = Nobody;
    type Receiver = Silence;
    type Peers = Alone;
    type Blocker = Alone;
}

/// A network of one: nothing is sent, nothing arrives, no socket is open.
#[must_use]
pub fn solo(identity: PublicKey) -> Transport<Solo> {
    let alone = Alone {
        identity,
        subscribers: Arc::default(),
    };
    Transport {
        votes: (Nobody, Silence),
        certificates: (Nobody, Silence),
        certificate_fetch: (Nobody, Silence),
        block_fetch: (Nobody, Silence),
        blocks: (Nobody, Silence),
        transactions: (Nobody, Silence),
        blobs: (Nobody, Silence),
        peers: alone.clone(),
        blocker: alone,
    }
}

/// Sends to nobody.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl LimitedSender for Nobody {
    type PublicKey = PublicKey;
    type Checked<'a> = Self;

    fn check(&mut self, _: Recipients<PublicKey>) -> Result<Self, SystemTime> {
        Ok(Self)
    }
}

impl CheckedSender for Nobody {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        Vec::new()
    }

    fn send(self, _: impl Into<IoBufs> + Send, _: bool) -> Unreliable<Feedback> {
        Unreliable::new(Feedback::Ok)
    }
}

/// Never receives.
#[derive(Clone, Copy, Debug)]
pub struct Silence;

impl Receiver for Silence {
    type Error = Infallible;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, Infallible> {
        futures::future::pending().await
    }

    fn capacity(&self) -> NonZeroUsize {
        NZUsize!(16)
    }
}

/// The peer set of one, and its blocker.
#[derive(Clone)]
pub struct Alone {
    identity: PublicKey,
    /// Kept open: a closed subscription reads as a network that went away. One entry per engine task that asks at start.
    subscribers: Arc<Mutex<Vec<mpsc::UnboundedSender<PeerSetUpdate<PublicKey>>>>>,
}

impl Alone {
    fn peers(&self) -> TrackedPeers<PublicKey> {
        TrackedPeers::primary(Set::from_iter_dedup([self.identity.clone()]))
    }
}

impl fmt::Debug for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Alone({})", self.identity)
    }
}

impl Provider for Alone {
    type PublicKey = PublicKey;

    async fn peer_set(&mut self, _: u64) -> Option<TrackedPeers<PublicKey>> {
        Some(self.peers())
    }

    async fn subscribe(&mut self) -> PeerSetSubscription<PublicKey> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let update = PeerSetUpdate {
            index: 0,
            latest: self.peers(),
            all: self.peers(),
        };
        sender
            .send(update)
            .expect("the receiver is alive: it is returned below");
        self.subscribers.lock().push(sender);
        receiver
    }
}

impl Directory for Alone {
    fn track(&mut self, _: u64, _: Vec<Place>, _: Vec<Place>) {}
}

impl Blocker for Alone {
    type PublicKey = PublicKey;

    fn block(&mut self, _: PublicKey) -> Feedback {
        Feedback::Ok
    }

    fn blocked(&mut self) -> BlockedSubscription<PublicKey> {
        // A closed subscription reads as a set that never changes.
        ring::channel(NZUsize!(1)).1
    }
}
