//! The seam between HTTP and the network: what is on offer, what it may cost, and answers as they come.

use core::fmt;
use fairweir_services::inference::{
    ModelId,
    chat::{ChatChunk, ChatOutput, ChatSpec, Prompt},
    embedding::{EmbeddingOutput, EmbeddingSpec},
};
use fairweir_types::{
    Address, Amount, Digest,
    order::{Demand, SlotId},
    relay::SignedRelay,
};
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelKind {
    /// Answers conversations and continues texts.
    Chat,
    /// Makes vectors of texts.
    Embedding,
}

/// A model that clients may ask for by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name.
    pub name: String,
    /// The model.
    pub id: ModelId,
    /// What it does.
    pub kind: ModelKind,
    /// Tokens of prompt and answer together.
    pub context: u32,
}

/// An order that a worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purchase {
    /// The slot, which the receipt is for.
    pub slot_id: SlotId,
    /// Who works on it.
    pub worker: Address,
    /// The most that it can cost, checks and fees included.
    pub price_max: Amount,
}

/// What comes of an order for an answer.
#[derive(Clone, Debug)]
pub enum ChatEvent {
    /// More of it.
    Chunk(ChatChunk),
    /// What came until now is not the answer, which begins anew: workers gave different ones, and others found the former wrong.
    Revoked,
    /// All of it: the last event.
    Done(Box<Done<ChatOutput>>),
    /// It will not come: the last event.
    Failed(MarketError),
}

/// What one worker was paid for of an answer that several made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// What its receipt is for.
    pub slot_id: SlotId,
    /// Who made it.
    pub worker: Address,
    /// What it costs the client.
    pub cost: Amount,
}

/// A whole output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<O> {
    /// The output.
    pub output: O,
    /// What its receipt is for: another slot than the one it was bought for, when a worker failed and the work went on elsewhere.
    pub slot_id: SlotId,
    /// The digest of that receipt.
    pub receipt: Digest,
    /// Who made it.
    pub worker: Address,
    /// What it costs when it is settled as it stands, checks and fees included.
    pub cost: Amount,
    /// What of the cost is for those who began it and did not come to its end, in their order; none for most answers.
    pub parts: Vec<Part>,
}

/// What a gateway relayed, by digests; see [`fairweir_types::relay::Relay`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// The slot that the receipt names.
    pub slot_id: SlotId,
    /// The receipt.
    pub receipt: Digest,
    /// The request's body.
    pub request: Digest,
    /// The answer.
    pub answer: Digest,
}

/// An order for an answer, under way. Dropping it stops the order: the worker is paid for what it made until then.
#[derive(Debug)]
pub struct ChatRun {
    /// The order.
    pub purchase: Purchase,
    /// The answer as it comes.
    pub events: mpsc::Receiver<ChatEvent>,
}

/// Takes what an order came to, even if nobody wants its answer any more; dropped without a word if it cost nothing.
pub type CostTeller = oneshot::Sender<Amount>;

/// Whose bill an order goes on.
#[derive(Debug)]
pub struct Bill {
    /// The id of the API key that asks. Its receipt holds question and answer, so this key alone may have it.
    pub key: String,
    /// What it came to.
    pub cost: CostTeller,
}

/// Vectors that were bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// The order.
    pub purchase: Purchase,
    /// The vectors.
    pub done: Done<EmbeddingOutput>,
}

/// Why nothing can be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MarketError {
    /// No worker took the order in time.
    #[error("no worker of the network can take this request now{}", .reasons.join("; "))]
    NoWorker {
        /// Why each candidate was not taken.
        reasons: Vec<String>,
    },
    /// The worker refused the order, as every honest one does: most likely it does not fit the model's context.
    #[error(
        "the model cannot take this request: most likely it has more tokens than the model's context, or messages that its template refuses"
    )]
    Refused,
    /// The order says what cannot be.
    #[error("{0}")]
    Spec(String),
    /// The gateway's account cannot pay.
    #[error("this gateway's account cannot pay for the request: {0}")]
    NoFunds(String),
    /// Orders hold as much as the stake behind a third of the seats secures.
    #[error("the network takes no more orders now, ask again in a while: {0}")]
    Full(String),
    /// The catalogue has the kind no more, or in a version that this gateway does not know.
    #[error("the network does not take this sort of work from this gateway now: {0}")]
    NotTaken(String),
    /// The network was not reached.
    #[error("the network was not reached: {0}")]
    Unreachable(String),
    /// What was told of the answer is wrong.
    #[error(
        "the worker that began this answer gave something wrong, as others found when they took its place: ask again"
    )]
    Revoked,
    /// The gateway stops.
    #[error("the gateway is shutting down")]
    Closed,
    /// The order failed on the network, and the ledger gave the money back.
    #[error("the order was refunded ({0})")]
    Refunded(String),
    /// The order failed on the network.
    #[error("the order failed: {0}")]
    Failed(String),
}

/// Where a request stands in a batch that its worker posted and that is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The batch.
    pub batch: SlotId,
    /// The offset into what the batch costs at which the request begins: what a challenge names.
    pub at: Amount,
}

/// Why there is no receipt.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReceiptError {
    /// The gateway does not know it, or no more.
    #[error("this gateway has no such receipt, or has it no more")]
    Unknown,
    /// It is not settled yet.
    #[error("the order is not settled yet; ask again")]
    NotSettled(Option<Claimed>),
    /// It was refunded.
    #[error("the order was refunded, there is no receipt")]
    Refunded,
    /// Nothing can be claimed any more, and nothing proves that the worker claimed what it gave.
    #[error(
        "the worker never claimed what it is owed for this request, or did not prove that it did: there is no receipt"
    )]
    Unclaimed,
    /// It could not be put together.
    #[error("{0}")]
    Market(#[from] MarketError),
}

/// Where answers come from.
pub trait Market: fmt::Debug + Send + Sync + 'static {
    /// The models that are on offer now.
    fn models(&self) -> BoxFuture<'_, Result<Vec<Model>, MarketError>>;

    /// The most that work with this demand can cost, checks and fees included.
    ///
    /// # Errors
    /// [`MarketError::Spec`] when no amount of money is that much.
    fn price_max(&self, demand: &Demand) -> Result<Amount, MarketError>;

    /// Buys an answer; resolves when a worker has the order. Dropping the future stops the order.
    fn chat(&self, spec: ChatSpec, bill: Bill) -> BoxFuture<'_, Result<ChatRun, MarketError>>;

    /// Buys vectors; resolves when they are there.
    fn embed(
        &self,
        spec: EmbeddingSpec,
        bill: Bill,
    ) -> BoxFuture<'_, Result<Embedded, MarketError>>;

    /// The receipt file of a slot, once it is settled, for the API key that bought it.
    fn receipt<'a>(
        &'a self,
        slot_id: SlotId,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Vec<u8>, ReceiptError>>;

    /// Signs with the gateway's key what it relayed.
    fn relay(&self, relayed: &Relayed) -> SignedRelay;

    /// Orders that workers are busy with.
    fn running(&self) -> usize;
}

/// Counts tokens before anything is bought.
pub trait TokenCounter: fmt::Debug + Send + Sync + 'static {
    /// Tokens of a prompt as the model's template and tokeniser make them; `None` if it cannot be known here, and why not if
    /// the model refuses the prompt. May take as long as tokenising takes: it is not called on a task that others wait for.
    fn count(&self, model: ModelId, prompt: &Prompt) -> Option<Result<u32, String>>;
}
