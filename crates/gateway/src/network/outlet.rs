//! Where an order's output goes.

use crate::market::{ChatEvent, Done, MarketError};
use fairweir_services::{
    Passage,
    inference::{
        chat::{ChatChunk, ChatOutput},
        embedding::EmbeddingOutput,
    },
};
use fairweir_types::{Amount, BoundedVec, decode, node_api::Delivery};
use tokio::sync::{mpsc, oneshot};

/// Who waits for an output.
#[derive(Debug)]
pub(super) enum Outlet {
    Chat(mpsc::Sender<ChatEvent>),
    Embedding(Option<oneshot::Sender<Result<Done<EmbeddingOutput>, MarketError>>>),
}

/// How much of an answer is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) tokens: usize,
    text: usize,
    likelihoods: usize,
}

impl Extent {
    pub(super) const EMPTY: Self = Self {
        tokens: 0,
        text: 0,
        likelihoods: 0,
    };

    /// What of the next part is beyond what was `told`; equal work gives equal text, however it is cut into parts.
    pub(super) fn beyond(&mut self, chunk: &ChatChunk, told: &mut Self) -> Option<ChatChunk> {
        let tokens = usize::try_from(chunk.tokens).unwrap_or(usize::MAX);
        let text = chunk.text.as_str();
        let skip = |told: usize, seen: usize| told.saturating_sub(seen);
        let new = text
            .get(skip(told.text, self.text)..)
            .unwrap_or_default()
            .to_owned();
        let likelihoods: Vec<_> = chunk
            .likelihoods
            .iter()
            .skip(skip(told.likelihoods, self.likelihoods))
            .cloned()
            .collect();
        let before = *told;
        self.tokens = self.tokens.saturating_add(tokens);
        self.text = self.text.saturating_add(text.len());
        self.likelihoods = self.likelihoods.saturating_add(chunk.likelihoods.len());
        told.tokens = told.tokens.max(self.tokens);
        told.text = told.text.max(self.text);
        told.likelihoods = told.likelihoods.max(self.likelihoods);
        if *told == before {
            return None;
        }
        let made = told.tokens.saturating_sub(before.tokens);
        Some(ChatChunk {
            tokens: u32::try_from(made).unwrap_or(u32::MAX),
            text: Passage::new(new).unwrap_or_default(),
            likelihoods: BoundedVec::truncating(likelihoods),
        })
    }
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

    /// Hands the whole output on.
    pub(super) async fn whole(self, delivery: &Delivery, cost: Amount) {
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

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;

    fn chunk(tokens: u32, text: &str) -> ChatChunk {
        ChatChunk {
            tokens,
            text: Passage::new(text.to_owned()).unwrap(),
            likelihoods: BoundedVec::default(),
        }
    }

    #[test]
    fn what_another_connection_tells_again_is_left_out() {
        let mut told = Extent::EMPTY;
        let mut first = Extent::EMPTY;
        for part in [chunk(1, "one "), chunk(1, "two ")] {
            assert_eq!(first.beyond(&part, &mut told), Some(part));
        }
        // The same text, cut otherwise.
        let mut second = Extent::EMPTY;
        assert_eq!(second.beyond(&chunk(1, "one"), &mut told), None);
        let more = second.beyond(&chunk(2, " two three"), &mut told);
        assert_eq!(more, Some(chunk(1, "three")));
        let last = second.beyond(&chunk(1, " ü"), &mut told);
        assert_eq!(last, Some(chunk(1, " ü")));
    }
}
