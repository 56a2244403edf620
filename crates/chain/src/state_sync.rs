//! Copies the state of other nodes at a block that is proven final, for a node whose disk is empty.
//!
//! The other nodes are not believed. Where the copy begins, the *floor*, is a block whose certificate is checked by those who had the seats of its epoch, from
//! the genesis on; every part of the state must belong to the root in that block's header. What does not is dropped, and the next node is asked.

use crate::{
    block::ChainBlock,
    config::{ChainConfig, SyncMode},
    engine::Runtime,
    error::StartError,
    follow::{BadPart, Source, SourceBlock, StateAnswer},
    genesis::{BlockDigest, Finalization},
    light::{LightClient, LightError},
    qmdb::{self, Operation, Response},
    replica::Core,
    watched::Watched,
    wiring::Plan,
};
use commonware_codec::{Copying, Decode as _, DecodeExt as _, Encode as _};
use commonware_cryptography::Digestible as _;
use commonware_glue::stateful::db::{AttachableResolver, Shared};
use commonware_macros::select;
use commonware_storage::{
    mmr::Family,
    qmdb::sync::{self, Request, source},
};
use fairweir_types::{BlockHeader, Height, limits::VALIDATORS_MAX, node_api::AskState};
use futures::{FutureExt as _, future::BoxFuture};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

/// Blocks that are executed rather than skipped, where the node may choose: some seconds of work.
const NEAR: u64 = 10_000;
/// Time before something is asked for again.
const RETRY: Duration = Duration::from_millis(200);
/// The same where no node says where the chain is.
const RETRY_FLOOR: Duration = Duration::from_secs(1);
/// How many nodes in a row may say that they do not hold the state any more, before a newer one is copied. The same few may be asked over and over.
const GONE_MAX: usize = 16;
/// How often the first block is asked for, to see whether a node has it: for some seconds, so that a moment without the network is no reason to copy.
const TRIES: usize = 25;
/// How often in a row a node may say that others ask it now, before another one is asked: some seconds.
const LATER_MAX: usize = 25;
/// How long the first node that is asked may take to show its newest block, and who has the seats in its epoch; who is asked after one that took longer may take twice as
/// long, up to the second figure: old chains have many handovers, and a way may be slow.
const FLOOR_WITHIN: Duration = Duration::from_secs(300);
const FLOOR_WITHIN_MAX: Duration = Duration::from_secs(86_400);
/// Age of a newest block from which on other nodes are asked for a newer one, and how often.
const OLD: Duration = Duration::from_secs(3_600);
const OLD_TRIES: usize = 8;

/// How far the copy of a state is. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SyncProgress {
    inner: Arc<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    height: AtomicU64,
    copied: AtomicU64,
    of: AtomicU64,
}

impl SyncProgress {
    /// The block whose state is copied, the operations that came, and how many there are; none while nothing is copied.
    #[must_use]
    pub fn get(&self) -> Option<(Height, u64, u64)> {
        let of = self.inner.of.load(Ordering::Relaxed);
        let copied = self.inner.copied.load(Ordering::Relaxed);
        let height = Height(self.inner.height.load(Ordering::Relaxed));
        (of > 0).then_some((height, copied.min(of), of))
    }

    fn begin(&self, header: &BlockHeader) {
        let range = header
            .state_range_end
            .saturating_sub(header.state_range_start);
        self.inner
            .height
            .store(header.height.get(), Ordering::Relaxed);
        self.inner.copied.store(0, Ordering::Relaxed);
        self.inner.of.store(range, Ordering::Relaxed);
    }

    fn add(&self, operations: usize) {
        let more = u64::try_from(operations).unwrap_or(u64::MAX);
        self.inner.copied.fetch_add(more, Ordering::Relaxed);
    }

    /// Nothing is copied any more.
    pub(crate) fn end(&self) {
        self.inner.of.store(0, Ordering::Relaxed);
    }
}

/// The block at which a node begins that copies the state.
#[derive(Clone)]
pub(crate) struct Floor(Arc<ChainBlock>);

impl Floor {
    /// Its height.
    pub(crate) fn height(&self) -> Height {
        self.0.header().height
    }

    /// The block, if it has this digest.
    pub(crate) fn block(&self, digest: &BlockDigest) -> Option<&ChainBlock> {
        (self.0.digest() == *digest).then_some(&self.0)
    }
}

/// Decides whether the state is copied, and at which block. Waits until a node says where the chain is, unless that does not matter.
///
/// A copy that was begun and not finished goes on, whatever is set.
pub(crate) async fn choose<E: Runtime, S: Source>(
    clock: &E,
    source: &S,
    core: &Core,
    plan: Plan<E>,
) -> Result<(Plan<E>, Option<Floor>), StartError> {
    let begun = plan.floor().map(Finalization::round);
    let is_wanted = core.config.sync != SyncMode::Blocks;
    if !plan.should_sync(is_wanted) {
        return Ok((plan, None));
    }
    // What a slow node proved of the seats need not be proven again by the next.
    let genesis = LightClient::new(&core.config.genesis).map_err(|error| match error {
        LightError::Genesis(error) => StartError::Genesis(error),
        _ => StartError::Stopped,
    })?;
    let mut light = genesis.clone();
    let (mut old, mut within) = (0_usize, FLOOR_WITHIN);
    loop {
        let shown = select! {
            shown = proven(source, &mut light) => {
                if shown.is_none() {
                    // Validators of long ago may have led it to seats of their own, and then nothing of an honest node would hold.
                    light = genesis.clone();
                }
                shown
            },
            () = clock.sleep(within) => {
                within = within.saturating_mul(2).min(FLOOR_WITHIN_MAX);
                source.look_elsewhere();
                None
            },
        };
        let Some((block, finalization)) = shown else {
            tracing::info!("no node has shown a final block yet");
            clock.sleep(RETRY_FLOOR).await;
            continue;
        };
        let header = block.header();
        let made = UNIX_EPOCH + Duration::from_millis(header.time.get());
        let age = clock.current().duration_since(made).unwrap_or_default();
        // The chain may stand still; or this node keeps an old state, and nobody has the blocks since then any more.
        if age > OLD {
            old = old.saturating_add(1);
            tracing::warn!(height = %header.height, hours = age.as_secs() / 3_600, "a node's newest block is old");
            if old < OLD_TRIES {
                source.look_elsewhere();
                clock.sleep(RETRY_FLOOR).await;
                continue;
            }
        }
        if begun.is_none()
            && core.config.sync == SyncMode::Auto
            && is_near(clock, source, header).await
        {
            return Ok((plan, None));
        }
        if begun.is_some_and(|begun| finalization.round() < begun) {
            // It is behind the one of which a part is here already.
            source.look_elsewhere();
            clock.sleep(RETRY_FLOOR).await;
            continue;
        }
        let epoch = header.epoch;
        let Some(scheme) = light.scheme_of(epoch) else {
            continue;
        };
        core.schemes.learn(epoch, scheme);
        core.config.progress.begin(header);
        tracing::info!(height = %header.height, from = header.state_range_start, to = header.state_range_end, "the state is copied");
        let floor = Floor(Arc::new(block));
        return Ok((plan.set_floor(finalization).await, Some(floor)));
    }
}

/// Whether a store has no state yet, or a part of one.
pub(crate) async fn is_missing<E: Runtime>(context: &E, config: &ChainConfig) -> bool {
    let plan: Plan<E> = Plan::init(context.child("look"), &config.partition_prefix).await;
    plan.should_sync(true)
}

/// A newest block whose certificate holds; the light client comes to know who has the seats of its epoch.
async fn proven<S: Source>(
    source: &S,
    light: &mut LightClient,
) -> Option<(ChainBlock, Finalization)> {
    let SourceBlock {
        block,
        certificate,
        turn,
    } = source.floor(light).await?;
    let certificate = certificate?;
    let checked = light.verify(&block.header, &certificate);
    let is_a_state = block.header.state_range_start < block.header.state_range_end;
    if let Err(error) = &checked {
        tracing::warn!(code = error.code(), %error, "a node's newest block is not proven final");
    }
    let finalization = Finalization::decode_cfg(Copying(certificate.as_slice()), &VALIDATORS_MAX);
    // Read as one that comes over the network: the certificate is over the header, and only reading looks at the rest.
    let block = ChainBlock::decode(block.encode());
    match (checked, block, finalization) {
        (Ok(_), Ok(block), Ok(finalization)) if is_a_state => Some((block, finalization)),
        _ => {
            source.blame(turn);
            None
        }
    }
}

/// Whether all blocks can be executed in little time: there are few, and the node has the first.
async fn is_near<E: Runtime, S: Source>(clock: &E, source: &S, newest: &BlockHeader) -> bool {
    if newest.height.get() > NEAR {
        return false;
    }
    for _ in 0..TRIES {
        if source.finalised(Height(1)).await.is_some() {
            return true;
        }
        clock.sleep(RETRY).await;
    }
    false
}

/// Other nodes, as the copy asks them.
trait Remote: Send + Sync {
    /// A part of the state.
    fn ask(&self, ask: AskState) -> BoxFuture<'static, (usize, StateAnswer)>;
    /// The node of a turn gave what does not hold, or nothing: another is asked. Whether this was the first question to say so.
    fn leave(&self, turn: usize, gave: BadPart) -> bool;
    /// Waits before something is asked for again.
    fn wait(&self) -> BoxFuture<'static, ()>;
}

struct Nodes<E, S> {
    clock: Arc<E>,
    source: S,
}

impl<E: Runtime, S: Source> Remote for Nodes<E, S> {
    fn ask(&self, ask: AskState) -> BoxFuture<'static, (usize, StateAnswer)> {
        let source = self.source.clone();
        async move { source.state(ask).await }.boxed()
    }

    fn leave(&self, turn: usize, gave: BadPart) -> bool {
        self.source.leave(turn, gave)
    }

    fn wait(&self) -> BoxFuture<'static, ()> {
        let clock = Arc::clone(&self.clock);
        async move { clock.sleep(RETRY).await }.boxed()
    }
}

struct Copied {
    remote: Box<dyn Remote>,
    /// The root of the log of operations in the floor's header.
    root: BlockDigest,
    /// How many operations that root is over.
    size: u64,
    progress: SyncProgress,
    /// How many nodes in a row said that they do not hold it any more.
    gone: AtomicUsize,
    given_up: Watched<bool>,
}

/// Where the store's library gets the state from: from nowhere, at a node that executes every block.
#[derive(Clone)]
pub(crate) struct StateSource(Option<Arc<Copied>>);

/// This node copies no state from others.
#[derive(Debug, thiserror::Error)]
#[error("this node copies no state from others")]
pub(crate) struct NoStateSync;

impl StateSource {
    /// No state is copied.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// The state at a floor, from other nodes.
    pub(crate) fn of<E: Runtime, S: Source>(
        clock: E,
        source: S,
        floor: &Floor,
        progress: SyncProgress,
    ) -> Self {
        let clock = Arc::new(clock);
        Self(Some(Arc::new(Copied {
            remote: Box::new(Nodes { clock, source }),
            root: BlockDigest::from(floor.0.header().state_ops_root.0),
            size: floor.0.header().state_range_end,
            progress,
            gone: AtomicUsize::new(0),
            given_up: Watched::new(false),
        })))
    }

    /// Waits until no node holds the state any more.
    pub(crate) async fn given_up(&self) {
        let Some(copied) = &self.0 else {
            return std::future::pending().await;
        };
        let mut given_up = copied.given_up.watch();
        // The value lives as long as this future.
        let _ = given_up.wait_for(|given_up| *given_up).await;
    }
}

impl Copied {
    /// What the bytes of another node are, if they answer the request and belong to the floor's root.
    fn check(&self, request: &Request<Family>, bytes: &[u8]) -> Option<Response> {
        let response = qmdb::response(request, bytes)?;
        let is_the_floors = *request.size() == self.size;
        (is_the_floors && qmdb::holds(request, &self.root, &response)).then_some(response)
    }
}

impl sync::Source for StateSource {
    type Family = Family;
    type Digest = BlockDigest;
    type Op = Operation;
    type Error = NoStateSync;

    /// Asks until an answer holds. The library would fail for good after one that does not.
    async fn serve(&self, request: Request<Family>) -> source::Result<Self> {
        let Some(copied) = &self.0 else {
            return Err(NoStateSync);
        };
        // How often in a row the node of a turn said that others ask it.
        let (mut busy_turn, mut later) = (None, 0_usize);
        loop {
            let (turn, answer) = copied.remote.ask(qmdb::question(&request)).await;
            match answer {
                StateAnswer::Part(bytes) => {
                    if let Some(response) = copied.check(&request, &bytes) {
                        copied.gone.store(0, Ordering::Relaxed);
                        copied.progress.add(qmdb::operations(&response));
                        return Ok((response, None));
                    }
                    copied.remote.leave(turn, BadPart::Wrong);
                }
                StateAnswer::Gone => {
                    // Many parts are asked for at a time; each node counts once.
                    let is_news = copied.remote.leave(turn, BadPart::Missing);
                    if is_news && copied.gone.fetch_add(1, Ordering::Relaxed) >= GONE_MAX {
                        copied.given_up.set(true);
                    }
                }
                // Busy for a moment is no reason to leave a node, busy for long is.
                StateAnswer::Later => {
                    if busy_turn.replace(turn) != Some(turn) {
                        later = 0;
                    }
                    later = later.saturating_add(1);
                    if later >= LATER_MAX {
                        later = 0;
                        copied.remote.leave(turn, BadPart::Missing);
                    }
                }
            }
            copied.remote.wait().await;
        }
    }
}

impl<DB: Send + Sync + 'static> AttachableResolver<DB> for StateSource {
    /// Others ask by another way.
    async fn attach_database(&self, _: Shared<DB>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_utils::sync::Mutex;
    use std::{collections::VecDeque, future::ready};

    /// A small generator: the test needs variety, not randomness.
    fn next(seed: &mut u64) -> u8 {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        seed.to_be_bytes()[0]
    }

    #[test]
    fn bytes_from_nobody_knows_where_are_no_part() {
        let ask = AskState {
            size: 40,
            start: 7,
            max: 5,
            is_boundary: false,
        };
        let asked = [
            ask,
            AskState {
                is_boundary: true,
                max: 1,
                ..ask
            },
        ];
        for ask in asked {
            let request = qmdb::request(&ask).expect("a question for something");
            assert_eq!(qmdb::question(&request), ask);
            let mut seed = 3;
            for length in 0..4_000_usize {
                let mut bytes: Vec<u8> = (0..length % 400).map(|_| next(&mut seed)).collect();
                if let Some(first) = bytes.first_mut() {
                    *first %= 3;
                }
                let root = BlockDigest::from([next(&mut seed); 32]);
                let read = qmdb::response(&request, &bytes);
                assert!(!read.is_some_and(|read| qmdb::holds(&request, &root, &read)));
            }
        }
        // Nothing is asked for where there is nothing.
        assert_eq!(qmdb::request(&AskState { start: 40, ..ask }), None);
        assert_eq!(qmdb::request(&AskState { max: 0, ..ask }), None);
    }

    /// Nodes that do not give a part, and are silent in the end.
    struct Unwilling {
        /// The turn and the answer of each question.
        answers: Mutex<VecDeque<(usize, StateAnswer)>>,
        /// The turns that were left.
        left: Arc<Mutex<Vec<usize>>>,
        /// Whether another question left them before.
        is_left_before: bool,
    }

    impl Remote for Unwilling {
        fn ask(&self, _: AskState) -> BoxFuture<'static, (usize, StateAnswer)> {
            match self.answers.lock().pop_front() {
                Some(answer) => ready(answer).boxed(),
                None => std::future::pending().boxed(),
            }
        }

        fn leave(&self, turn: usize, gave: BadPart) -> bool {
            assert_eq!(gave, BadPart::Missing);
            self.left.lock().push(turn);
            !self.is_left_before
        }

        fn wait(&self) -> BoxFuture<'static, ()> {
            ready(()).boxed()
        }
    }

    /// The turns that are left after these answers, and whether the copy was given up.
    fn left_after(
        answers: impl Iterator<Item = (usize, StateAnswer)>,
        is_left_before: bool,
    ) -> (Vec<usize>, bool) {
        let left = Arc::default();
        let remote = Unwilling {
            answers: Mutex::new(answers.collect()),
            left: Arc::clone(&left),
            is_left_before,
        };
        let source = StateSource(Some(Arc::new(Copied {
            remote: Box::new(remote),
            root: BlockDigest::from([0; 32]),
            size: 40,
            progress: SyncProgress::default(),
            gone: AtomicUsize::new(0),
            given_up: Watched::new(false),
        })));
        let ask = AskState {
            size: 40,
            start: 7,
            max: 5,
            is_boundary: false,
        };
        let request = qmdb::request(&ask).expect("a question for something");
        let served = sync::Source::serve(&source, request).now_or_never();
        assert!(served.is_none());
        let left = left.lock().clone();
        (left, source.given_up().now_or_never().is_some())
    }

    #[test]
    fn a_node_that_is_busy_for_long_is_left() {
        let busy = |turn, times| std::iter::repeat_n((turn, StateAnswer::Later), times);
        let left = left_after(busy(7, LATER_MAX), false);
        assert_eq!(left, (vec![7], false));
        // Another question left it before this one had to: the next node has as long.
        let almost = busy(7, LATER_MAX - 1).chain(busy(8, LATER_MAX - 1));
        assert_eq!(left_after(almost, false), (vec![], false));
        let long = busy(7, LATER_MAX - 1).chain(busy(8, LATER_MAX));
        assert_eq!(left_after(long, false), (vec![8], false));
    }

    #[test]
    fn a_copy_is_given_up_when_many_nodes_have_no_such_state() {
        let gone = |turns: usize| (0..turns).map(|turn| (turn, StateAnswer::Gone));
        let all = |turns: usize| (0..turns).collect::<Vec<_>>();
        assert_eq!(left_after(gone(GONE_MAX), false), (all(GONE_MAX), false));
        let more = GONE_MAX + 1;
        assert_eq!(left_after(gone(more), false), (all(more), true));
        // Those that another question counted are not counted again.
        assert_eq!(left_after(gone(more), true), (all(more), false));
    }

    #[test]
    fn progress_is_none_until_something_is_copied() {
        let progress = SyncProgress::default();
        assert_eq!(progress.get(), None);
        progress.inner.of.store(10, Ordering::Relaxed);
        progress.add(12);
        assert_eq!(progress.get(), Some((Height::ZERO, 10, 10)));
        progress.end();
        assert_eq!(progress.get(), None);
    }
}
