//! Where an order's output goes.

use crate::market::{ChatEvent, Done, MarketError, Part};
use fairweir_services::inference::{
    chat::{ChatChunk, ChatOutput},
    embedding::EmbeddingOutput,
};
use fairweir_types::{Amount, decode, node_api::Delivery};
use tokio::{
    sync::{mpsc, oneshot},
    task::yield_now,
};

/// Who waits for an output.
#[derive(Debug)]
pub(super) enum Outlet {
    Chat(mpsc::Sender<ChatEvent>),
    Embedding(Option<oneshot::Sender<Result<Done<EmbeddingOutput>, MarketError>>>),
}

impl Outlet {
    pub(super) const fn is_chat(&self) -> bool {
        matches!(self, Self::Chat(_))
    }

    /// Whether nobody waits any more.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Chat(sender) => sender.is_closed(),
            Self::Embedding(sender) => sender.as_ref().is_none_or(oneshot::Sender::is_closed),
        }
    }

    /// Resolves when nobody waits any more.
    pub(super) async fn closed(&mut self) {
        match self {
            Self::Chat(sender) => sender.closed().await,
            Self::Embedding(Some(sender)) => sender.closed().await,
            Self::Embedding(None) => {}
        }
    }

    /// Hands a part on; waits while the reader is slow, and says whether it is there.
    pub(super) async fn part(&mut self, chunk: ChatChunk) -> bool {
        match self {
            Self::Chat(sender) => sender.send(ChatEvent::Chunk(chunk)).await.is_ok(),
            Self::Embedding(_) => true,
        }
    }

    /// Lets what was handed on go out first: the last words come with the whole, which is checked and written down.
    pub(super) async fn give_way(&self) {
        if self.is_chat() {
            yield_now().await;
        }
    }

    /// Says that what was handed on is not the answer, which begins anew.
    pub(super) async fn revoke(&mut self) {
        if let Self::Chat(sender) = self {
            let _ = sender.send(ChatEvent::Revoked).await;
        }
    }

    /// Hands the whole output on, with what it costs and what of that is for others than who came to its end.
    pub(super) async fn whole(self, delivery: &Delivery, (cost, parts): (Amount, Vec<Part>)) {
        let output = delivery.output.as_slice();
        let slot_id = delivery.receipt.receipt.slot_id;
        let receipt = delivery.receipt.receipt.digest();
        let worker = delivery.receipt.worker.address();
        if output.is_empty() {
            return self.fail(MarketError::Refused).await;
        }
        let failed = |_| MarketError::Failed("the worker's output is malformed".to_owned());
        match self {
            Self::Chat(sender) => {
                let event = match decode::<ChatOutput>(output).map_err(failed) {
                    Ok(output) => ChatEvent::Done(Box::new(Done {
                        output,
                        slot_id,
                        receipt,
                        worker,
                        cost,
                        parts,
                    })),
                    Err(error) => ChatEvent::Failed(error),
                };
                let _ = sender.send(event).await;
            }
            Self::Embedding(Some(sender)) => {
                let done = decode(output).map_err(failed).map(|output| Done {
                    output,
                    slot_id,
                    receipt,
                    worker,
                    cost,
                    parts,
                });
                let _ = sender.send(done);
            }
            Self::Embedding(None) => {}
        }
    }

    /// Says that there will be no output.
    pub(super) async fn fail(self, error: MarketError) {
        match self {
            Self::Chat(sender) => {
                let _ = sender.send(ChatEvent::Failed(error)).await;
            }
            Self::Embedding(Some(sender)) => {
                let _ = sender.send(Err(error));
            }
            Self::Embedding(None) => {}
        }
    }
}
