//! One participant: a key, a place in a network, and the real role it runs, twisted or not.

use crate::byzantine::{Twist, TwistedChain, twisted_registry};
use commonware_runtime::{Clock, Handle, Spawner};
use fairweir_client::{ClientError, NodeClient, Sender};
use fairweir_net::{NetError, Network, PeerAddr};
use fairweir_node::{
    NodeBlobs, NodeChain,
    roles::{
        verifier,
        worker::{self, Equipment, WorkerOptions},
    },
};
use fairweir_services::{ChainClient, Registry, pipeline::Identity, session::ClerkOptions};
use fairweir_types::{Address, Amount, ChainId, Height, SecretKey};
use std::sync::Arc;
use thiserror::Error;

/// Executions that an actor runs at the same time.
const CONCURRENCY: usize = 2;

/// Why an actor cannot take up its role.
#[derive(Debug, Error)]
pub enum ActorError {
    /// The node refused, or was not reached.
    #[error("the actor cannot register")]
    Client(#[from] ClientError),
    /// Buyers cannot be let in.
    #[error("the actor's network takes no buyers")]
    Net(#[from] NetError),
}

/// A participant before it takes up a role. Generic over the network, so that one cheats in simulation and over QUIC alike.
#[derive(Debug)]
pub struct Actor<N: Network> {
    identity: Identity,
    network: N,
    sender: Sender<N>,
    from: Height,
    honest: Registry,
    worker: Registry,
}

impl<N: Network> Actor<N> {
    /// An actor that knows a node and follows its chain from a height on. `key` is the account, `seed` what its salts are
    /// derived from.
    #[must_use]
    pub fn new(
        (key, seed): (SecretKey, [u8; 32]),
        network: N,
        node: PeerAddr,
        chain_id: ChainId,
        from: Height,
    ) -> Self {
        let client = NodeClient::new(network.clone(), node);
        Self {
            sender: Sender::new(client, chain_id, key.clone()),
            identity: Identity { key, seed },
            network,
            from,
            honest: Registry::standard(),
            worker: Registry::standard(),
        }
    }

    /// The same with these services: those that it offers and checks with, and, for a cheat, those that run its own work.
    #[must_use]
    pub fn serving(mut self, honest: Registry, worker: Registry) -> Self {
        self.honest = honest;
        self.worker = worker;
        self
    }

    /// Its account.
    #[must_use]
    pub fn address(&self) -> Address {
        self.identity.key.address()
    }

    fn equipment<C: ChainClient>(&self, chain: C, registry: Registry) -> Equipment<C> {
        Equipment {
            identity: self.identity.clone(),
            chain,
            blobs: Arc::new(NodeBlobs::new(self.sender.client().clone())),
            registry: Arc::new(registry),
            concurrency: CONCURRENCY,
            from: self.from,
            outputs: None,
            sessions: None,
            clerk: ClerkOptions::default(),
        }
    }

    /// Registers as a worker and runs until its network or the runtime ends.
    ///
    /// # Errors
    /// [`ActorError`].
    pub async fn work<E: Clock + Spawner>(
        self,
        context: E,
        options: WorkerOptions,
        twist: Option<Arc<dyn Twist>>,
    ) -> Result<Handle<()>, ActorError> {
        let honest = self.honest.clone();
        let incoming = worker::open_desk(&self.network)?;
        let endpoint = self.network.local_addr();
        let terms = (&options, &self.identity.seed);
        worker::register(&self.sender, &endpoint, &honest, terms).await?;
        let verifies = options.verifies;
        let chain = NodeChain::new(self.sender.clone());
        let handle = match twist {
            None => {
                let equipment = self.equipment(chain, honest);
                context.spawn(move |context| async move {
                    worker::run(&context, equipment, incoming, verifies).await;
                })
            }
            Some(twist) => {
                let registry = twisted_registry(&honest, &self.worker, &twist);
                let equipment = self.equipment(TwistedChain::new(chain, twist), registry);
                context.spawn(move |context| async move {
                    worker::run(&context, equipment, incoming, verifies).await;
                })
            }
        };
        Ok(handle)
    }

    /// Enrols as a verifier and runs until the runtime ends.
    ///
    /// # Errors
    /// [`ActorError`].
    pub async fn verify<E: Clock + Spawner>(
        self,
        context: E,
        stake: Amount,
        twist: Option<Arc<dyn Twist>>,
    ) -> Result<Handle<()>, ActorError> {
        let honest = self.honest.clone();
        let terms = (None, &self.identity.seed);
        verifier::register(&self.sender, &honest, stake, terms).await?;
        let chain = NodeChain::new(self.sender.clone());
        let handle = match twist {
            None => {
                let equipment = self.equipment(chain, honest);
                context
                    .spawn(move |context| async move { verifier::run(&context, equipment).await })
            }
            Some(twist) => {
                let registry = twisted_registry(&honest, &self.worker, &twist);
                let equipment = self.equipment(TwistedChain::new(chain, twist), registry);
                context
                    .spawn(move |context| async move { verifier::run(&context, equipment).await })
            }
        };
        Ok(handle)
    }
}
