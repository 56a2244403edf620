//! A node that follows: it takes final blocks from another node, executes them and keeps its own store, and has no vote.
//!
//! Nothing that the other node says is believed. A block counts by its certificate, which is checked against those who have seats in its epoch, or
//! by the digest in a block that counts; and executing it must give the roots that it states.

use crate::{
    blobs::SoughtBlob,
    block::ChainBlock,
    engine::Runtime,
    genesis::{BlockDigest, Identity},
    handle::Marshal,
    light::LightClient,
    replica::Core,
    state_sync::Floor,
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
use commonware_utils::vec::NonEmptyVec;
use fairweir_types::{
    Block, Digest, Height, SignedTx, limits::DESCENDANTS_MAX, node_api::AskState,
};
use futures::{
    FutureExt as _, StreamExt as _,
    channel::mpsc as unbounded,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
    time::Duration,
};

/// Blocks above the newest executed one that are asked for: more than one proof spans, so that a block with a certificate of its own is among
/// them.
const WINDOW: u64 = DESCENDANTS_MAX as u64 + 2;
/// Transactions that are on their way to the other node at a time, one of each account; more wait in the pool.
const FORWARDS_MAX: usize = 64;
/// Time without a new block, and heartbeats of it, after which another node is asked: a chain makes a block at every heartbeat, so a node that
/// gives none may keep them back.
const QUIET_MIN: Duration = Duration::from_secs(30);
const QUIET_HEARTBEATS: u32 = 10;
/// Time before something is asked for again.
const RETRY: Duration = Duration::from_millis(200);
/// How long a transaction that another node took may stay away before it is passed on again.
const FORWARD_AGAIN: Duration = Duration::from_secs(10);

/// A final block of another node.
#[derive(Clone, Debug)]
pub struct SourceBlock {
    /// The block.
    pub block: Block,
    /// Its encoded finality certificate; none if it became final with a later block.
    pub certificate: Option<Vec<u8>>,
    /// The turn of the node that gave it: see [`Source::blame`].
    pub turn: usize,
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

/// What another node answers who asks for a part of its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateAnswer {
    /// Bytes that may be the part.
    Part(Vec<u8>),
    /// The node does not hold that state any more.
    Gone,
    /// The node was not reached, or others ask it now.
    Later,
}

/// Another node, as a source of final blocks. It may fail and lie; an implementation with several nodes turns to the next after
/// [`Source::blame`].
pub trait Source: Clone + Send + Sync + 'static {
    /// Heights of final blocks: the newest at once, then each as it becomes final. Ends when the other node is gone.
    fn heights(&self) -> impl Future<Output = BoxStream<'static, Height>> + Send;
    /// The final block at a height, if the other node has it and is reached.
    fn finalised(&self, height: Height) -> impl Future<Output = Option<SourceBlock>> + Send;
    /// A newest final block with a certificate of its own. The light client comes with the validators of the genesis or of later, and is told of the blocks that handed
    /// seats over since, as far as the node shows them.
    fn floor(&self, light: &mut LightClient) -> impl Future<Output = Option<SourceBlock>> + Send;
    /// A part of the state, and the turn of the node that answered: see [`Source::leave`].
    fn state(&self, ask: AskState) -> impl Future<Output = (usize, StateAnswer)> + Send;
    /// Passes a transaction on.
    fn forward(&self, tx: SignedTx) -> impl Future<Output = Forwarded> + Send;
    /// A blob of its clients, or of other nodes' clients.
    fn blob(&self, _digest: Digest) -> impl Future<Output = SoughtBlob> + Send {
        std::future::ready(SoughtBlob::Nowhere)
    }
    /// Hands a blob on, so that others find it there; whether that was done.
    fn keep_blob(&self, _blob: Vec<u8>) -> impl Future<Output = bool> + Send {
        std::future::ready(false)
    }
    /// Says that the node of a turn gave something that does not hold. Several blocks are asked for at a time: it is left once, and the next one is not
    /// left for what it gave.
    fn blame(&self, turn: usize);
    /// Says that nothing new came for long: another node may know more.
    fn look_elsewhere(&self);
    /// Says that the node of a turn gave a part of the state that does not hold, or none. Many parts are asked for at a time: one that answers badly is left once, not once for
    /// each, or the others would be left with it. Whether this was the first to say so of that turn.
    fn leave(&self, turn: usize, gave: BadPart) -> bool {
        match gave {
            BadPart::Wrong => self.blame(turn),
            BadPart::Missing => self.look_elsewhere(),
        }
        true
    }
}

/// What is wrong with an answer to a question for a part of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPart {
    /// It does not hold.
    Wrong,
    /// There is none, or none for long.
    Missing,
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
    Bytes(BlockKey, Option<Given>),
    /// What block storage made of them for those who waited then, `None` if nobody needed them any more; and whose they were.
    Judged(BlockKey, Subscribers, Option<Outcome>, Option<usize>),
}

/// Bytes for block storage.
struct Given {
    bytes: Bytes,
    /// The turn of the node that gave them; none for the block at which this one begins.
    turn: Option<usize>,
}

/// The height at which a question's block stands, if the question tells, or it is the block at which the node begins.
fn height_of(
    key: &BlockKey,
    subscribers: &[(Annotation, tracing::Span)],
    floor: Option<&Floor>,
) -> Option<Height> {
    if let (Key::Block(digest), Some(floor)) = (key, floor)
        && floor.block(digest).is_some()
        && !subscribers.is_empty()
    {
        return Some(floor.height());
    }
    let height = match key {
        Key::Finalized { height } => subscribers.first().map(|_| *height),
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
async fn answer<S: Source>(
    source: &S,
    key: &BlockKey,
    height: Height,
    floor: Option<&Floor>,
) -> Option<Given> {
    if let (Key::Block(digest), Some(floor)) = (key, floor)
        && let Some(block) = floor.block(digest)
    {
        let bytes = block.encode();
        return Some(Given { bytes, turn: None });
    }
    let SourceBlock {
        block,
        certificate,
        turn,
    } = source.finalised(height).await?;
    let Some(block) = ChainBlock::new(block) else {
        source.blame(turn);
        return None;
    };
    let given = |bytes| {
        let turn = Some(turn);
        Some(Given { bytes, turn })
    };
    match key {
        Key::Finalized { .. } => given([certificate?, block.encode().to_vec()].concat().into()),
        Key::Block(digest) if block.digest() == *digest => given(block.encode()),
        Key::Block(_) => {
            source.blame(turn);
            None
        }
        Key::Notarized { .. } => None,
    }
}

/// Gets what block storage asks for until it is gone. Each question has one attempt at a time, however often it is asked.
pub(crate) async fn fetch<E: Runtime, S: Source>(
    clock: E,
    source: S,
    mut fetching: Fetching,
    mut handler: Handler<BlockDigest>,
    floor: Option<Floor>,
) {
    let clock = Arc::new(clock);
    let attempt = |key: BlockKey, height: Height, wait: Duration| -> BoxFuture<'static, Got> {
        let (source, clock, floor) = (source.clone(), Arc::clone(&clock), floor.clone());
        async move {
            clock.sleep(wait).await;
            let bytes = answer(&source, &key, height, floor.as_ref()).await;
            Got::Bytes(key, bytes)
        }
        .boxed()
    };
    // A key stays here while an attempt runs, also when nobody waits for it any more.
    let mut wanted: BTreeMap<BlockKey, Subscribers> = BTreeMap::new();
    let mut running: FuturesUnordered<BoxFuture<'static, Got>> = FuturesUnordered::new();
    loop {
        select! {
            command = fetching.commands.next() => match command {
                None => return,
                Some(Command::Retain(predicate)) => {
                    for (key, subscribers) in &mut wanted {
                        subscribers.retain(|(annotation, _)| predicate(key, annotation));
                    }
                },
                Some(Command::Fetch(Fetch { key, subscriber, span })) => {
                    let asked = vec![(subscriber, span)];
                    // Without a height only consensus asks, and there is none here.
                    let Some(height) = height_of(&key, &asked, floor.as_ref()) else { continue };
                    if let Some(subscribers) = wanted.get_mut(&key) {
                        attach(subscribers, asked);
                    } else {
                        wanted.insert(key, asked);
                        running.push(attempt(key, height, Duration::ZERO));
                    }
                },
            },
            got = next(&mut running) => match got {
                Got::Bytes(key, bytes) => {
                    let Some(subscribers) = wanted.get_mut(&key) else { continue };
                    let Some(height) = height_of(&key, subscribers, floor.as_ref()) else {
                        wanted.remove(&key);
                        continue;
                    };
                    let Some(Given { bytes, turn }) = bytes else {
                        running.push(attempt(key, height, RETRY));
                        continue;
                    };
                    let waiting = std::mem::take(subscribers);
                    let Ok(delivered) = NonEmptyVec::try_from(waiting.clone()) else { continue };
                    let judged = handler.deliver(Delivery { key, subscribers: delivered }, bytes);
                    running.push(async move { Got::Judged(key, waiting, judged.await.ok(), turn) }.boxed());
                },
                Got::Judged(key, waiting, outcome, turn) => {
                    let is_done = matches!(
                        outcome,
                        None | Some(Outcome::Ignored | Outcome::Resolved(Resolution::Complete))
                    );
                    if let (Some(Outcome::Invalid), Some(turn)) = (outcome, turn) {
                        source.blame(turn);
                    }
                    let Some(subscribers) = wanted.get_mut(&key) else { continue };
                    if !is_done {
                        attach(subscribers, waiting);
                    }
                    match height_of(&key, subscribers, floor.as_ref()) {
                        Some(height) => running.push(attempt(key, height, RETRY)),
                        None => drop(wanted.remove(&key)),
                    }
                },
            },
        }
    }
}

/// Lets more wait for a block, each of a sort once.
fn attach(subscribers: &mut Subscribers, more: Subscribers) {
    for (annotation, span) in more {
        if subscribers.iter().all(|(known, _)| *known != annotation) {
            subscribers.push((annotation, span));
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
    let quiet_max = QUIET_MIN.max(core.config.heartbeat.saturating_mul(QUIET_HEARTBEATS));
    let mut tips = core.watch_tip();
    let (mut newest, mut hinted) = (Height::ZERO, core.tip().height);
    let (mut moved, mut last) = (clock.current(), core.tip().height);
    let mut heights = source.heights().await;
    loop {
        if core.tip().height > last {
            (moved, last) = (clock.current(), core.tip().height);
        }
        // Certificates of the next epoch are checked once it is known who votes in it.
        let tip = core.tip().height;
        let known = core.epochs.last(core.epochs.after(tip)).get();
        let limit = tip.get().saturating_add(WINDOW).min(known);
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
                    // What a node that is gone told of may never have been.
                    newest = core.tip().height;
                    heights = source.heights().await;
                },
            },
            changed = tips.changed() => if changed.is_err() { return },
            _ = clock.sleep_until(moved + quiet_max) => {
                source.look_elsewhere();
                (moved, newest) = (clock.current(), core.tip().height);
                heights = source.heights().await;
            },
        }
    }
}

/// Passes on the next transaction of each account that waits here, until the chain is gone. What another node took and nobody sees in
/// a block is passed on again: the next node may be honest.
pub(crate) async fn forward<E: Runtime, S: Source>(clock: E, source: S, core: Arc<Core>) {
    let clock = Arc::new(clock);
    let pass = |tx: SignedTx| {
        let (source, clock, core) = (source.clone(), Arc::clone(&clock), Arc::clone(&core));
        async move {
            let digest = tx.digest();
            match source.forward(tx).await {
                Forwarded::Taken => {
                    let begun = clock.current();
                    let is_early = || clock.current() < begun + FORWARD_AGAIN;
                    while core.is_waiting(&digest) && is_early() {
                        clock.sleep(RETRY).await;
                    }
                }
                Forwarded::Refused => core.drop_tx(&digest),
                Forwarded::Later => clock.sleep(RETRY).await,
            }
            digest
        }
        .boxed()
    };
    let mut changes = core.watch_pool();
    let mut on_their_way: BTreeSet<Digest> = BTreeSet::new();
    let mut passing: FuturesUnordered<BoxFuture<'static, Digest>> = FuturesUnordered::new();
    loop {
        let room = FORWARDS_MAX.saturating_sub(passing.len());
        for tx in core.next_of_each(room, |digest| on_their_way.contains(digest)) {
            on_their_way.insert(tx.digest());
            passing.push(pass(tx));
        }
        select! {
            changed = changes.changed() => if changed.is_err() { return },
            digest = async {
                match passing.next().await {
                    Some(digest) => digest,
                    None => std::future::pending().await,
                }
            } => {
                on_their_way.remove(&digest);
            },
        }
    }
}
