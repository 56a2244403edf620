//! Validators in one process, over links with latency and loss, for simulation.

use super::{Directory, Network, Place, Transport, blocks_quota, quota};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated::{Control, Error, Manager, Oracle, Receiver, Sender};
use commonware_runtime::Clock;
use std::marker::PhantomData;

/// A simulated network on a runtime.
#[derive(Debug)]
pub struct Simulated<E>(PhantomData<E>);

impl<E: Clock> Network for Simulated<E> {
    type Sender = Sender<PublicKey, E>;
    type Receiver = Receiver<PublicKey>;
    type Peers = Manager<PublicKey, E>;
    type Blocker = Control<PublicKey, E>;
}

/// Whoever simulates says who is there.
impl<E: Clock> Directory for Manager<PublicKey, E> {
    fn track(&mut self, _: u64, _: Vec<Place>, _: Vec<Place>) {}
}

/// Registers a validator's channels. Registering again, after a crash, replaces them.
///
/// # Errors
/// [`Error::NetworkClosed`] when the network was dropped.
pub async fn simulated<E: Clock>(
    oracle: &Oracle<PublicKey, E>,
    identity: PublicKey,
) -> Result<Transport<Simulated<E>>, Error> {
    let control = oracle.control(identity);
    Ok(Transport {
        votes: control.register(0, quota()).await?,
        certificates: control.register(1, quota()).await?,
        certificate_fetch: control.register(2, quota()).await?,
        block_fetch: control.register(3, quota()).await?,
        blocks: control.register(4, blocks_quota()).await?,
        transactions: control.register(5, quota()).await?,
        blobs: control.register(6, quota()).await?,
        peers: oracle.manager(),
        blocker: control,
    })
}
