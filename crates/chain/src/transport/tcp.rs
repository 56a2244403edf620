//! Validators over TCP: authenticated and encrypted, known identities at known addresses only.

use super::{BLOCKS_CHANNEL, CHANNELS, Network, Transport, blocks_quota, quota};
use crate::{engine::message_bytes_max, error::StartError, genesis};
use commonware_cryptography::{ChaCha20Poly1305, ed25519::PublicKey};
use commonware_p2p::{
    Address, AddressableManager as _,
    authenticated::lookup::{self, Config, Network as Lookup, Oracle},
};
use commonware_runtime::{Clock, Handle, Metrics, Network as RuntimeNetwork, Resolver, Spawner};
use commonware_stream::{
    SakeCups,
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{NZUsize, TryFromIterator as _, ordered::Map};
use fairweir_types::{Genesis, SecretKey, genesis::GenesisError};
use rand_core::CryptoRng;
use std::{marker::PhantomData, net::SocketAddr, num::NonZeroUsize, time::Duration};

const MAILBOX: NonZeroUsize = NZUsize!(1_024);
/// What connections of a chain are told apart by, besides its genesis.
const NAMESPACE: &[u8] = b"fairweir/1/peer/";

/// A network over TCP on a runtime.
#[derive(Debug)]
pub struct Tcp<E>(PhantomData<E>);

impl<E: Clock + Spawner + Metrics> Network for Tcp<E> {
    type Sender = lookup::Sender<PublicKey, E>;
    type Receiver = lookup::Receiver<PublicKey>;
    type Peers = Oracle<PublicKey>;
    type Blocker = Oracle<PublicKey>;
}

/// Where validators are.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    /// Where this validator listens.
    pub listen: SocketAddr,
    /// Where each validator is reached, in the order of the genesis; this validator's own entry too.
    pub addresses: Vec<SocketAddr>,
}

/// Listens and connects to the validators of a genesis. A development chain is refused beyond the loopback interface:
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
    let validators =
        NonZeroUsize::new(peers.len()).ok_or(StartError::Genesis(GenesisError::NoValidator))?;
    let mut p2p = Config::recommended(
        handshake,
        &namespace,
        config.listen,
        validators,
        size,
        MAILBOX,
    );
    p2p.tracked_peer_sets = NZUsize!(1);
    // The defaults let a validator that crashed wait for a minute, and refuse several validators behind one address.
    p2p.allow_private_ips = true;
    // Two that dial each other refuse each other until their cooldown is over: a long one leaves them apart for many rounds,
    // and then one validator that fails besides stops the chain.
    p2p.peer_connection_cooldown = Duration::from_millis(200);
    p2p.dial_frequency = Duration::from_millis(250);
    p2p.allowed_handshake_rate_per_ip = quota();
    let (mut network, mut oracle) = Lookup::new(context.child("tcp"), p2p);
    oracle.track(0, peers);
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
        peers: oracle.clone(),
        blocker: oracle,
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
