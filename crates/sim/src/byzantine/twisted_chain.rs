use super::Twist;
use fairweir_services::{ChainClient, ChainError, PastOrder};
use fairweir_types::{
    Action, BoundedText, ChainId, Digest, Height, TxCode, TxOutcome, node_api::EventPage,
    order::OrderId,
};
use futures::{StreamExt as _, stream::BoxStream};
use std::sync::Arc;

/// A role's way to the chain that changes or withholds what the role sends.
#[derive(Clone, Debug)]
pub struct TwistedChain<C> {
    honest: C,
    twist: Arc<dyn Twist>,
}

impl<C> TwistedChain<C> {
    /// Wraps an honest way to the chain.
    #[must_use]
    pub const fn new(honest: C, twist: Arc<dyn Twist>) -> Self {
        Self { honest, twist }
    }
}

/// What a role is told of an action that was withheld: that all is well, so that it does not try again.
fn pretended() -> TxOutcome {
    TxOutcome {
        tx: Digest::ZERO,
        code: TxCode::OK,
        reason: BoundedText::truncating(""),
    }
}

impl<C: ChainClient> ChainClient for TwistedChain<C> {
    type Events = BoxStream<'static, Result<EventPage, ChainError>>;

    fn chain_id(&self) -> &ChainId {
        self.honest.chain_id()
    }

    async fn submit(&self, action: Action) -> Result<TxOutcome, ChainError> {
        match self.twist.action(action) {
            Some(action) => {
                let besides = self.twist.besides(&action);
                let outcome = self.honest.submit(action).await;
                if let Some(besides) = besides {
                    // Whatever becomes of it: its role goes on with what it sent itself.
                    let _ = self.honest.submit(besides).await;
                }
                outcome
            }
            None => Ok(pretended()),
        }
    }

    async fn events(&self, from: Height) -> Result<Self::Events, ChainError> {
        let events = self.honest.events(from).await?;
        let twist = Arc::clone(&self.twist);
        let heard = events.inspect(move |page| {
            if let Ok(page) = page {
                page.events.iter().for_each(|event| twist.hear(event));
            }
        });
        Ok(heard.boxed())
    }

    async fn past_order(&self, order: OrderId) -> Result<Option<PastOrder>, ChainError> {
        self.honest.past_order(order).await
    }
}
