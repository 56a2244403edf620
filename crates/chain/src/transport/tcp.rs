//! Validators and candidates over TCP: authenticated and encrypted; identities that the chain names, at the addresses that it names, only.

use super::{BLOCKS_CHANNEL, CHANNELS, Directory, Network, Place, Transport, blocks_quota, quota};
use crate::{engine::message_bytes_max, error::StartError, genesis};
use commonware_actor::Feedback;
use commonware_cryptography::{ChaCha20Poly1305, ed25519::PublicKey};
use commonware_p2p::{
    Address, AddressableManager as _, AddressableTrackedPeers, PeerSetSubscription, Provider,
    TrackedPeers,
    authenticated::lookup::{self, Config, Network as Lookup, Oracle},
};
use commonware_runtime::{Clock, Handle, Metrics, Network as RuntimeNetwork, Resolver, Spawner};
use commonware_stream::{
    SakeCups,
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{NZUsize, TryFromIterator as _, ordered::Map};
use fairweir_types::{Genesis, SecretKey, limits::VALIDATORS_MAX};
use rand_core::CryptoRng;
use std::{
    collections::BTreeMap, future::Future, marker::PhantomData, net::SocketAddr, num::NonZeroUsize,
    time::Duration,
};

const MAILBOX: NonZeroUsize = NZUsize!(1_024);
/// Nodes without a seat that may connect: validators of the genesis, and candidates. Memory is set aside for each.
const OTHERS_MAX: usize = 32;
/// What connections of a chain are told apart by, besides its genesis.
const NAMESPACE: &[u8] = b"fairweir/1/peer/";

/// A network over TCP on a runtime.
#[derive(Debug)]
pub struct Tcp<E>(PhantomData<E>);

impl<E: Clock + Spawner + Metrics> Network for Tcp<E> {
    type Sender = lookup::Sender<PublicKey, E>;
    type Receiver = lookup::Receiver<PublicKey>;
    type Peers = TcpPeers;
    type Blocker = Oracle<PublicKey>;
}

/// Who the validators are, and where.
#[derive(Clone, Debug)]
pub struct TcpPeers {
    oracle: Oracle<PublicKey>,
    /// Where those of the genesis are, who may never have told the ledger.
    configured: Map<PublicKey, Address>,
    is_dev: bool,
}

impl Provider for TcpPeers {
    type PublicKey = PublicKey;

    fn peer_set(
        &mut self,
        id: u64,
    ) -> impl Future<Output = Option<TrackedPeers<PublicKey>>> + Send {
        self.oracle.peer_set(id)
    }

    fn subscribe(&mut self) -> impl Future<Output = PeerSetSubscription<PublicKey>> + Send {
        self.oracle.subscribe()
    }
}

impl TcpPeers {
    /// Those of whom it is known where they are, so many of the first.
    fn reachable(&self, places: Vec<Place>, max: usize) -> Map<PublicKey, Address> {
        let mut reached = BTreeMap::new();
        for (identity, place) in places {
            // The keys of a development chain deserve no trust beyond this machine.
            let place = place.filter(|place| !self.is_dev || place.ip().is_loopback());
            let configured = || self.configured.get_value(&identity).cloned();
            let address = place.map(Address::from).or_else(configured);
            if let Some(address) = address.filter(|_| reached.len() < max) {
                reached.entry(identity).or_insert(address);
            }
        }
        Map::from_iter_dedup(reached)
    }
}

impl Directory for TcpPeers {
    fn track(&mut self, epoch: u64, seated: Vec<Place>, standing: Vec<Place>) {
        let seated = self.reachable(seated, VALIDATORS_MAX);
        // Those of the genesis may connect for ever: who comes late knows no others.
        let of_genesis = self.configured.keys().iter();
        let mut of_genesis: Vec<Place> = of_genesis.map(|known| (known.clone(), None)).collect();
        let is_other = |(identity, _): &Place| seated.get_value(identity).is_none();
        of_genesis.retain(is_other);
        // Half of the places are theirs, and what candidates leave.
        let rest = of_genesis.split_off(of_genesis.len().min(OTHERS_MAX / 2));
        let others = of_genesis.into_iter().chain(standing).chain(rest);
        let others = self.reachable(others.filter(is_other).collect(), OTHERS_MAX);
        let peers = AddressableTrackedPeers::new(seated, others);
        // Zero is the set of the start.
        if self.oracle.track(epoch.saturating_add(1), peers) == Feedback::Closed {
            tracing::debug!(epoch, "the network is gone");
        }
    }
}

/// Where validators are.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    /// Where this validator listens.
    pub listen: SocketAddr,
    /// Where each validator of the genesis is reached, in its order; this validator's own entry too.
    pub addresses: Vec<SocketAddr>,
}

/// Listens and connects to the validators of a genesis, and to those that the chain names later. A development chain is refused beyond the loopback interface:
/// its keys deserve no trust.
///
/// # Errors
/// [`StartError::Genesis`], [`StartError::Addresses`] and [`StartError::DevAddress`].
pub fn tcp<E>(
    context: &E,
    genesis: &Genesis,
    identity: &SecretKey,
    config: &TcpConfig,
) -> Result<(Transport<Tcp<E>>, Handle<()>), StartError>
where
    E: Clock + Spawner + CryptoRng + RuntimeNetwork + Resolver + Metrics,
{
    let peers = addresses(genesis, config)?;
    let handshake: SakeCups<_, ChaCha20Poly1305> = Cups::new(
        Sake {
            signer: identity.as_identity().clone(),
            synchrony_bound: Duration::from_secs(5),
            max_handshake_age: Duration::from_secs(10),
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let namespace = [NAMESPACE, genesis.digest().as_bytes()].concat();
    let size = message_bytes_max(genesis)?;
    let mut p2p = Config::recommended(
        handshake,
        &namespace,
        config.listen,
        NZUsize!(VALIDATORS_MAX + OTHERS_MAX + 1),
        size,
        MAILBOX,
    );
    // Those of the present epoch and of the one before: who has no seat any more still has blocks for those that come.
    p2p.tracked_peer_sets = NZUsize!(2);
    // The defaults let a validator that crashed wait for a minute, and refuse several validators behind one address.
    p2p.allow_private_ips = true;
    // Two that dial each other refuse each other until their cooldown is over: a long one leaves them apart for many rounds,
    // and then one validator that fails besides stops the chain.
    p2p.peer_connection_cooldown = Duration::from_millis(200);
    // Some of many candidates may be gone, and are dialled all the same.
    p2p.dial_frequency = Duration::from_millis(50);
    p2p.allowed_handshake_rate_per_ip = quota();
    let (mut network, mut oracle) = Lookup::new(context.child("tcp"), p2p);
    oracle.track(0, peers.clone());
    let oracle = TcpPeers {
        oracle,
        configured: peers,
        is_dev: genesis.chain_id.is_dev(),
    };
    let mut channels = (0..CHANNELS)
        .map(|channel| {
            let is_blocks = channel == BLOCKS_CHANNEL;
            network.register(channel, if is_blocks { blocks_quota() } else { quota() })
        })
        .collect::<Vec<_>>()
        .into_iter();
    let mut next = || {
        channels
            .next()
            .expect("as many are registered as are taken")
    };
    let transport = Transport {
        votes: next(),
        certificates: next(),
        certificate_fetch: next(),
        block_fetch: next(),
        blocks: next(),
        transactions: next(),
        blobs: next(),
        blocker: oracle.oracle.clone(),
        peers: oracle,
    };
    Ok((transport, network.start()))
}

fn addresses(genesis: &Genesis, config: &TcpConfig) -> Result<Map<PublicKey, Address>, StartError> {
    let participants = genesis::participants(genesis).map_err(StartError::Genesis)?;
    if participants.len() != config.addresses.len() {
        return Err(StartError::Addresses {
            expected: participants.len(),
            found: config.addresses.len(),
        });
    }
    let outside = config
        .addresses
        .iter()
        .chain([&config.listen])
        .find(|address| !address.ip().is_loopback());
    if let (true, Some(address)) = (genesis.chain_id.is_dev(), outside) {
        return Err(StartError::DevAddress { address: *address });
    }
    let pairs = participants.keys().iter().cloned().zip(
        config
            .addresses
            .iter()
            .map(|address| Address::from(*address)),
    );
    Ok(Map::try_from_iter(pairs).expect("the participants are a set"))
}
