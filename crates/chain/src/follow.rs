//! A node that follows: it takes final blocks from another node, executes them and keeps its own store, and has no vote.
//!
//! Nothing that the other node says is believed. A block counts by its certificate, which is checked against the genesis, or
//! by the digest in a block that counts; and executing it must give the roots that it states.

use crate::{
    block::ChainBlock,
    engine::Runtime,
    genesis::{BlockDigest, Identity},
    handle::Marshal,
    replica::Core,
};
use bytes::Bytes;
use commonware_actor::Feedback;
use commonware_codec::Encode as _;
use commonware_consensus::{
    marshal::resolver::handler::{Annotation, Finalized, Handler, Key},
    types::Height as ConsensusHeight,
};
use commonware_cryptography::Digestible as _;
use commonware_macros::select;
use commonware_resolver::{
    Consumer as _, Delivery, Fetch, Outcome, Resolution, Resolver, TargetedResolver,
};
use commonware_utils::{channel::mpsc, vec::NonEmptyVec};
use fairweir_types::{Block, Height, SignedTx};
use futures::{
    FutureExt as _, StreamExt as _,
    channel::mpsc as unbounded,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered},
};
use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

/// Blocks above the newest executed one that are asked for.
const WINDOW: u64 = 64;
/// Transactions that are on their way to the other node at a time; more wait in the queue of gossip.
const FORWARDS_MAX: usize = 64;
/// Time before something is asked for again.
const RETRY: Duration = Duration::from_millis(200);

/// A final block of another node.
#[derive(Clone, Debug)]
pub struct SourceBlock {
    /// The block.
    pub block: Block,
    /// Its encoded finality certificate; none if it became final with a later block.
    pub certificate: Option<Vec<u8>>,
}

/// What became of a transaction that was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// The other node has it, or had it.
    Taken,
    /// The other node will not take it.
    Refused,
    /// The other node was not reached, or has no room now.
    Later,
}

/// Another node, as a source of final blocks. It may fail and lie; an implementation with several nodes turns to the next after
/// [`Source::blame`].
pub trait Source: Clone + Send + Sync + 'static {
    /// Heights of final blocks: the newest at once, then each as it becomes final. Ends when the other node is gone.
    fn heights(&self) -> impl Future<Output = BoxStream<'static, Height>> + Send;
    /// The final block at a height, if the other node has it and is reached.
    fn finalised(&self, height: Height) -> impl Future<Output = Option<SourceBlock>> + Send;
    /// Passes a transaction on.
    fn forward(&self, tx: SignedTx) -> impl Future<Output = Forwarded> + Send;
    /// Says that the node in use gave something that does not hold.
    fn blame(&self);
}

type BlockKey = Key<BlockDigest>;

/// Which questions are still of use.
type Predicate = Box<dyn Fn(&BlockKey, &Annotation) -> bool + Send>;

enum Command {
    Fetch(Fetch<BlockKey, Annotation>),
    Retain(Predicate),
}

/// The side of block storage on which it asks for blocks. It asks for so many at a time as it repairs and as are hinted,
/// so its queue needs no bound of its own.
#[derive(Clone)]
pub(crate) struct Fetcher {
    commands: unbounded::UnboundedSender<Command>,
}

/// The side on which they are got.
pub(crate) struct Fetching {
    commands: unbounded::UnboundedReceiver<Command>,
}

/// A way to ask for blocks.
pub(crate) fn fetcher() -> (Fetcher, Fetching) {
    let (sender, receiver) = unbounded::unbounded();
    (
        Fetcher { commands: sender },
        Fetching { commands: receiver },
    )
}

impl Fetcher {
    fn send(&self, command: Command) -> Feedback {
        match self.commands.unbounded_send(command) {
            Ok(()) => Feedback::Ok,
            Err(_) => Feedback::Closed,
        }
    }
}

impl Resolver for Fetcher {
    type Key = BlockKey;
    type Subscriber = Annotation;

    fn fetch<F>(&mut self, key: F) -> Feedback
    where
        F: Into<Fetch<BlockKey, Annotation>> + Send,
    {
        self.send(Command::Fetch(key.into()))
    }

    fn fetch_all<F>(&mut self, keys: Vec<F>) -> Feedback
    where
        F: Into<Fetch<BlockKey, Annotation>> + Send,
    {
        keys.into_iter()
            .map(|key| self.fetch(key))
            .last()
            .unwrap_or(Feedback::Ok)
    }

    fn retain(
        &mut self,
        predicate: impl Fn(&BlockKey, &Annotation) -> bool + Send + 'static,
    ) -> Feedback {
        self.send(Command::Retain(Box::new(predicate)))
    }
}

/// There is one source, whoever is named.
impl TargetedResolver for Fetcher {
    type PublicKey = Identity;

    fn fetch_targeted(
        &mut self,
        fetch: impl Into<Fetch<BlockKey, Annotation>> + Send,
        _: NonEmptyVec<Identity>,
    ) -> Feedback {
        self.fetch(fetch)
    }

    fn fetch_all_targeted<F>(&mut self, keys: Vec<(F, NonEmptyVec<Identity>)>) -> Feedback
    where
        F: Into<Fetch<BlockKey, Annotation>> + Send,
    {
        self.fetch_all(keys.into_iter().map(|(key, _)| key).collect())
    }
}

/// Who waits for a block, each with the span of the question.
type Subscribers = Vec<(Annotation, tracing::Span)>;

/// What came of an attempt to get a block.
enum Got {
    /// Bytes for block storage, or nothing.
    Bytes(BlockKey, Option<Bytes>),
    /// What block storage made of them; `None` if nobody needed them any more.
    Judged(BlockKey, Subscribers, Option<Outcome>),
}

/// The height at which a question's block stands, if the question tells.
fn height_of(key: &BlockKey, subscribers: &[(Annotation, tracing::Span)]) -> Option<Height> {
    let height = match key {
        Key::Finalized { height } => Some(*height),
        Key::Notarized { .. } => None,
        Key::Block(_) => subscribers
            .iter()
            .find_map(|(annotation, _)| match annotation {
                Annotation::Untrusted { height }
                | Annotation::Certified { height }
                | Annotation::Finalized(Finalized::ByHeight { height }) => Some(*height),
                Annotation::Finalized(Finalized::ByRound { .. })
                | Annotation::Notarization { .. } => None,
            }),
    };
    height.map(|height| Height(height.get()))
}

/// The answer to a question, as block storage reads it.
async fn answer<S: Source>(source: &S, key: &BlockKey, height: Height) -> Option<Bytes> {
    let SourceBlock { block, certificate } = source.finalised(height).await?;
    let Some(block) = ChainBlock::new(block) else {
        source.blame();
        return None;
    };
    match key {
        Key::Finalized { .. } => Some([certificate?, block.encode().to_vec()].concat().into()),
        Key::Block(digest) if block.digest() == *digest => Some(block.encode()),
        Key::Block(_) => {
            source.blame();
            None
        }
        Key::Notarized { .. } => None,
    }
}

/// Gets what block storage asks for until it is gone.
pub(crate) async fn fetch<E: Runtime, S: Source>(
    clock: E,
    source: S,
    mut fetching: Fetching,
    mut handler: Handler<BlockDigest>,
) {
    let clock = Arc::new(clock);
    let attempt = |key: BlockKey, height: Height, wait: Duration| -> BoxFuture<'static, Got> {
        let (source, clock) = (source.clone(), Arc::clone(&clock));
        async move {
            clock.sleep(wait).await;
            let bytes = answer(&source, &key, height).await;
            Got::Bytes(key, bytes)
        }
        .boxed()
    };
    let mut wanted: BTreeMap<BlockKey, Subscribers> = BTreeMap::new();
    let mut running: FuturesUnordered<BoxFuture<'static, Got>> = FuturesUnordered::new();
    loop {
        select! {
            command = fetching.commands.next() => match command {
                None => return,
                Some(Command::Retain(predicate)) => wanted.retain(|key, subscribers| {
                    subscribers.retain(|(annotation, _)| predicate(key, annotation));
                    !subscribers.is_empty()
                }),
                Some(Command::Fetch(Fetch { key, subscriber, span })) => {
                    let is_new = !wanted.contains_key(&key);
                    let subscribers = wanted.entry(key).or_default();
                    subscribers.push((subscriber, span));
                    match height_of(&key, subscribers) {
                        Some(height) if is_new => running.push(attempt(key, height, Duration::ZERO)),
                        Some(_) => {},
                        // Only consensus asks so, and there is none here.
                        None => drop(wanted.remove(&key)),
                    }
                },
            },
            got = next(&mut running) => match got {
                Got::Bytes(key, bytes) => {
                    let Some(subscribers) = wanted.remove(&key) else { continue };
                    let Some(height) = height_of(&key, &subscribers) else { continue };
                    let Some(bytes) = bytes else {
                        wanted.insert(key, subscribers);
                        running.push(attempt(key, height, RETRY));
                        continue;
                    };
                    let Ok(delivered) = NonEmptyVec::try_from(subscribers.clone()) else { continue };
                    let judged = handler.deliver(Delivery { key, subscribers: delivered }, bytes);
                    running.push(async move { Got::Judged(key, subscribers, judged.await.ok()) }.boxed());
                },
                Got::Judged(key, subscribers, outcome) => {
                    let is_done = matches!(
                        outcome,
                        None | Some(Outcome::Ignored | Outcome::Resolved(Resolution::Complete))
                    );
                    if outcome == Some(Outcome::Invalid) {
                        source.blame();
                    }
                    if !is_done && let Some(height) = height_of(&key, &subscribers) {
                        wanted.entry(key).or_default().extend(subscribers);
                        running.push(attempt(key, height, RETRY));
                    }
                },
            },
        }
    }
}

/// The next attempt that ends; never if none runs.
async fn next(running: &mut FuturesUnordered<BoxFuture<'static, Got>>) -> Got {
    match running.next().await {
        Some(got) => got,
        None => std::future::pending().await,
    }
}

/// Asks block storage to get each block as it becomes final, and some ahead of the newest executed one while there are many.
pub(crate) async fn hint<E: Runtime, S: Source>(
    clock: E,
    source: S,
    core: Arc<Core>,
    marshal: Marshal,
) {
    let mut tips = core.watch_tip();
    let (mut newest, mut hinted) = (Height::ZERO, core.tip().height);
    let mut heights = source.heights().await;
    loop {
        let limit = core.tip().height.get().saturating_add(WINDOW);
        while hinted.get() < newest.get().min(limit) {
            hinted = Height(hinted.get().saturating_add(1));
            let targets = NonEmptyVec::new(core.identity.clone());
            marshal.hint_finalized(ConsensusHeight::new(hinted.get()), targets);
        }
        select! {
            height = heights.next() => match height {
                Some(height) => newest = newest.max(height),
                None => {
                    clock.sleep(RETRY).await;
                    heights = source.heights().await;
                },
            },
            changed = tips.changed() => if changed.is_err() { return },
        }
    }
}

/// Passes transactions of this node's clients on, until the chain is gone.
pub(crate) async fn forward<E: Runtime, S: Source>(
    clock: E,
    source: S,
    core: Arc<Core>,
    mut local: mpsc::Receiver<SignedTx>,
) {
    let clock = Arc::new(clock);
    let pass = |tx: SignedTx| {
        let (source, clock, core) = (source.clone(), Arc::clone(&clock), Arc::clone(&core));
        async move {
            let digest = tx.digest();
            while core.is_waiting(&digest) {
                match source.forward(tx.clone()).await {
                    Forwarded::Taken => return,
                    Forwarded::Refused => return core.drop_tx(&digest),
                    Forwarded::Later => clock.sleep(RETRY).await,
                }
            }
        }
        .boxed()
    };
    let mut passing: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    loop {
        let is_full = passing.len() >= FORWARDS_MAX;
        select! {
            tx = async { if is_full { std::future::pending().await } else { local.recv().await } } => {
                let Some(tx) = tx else { return };
                passing.push(pass(tx));
            },
            () = async { if passing.next().await.is_none() { std::future::pending().await } } => {},
        }
    }
}
