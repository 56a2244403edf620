//! What services need of the world outside: bytes by digest, and the chain.

use core::fmt::Debug;
use fairweir_types::{
    Action, ChainId, Digest, Event, Height, TxOutcome, Units,
    node_api::EventPage,
    order::{Demand, OrderId},
};
use futures::{FutureExt, SinkExt, Stream, channel::mpsc, future::BoxFuture};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use thiserror::Error;

/// Why a blob could not be had or kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BlobError {
    /// Nobody asked has it.
    #[error("no blob with digest {0}")]
    NotFound(Digest),
    /// It is longer than the caller takes.
    #[error("the blob is longer than {limit_bytes} bytes")]
    TooLarge {
        /// The limit that the caller gave.
        limit_bytes: usize,
    },
    /// What came back hashes to something else: whoever answered lies or is broken.
    #[error("the bytes hash to {found}, asked for {expected}")]
    DigestDiffers {
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// The store cannot be reached now.
    #[error("the blob store cannot be reached: {0}")]
    Unreachable(String),
    /// The store takes no more.
    #[error("the blob store is full")]
    Full,
}

impl BlobError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::NotFound(_) | Self::DigestDiffers { .. } | Self::Unreachable(_) => true,
            Self::TooLarge { .. } | Self::Full => false,
        }
    }

    /// Whether the store looked, and has no such bytes to give.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        match self {
            Self::NotFound(_) | Self::TooLarge { .. } | Self::DigestDiffers { .. } => true,
            Self::Unreachable(_) | Self::Full => false,
        }
    }
}

/// Content-addressed bytes. Object-safe, so that a pipeline holds an `Arc<dyn Blobs>`.
pub trait Blobs: Debug + Send + Sync + 'static {
    /// Gets the bytes with a digest ([`Digest::of_blob`]); the implementation checks the digest and keeps a deadline.
    ///
    /// # Errors
    /// [`BlobError`].
    fn get(&self, digest: Digest, limit_bytes: usize) -> BoxFuture<'_, Result<Vec<u8>, BlobError>>;

    /// Keeps bytes and says by which digest they are known.
    ///
    /// # Errors
    /// [`BlobError`].
    fn put(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<Digest, BlobError>>;
}

/// Why the chain did not answer, or would not take a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChainError {
    /// The node cannot be reached now.
    #[error("the node cannot be reached: {0}")]
    Unreachable(String),
    /// The answer did not come in time; the transaction may or may not be included.
    #[error("no answer in time")]
    DeadlinePassed,
    /// The node has no room now.
    #[error("the node is busy: {0}")]
    Busy(String),
    /// The node will not take it, however often it is asked.
    #[error("the node refuses: {reason} ({code})")]
    Refused {
        /// The stable code.
        code: String,
        /// In words.
        reason: String,
    },
    /// The node's answers contradict each other.
    #[error("the node's answers do not fit together: {0}")]
    Broken(String),
}

impl ChainError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::DeadlinePassed | Self::Busy(_) => true,
            Self::Refused { .. } | Self::Broken(_) => false,
        }
    }
}

/// An open order from before the events that a role follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastOrder {
    /// The block that it was posted in.
    pub posted: Height,
    /// The event that posted it, and those of the receipts that were handed in since.
    pub events: Vec<Event>,
}

/// The chain as one role sees it. The implementation holds the role's key.
pub trait ChainClient: Send + Sync + 'static {
    /// Pages of events, in order: at least one page per block from the first one yielded on, without gaps. The end of
    /// the stream means that the connection ended.
    type Events: Stream<Item = Result<EventPage, ChainError>> + Send + Unpin + 'static;

    /// The chain's id.
    fn chain_id(&self) -> &ChainId;

    /// Signs an action with the role's key, submits it and waits until it is final. The implementation sees to nonce,
    /// fee and expiry, and allows calls at the same time.
    ///
    /// # Errors
    /// [`ChainError`] when the transaction was not, or perhaps not, included. A refusal by the ledger is an outcome.
    fn submit(&self, action: Action) -> impl Future<Output = Result<TxOutcome, ChainError>> + Send;

    /// Follows the events of final blocks from a height on, past ones first.
    ///
    /// # Errors
    /// [`ChainError`].
    fn events(&self, from: Height)
    -> impl Future<Output = Result<Self::Events, ChainError>> + Send;

    /// Looks up an order that was posted before the events that are followed; `None` if it is not open.
    ///
    /// # Errors
    /// [`ChainError`].
    fn past_order(
        &self,
        order: OrderId,
    ) -> impl Future<Output = Result<Option<PastOrder>, ChainError>> + Send;
}

/// What an execution is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// A buyer waits for the output.
    #[default]
    Answer,
    /// A check: it may wait for answers, as long as it keeps its window.
    Check,
}

/// Where a buyer wants no more output: set once or lowered, read by the execution as it goes. Clones share it.
#[derive(Clone, Debug)]
pub struct StopAt {
    stop: Arc<AtomicU64>,
    credit: Arc<AtomicU64>,
    is_held: Arc<AtomicBool>,
}

impl Default for StopAt {
    fn default() -> Self {
        Self::new(u64::MAX, u64::MAX)
    }
}

impl StopAt {
    fn new(stop: u64, credit: u64) -> Self {
        Self {
            stop: Arc::new(AtomicU64::new(stop)),
            credit: Arc::new(AtomicU64::new(credit)),
            is_held: Arc::default(),
        }
    }

    /// No stop, but output is paid for so far only: the work waits there for more credit.
    #[must_use]
    pub fn credited(units: Units) -> Self {
        Self::new(u64::MAX, units.get())
    }

    /// More output is paid for. A lower number changes nothing.
    pub fn raise_credit(&self, units: Units) {
        self.credit.fetch_max(units.get(), Ordering::Relaxed);
    }

    /// Whether work that made so many output units must wait for credit; remembered for [`Self::is_held`].
    #[must_use]
    pub fn holds(&self, made: u64) -> bool {
        let holds = made >= self.credit.load(Ordering::Relaxed);
        self.is_held.store(holds, Ordering::Relaxed);
        holds
    }

    /// Whether the work waits for credit.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    /// A stop at so many output units.
    #[must_use]
    pub fn at(units: Units) -> Self {
        Self::new(units.get(), u64::MAX)
    }

    /// Stops there, or where it was to stop already if that is earlier.
    pub fn lower(&self, units: Units) {
        self.stop.fetch_min(units.get(), Ordering::Relaxed);
    }

    /// Output units after which to stop, if the buyer said so.
    #[must_use]
    pub fn get(&self) -> Option<Units> {
        let units = self.stop.load(Ordering::Relaxed);
        (units != u64::MAX).then_some(Units(units))
    }
}

/// What an execution may use.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// Bytes that the spec names by digest.
    pub blobs: &'a dyn Blobs,
    /// What the order allows at most.
    pub limits: &'a Demand,
    /// What it is for.
    pub purpose: Purpose,
    /// Where the buyer wants no more. A worker may stop there; a check stops exactly where the worker says it did.
    pub stop: &'a StopAt,
    /// For a check: what the worker says that makes it cheaper. It may lie, and must not change what is found.
    pub hint: &'a [u8],
}

impl<'a> Env<'a> {
    /// The world of a worker that answers a buyer.
    #[must_use]
    pub const fn answering(blobs: &'a dyn Blobs, limits: &'a Demand, stop: &'a StopAt) -> Self {
        Self {
            blobs,
            limits,
            purpose: Purpose::Answer,
            stop,
            hint: &[],
        }
    }

    /// The world of a check: of work that stopped there, with the worker's hint.
    #[must_use]
    pub const fn checking(
        blobs: &'a dyn Blobs,
        limits: &'a Demand,
        stop: &'a StopAt,
        hint: &'a [u8],
    ) -> Self {
        Self {
            blobs,
            limits,
            purpose: Purpose::Check,
            stop,
            hint,
        }
    }
}

/// Nobody takes chunks any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("nobody takes the output any more")]
pub struct OutletClosed;

/// Where an execution puts chunks of its output as they come. Bounded: `emit` waits for room.
pub trait Outlet: Send {
    /// Hands on one chunk.
    ///
    /// # Errors
    /// [`OutletClosed`].
    fn emit(&mut self, chunk: Vec<u8>) -> BoxFuture<'_, Result<(), OutletClosed>>;
}

/// Takes every chunk and drops it: for checks, and for orders without a waiting buyer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Outlet for Discard {
    fn emit(&mut self, _: Vec<u8>) -> BoxFuture<'_, Result<(), OutletClosed>> {
        std::future::ready(Ok(())).boxed()
    }
}

impl Outlet for mpsc::Sender<Vec<u8>> {
    fn emit(&mut self, chunk: Vec<u8>) -> BoxFuture<'_, Result<(), OutletClosed>> {
        async move { self.send(chunk).await.map_err(|_| OutletClosed) }.boxed()
    }
}
