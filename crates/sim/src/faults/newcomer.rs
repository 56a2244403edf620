//! A node that joins, and the nodes that it asks: as in a real network it asks in the words of clients, over links of its own.

use super::{
    Broken, Faults,
    cluster::HEARTBEAT,
    disk::{Disk, Machine},
    false_nodes::FalseNode,
    joiner::{Joiner, Way},
};
use commonware_runtime::{Handle, Spawner as _, Supervisor as _, deterministic::Context};
use fairweir_chain::{
    BadPart, ChainConfig, ChainHandle, Forwarded, SoughtBlob, Source, SourceBlock, StateAnswer,
    SyncMode, follow, light::LightClient,
};
use fairweir_client::protocol::NODE;
use fairweir_net::{
    Network as _, PeerAddr, PeerId,
    memory::{Hub, Link, MemoryNetwork},
};
use fairweir_node::{Api, BlobStore, Upstream};
use fairweir_types::{Digest, Genesis, Height, SecretKey, SignedTx, node_api::AskState};
use futures::stream::BoxStream;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Questions that wait at a node.
const WAITING_MAX: usize = 64;
/// Bytes of the blobs that a node keeps: nobody leaves any.
const BLOB_BYTES_MAX: usize = 1 << 10;

/// How a node that joined got on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Whether it copied the state; else it executed all blocks.
    pub by_state: bool,
    /// How often it started.
    pub lives: u64,
    /// The lies that it was told.
    pub lies: u64,
    /// Answers that it found not to hold.
    pub refused: u64,
    /// How often it left a node that had nothing, or nothing new.
    pub left: u64,
}

/// What is heard of a node that joins.
enum Shown {
    /// Nothing: it has not come, or is down, or is on its way to the present.
    Nothing,
    Runs(ChainHandle),
    Failed(String),
}

/// What happens to it, over all of its lives.
#[derive(Debug, Default)]
struct Counts {
    refused: AtomicU64,
    left: AtomicU64,
}

/// The nodes of a story in which one joins, and that one.
pub(super) struct Newcomer {
    context: Context,
    hub: Hub<Context>,
    joiner: Joiner,
    /// Its number, after those of all validators.
    number: usize,
    honest: usize,
    doors: BTreeMap<usize, MemoryNetwork<Context>>,
    life: Option<(MemoryNetwork<Context>, Handle<()>)>,
    lives: u64,
    shown: Arc<Mutex<Shown>>,
    lies: Arc<AtomicU64>,
    counts: Arc<Counts>,
}

/// The peer of a number.
fn peer(number: usize) -> PeerId {
    let number = u8::try_from(number).expect("some numbers");
    PeerId::new([number + 1; 32])
}

fn set(shown: &Mutex<Shown>, what: Shown) {
    *lock(shown) = what;
}

fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Newcomer {
    /// A place for it, and the nodes of those that lie.
    pub(super) fn new(context: &Context, faults: &Faults, joiner: &Joiner) -> Self {
        let mut newcomer = Self {
            context: context.child("newcomer"),
            hub: Hub::new(context.child("hub"), faults.seed),
            joiner: joiner.clone(),
            number: faults.validators,
            honest: faults.honest(),
            doors: BTreeMap::new(),
            life: None,
            lives: 0,
            shown: Arc::new(Mutex::new(Shown::Nothing)),
            lies: Arc::default(),
            counts: Arc::default(),
        };
        let honest: Vec<_> = (0..newcomer.honest)
            .map(|number| PeerAddr::from_id(peer(number)))
            .collect();
        for (place, lie) in joiner.lies.iter().enumerate() {
            let network = newcomer.door(newcomer.honest + place);
            let incoming = network.accept(NODE, WAITING_MAX);
            let incoming = incoming.expect("nobody else answers there");
            let node = FalseNode {
                network,
                honest: honest.clone(),
                lie: *lie,
                told: Arc::clone(&newcomer.lies),
                newest: Arc::default(),
            };
            let context = newcomer.context.child("false_node");
            context.spawn(move |_| node.serve(incoming));
        }
        newcomer
    }

    fn door(&mut self, number: usize) -> MemoryNetwork<Context> {
        let joined = self.hub.join(peer(number));
        let network = joined.expect("who crashed has left");
        self.doors.insert(number, network.clone());
        network
    }

    /// The node of a validator that started answers.
    pub(super) fn open_door(&mut self, validator: usize, chain: &ChainHandle) {
        let network = self.door(validator);
        let incoming = network.accept(NODE, WAITING_MAX);
        let incoming = incoming.expect("nobody else answers there");
        let blobs = BlobStore::in_memory(BLOB_BYTES_MAX);
        let api = Api::new(chain.clone(), Arc::new(blobs));
        let context = self.context.child("door");
        context.spawn(move |_| api.serve(incoming));
    }

    /// It is gone with its validator.
    pub(super) async fn close_door(&mut self, validator: usize) {
        if let Some(network) = self.doors.remove(&validator) {
            network.close().await;
        }
    }

    /// Makes the links to and from a node what the faults leave of them: towards it, and from it.
    pub(super) fn link(&self, node: usize, link: Link, [to, from]: [bool; 2]) {
        let ways = [
            (peer(self.number), peer(node), to),
            (peer(node), peer(self.number), from),
        ];
        for (sender, receiver, is_cut) in ways {
            self.hub.set_link(sender, receiver, link);
            if is_cut {
                self.hub.cut(sender, receiver);
            } else {
                self.hub.restore(sender, receiver);
            }
        }
    }

    /// Starts it, on what its disk has.
    pub(super) fn start(&mut self, genesis: &Genesis, disk: Disk) {
        if self.life.is_some() {
            return;
        }
        self.lives += 1;
        let network = self.hub.join(peer(self.number));
        let network = network.expect("it left when it crashed");
        let liars = self.honest..self.honest + self.joiner.lies.len();
        let honest = 0..self.honest;
        let nodes: Vec<_> = if self.joiner.trusts_liars {
            liars.chain(honest).collect()
        } else {
            honest.chain(liars).collect()
        };
        let mut nodes = nodes.into_iter().map(|node| PeerAddr::from_id(peer(node)));
        let first = nodes.next().expect("there are validators");
        let source = Listening {
            inner: Upstream::new(&network, first, nodes.collect()),
            counts: Arc::clone(&self.counts),
        };
        let identity = SecretKey::from_seed([77; 32]).expect("this seed is a key");
        let config = ChainConfig {
            heartbeat: HEARTBEAT,
            partition_prefix: "newcomer".to_owned(),
            sync: match self.joiner.way {
                Way::State => SyncMode::State,
                Way::Blocks => SyncMode::Blocks,
                Way::Auto => SyncMode::Auto,
            },
            ..ChainConfig::follower(genesis.clone(), identity)
        };
        let shown = Arc::clone(&self.shown);
        let context = self.context.child("life");
        let context = context.with_attribute("number", self.lives);
        let life = context.spawn(move |context| async move {
            let machine = Machine::new(context, disk);
            let end = match Box::pin(follow(machine, config, source)).await {
                Ok((chain, task)) => {
                    set(&shown, Shown::Runs(chain));
                    format!("{:?}", task.ended().await)
                }
                Err(error) => error.to_string(),
            };
            set(&shown, Shown::Failed(end));
        });
        self.life = Some((network, life));
    }

    /// Ends it at once.
    pub(super) async fn crash(&mut self) {
        if let Some((network, life)) = self.life.take() {
            life.abort();
            // It was aborted.
            let _ = life.await;
            network.close().await;
        }
        set(&self.shown, Shown::Nothing);
    }

    /// Its chain, once it shows one.
    pub(super) fn chain(&self) -> Result<Option<(usize, ChainHandle)>, Broken> {
        match &*lock(&self.shown) {
            Shown::Nothing => Ok(None),
            Shown::Runs(chain) => Ok(Some((self.number, chain.clone()))),
            Shown::Failed(error) => Err(Broken::Start {
                validator: self.number,
                error: error.clone(),
            }),
        }
    }

    /// How it got on, once it shows its chain.
    pub(super) fn joined(&self) -> Result<Option<Joined>, Broken> {
        let Some((_, chain)) = self.chain()? else {
            return Ok(None);
        };
        let number = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Ok(Some(Joined {
            by_state: chain.oldest_kept() > Height(1),
            lives: self.lives,
            lies: number(&self.lies),
            refused: number(&self.counts.refused),
            left: number(&self.counts.left),
        }))
    }
}

/// The nodes that it asks, and what it holds of their answers.
#[derive(Clone, Debug)]
struct Listening {
    inner: Upstream<MemoryNetwork<Context>>,
    counts: Arc<Counts>,
}

impl Source for Listening {
    async fn heights(&self) -> BoxStream<'static, Height> {
        self.inner.heights().await
    }

    async fn finalised(&self, height: Height) -> Option<SourceBlock> {
        self.inner.finalised(height).await
    }

    async fn floor(&self, light: &mut LightClient) -> Option<SourceBlock> {
        self.inner.floor(light).await
    }

    async fn state(&self, ask: AskState) -> (usize, StateAnswer) {
        self.inner.state(ask).await
    }

    async fn forward(&self, tx: SignedTx) -> Forwarded {
        self.inner.forward(tx).await
    }

    async fn blob(&self, digest: Digest) -> SoughtBlob {
        self.inner.blob(digest).await
    }

    async fn keep_blob(&self, blob: Vec<u8>) -> bool {
        self.inner.keep_blob(blob).await
    }

    fn blame(&self, turn: usize) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        self.inner.blame(turn);
    }

    fn look_elsewhere(&self) {
        self.counts.left.fetch_add(1, Ordering::Relaxed);
        self.inner.look_elsewhere();
    }

    fn leave(&self, turn: usize, gave: BadPart) -> bool {
        let count = match gave {
            BadPart::Wrong => &self.counts.refused,
            BadPart::Missing => &self.counts.left,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.inner.leave(turn, gave)
    }
}
