//! What services need of the world, by way of a node: the chain and blobs.

use fairweir_client::{ClientError, NodeClient, Sender};
use fairweir_net::{NetError, Network};
use fairweir_services::{BlobError, Blobs, ChainClient, ChainError, PastOrder};
use fairweir_types::{
    Action, Boxed, ChainId, Digest, Event, Height, TxOutcome, event::ReceiptSubmitted,
    node_api::EventPage, order::OrderId,
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream, stream::BoxStream};

/// The chain as one role sees it, through a node.
#[derive(Clone, Debug)]
pub struct NodeChain<N> {
    sender: Sender<N>,
}

impl<N: Network> NodeChain<N> {
    /// The chain for the account of a sender.
    #[must_use]
    pub const fn new(sender: Sender<N>) -> Self {
        Self { sender }
    }
}

fn chain_error(error: ClientError) -> ChainError {
    match error {
        ClientError::Net(NetError::DeadlinePassed { .. }) => ChainError::DeadlinePassed,
        ClientError::Net(error) => ChainError::Unreachable(error.to_string()),
        ClientError::StreamEnded => {
            ChainError::Unreachable("the stream of events ended".to_owned())
        }
        ClientError::Refused(ref refusal) if error.is_retryable() => {
            ChainError::Busy(refusal.reason.as_str().to_owned())
        }
        ClientError::Refused(refusal) => ChainError::Refused {
            code: refusal.code.as_str().to_owned(),
            reason: refusal.reason.as_str().to_owned(),
        },
        other => ChainError::Broken(other.to_string()),
    }
}

/// Pages of events by way of a node.
pub type NodeEvents = BoxStream<'static, Result<EventPage, ChainError>>;

impl<N: Network> ChainClient for NodeChain<N> {
    type Events = NodeEvents;

    fn chain_id(&self) -> &ChainId {
        self.sender.chain_id()
    }

    async fn submit(&self, action: Action) -> Result<TxOutcome, ChainError> {
        self.sender
            .include(action)
            .await
            .map(|included| included.outcome)
            .map_err(chain_error)
    }

    async fn events(&self, from: Height) -> Result<Self::Events, ChainError> {
        let events = self
            .sender
            .client()
            .follow(from)
            .await
            .map_err(chain_error)?;
        let pages = stream::unfold(Some(events), |events| async move {
            let mut events = events?;
            match events.next().await {
                Ok(page) => Some((Ok(page), Some(events))),
                Err(error) => Some((Err(chain_error(error)), None)),
            }
        });
        Ok(pages.boxed())
    }

    async fn past_order(&self, order: OrderId) -> Result<Option<PastOrder>, ChainError> {
        let client = self.sender.client();
        let report = match client.order(order).await {
            Ok(report) => report,
            Err(error) if error.refusal_code() == Some("not_found") => return Ok(None),
            Err(error) => return Err(chain_error(error)),
        };
        let mut pages = client.follow(report.posted).await.map_err(chain_error)?;
        let posting = loop {
            let page = pages.next().await.map_err(chain_error)?;
            let is_posting = |event: &&Event| matches!(event, Event::OrderPosted(posted) if posted.order == order);
            if let Some(found) = page.events.iter().find(is_posting) {
                break found.clone();
            }
            if page.height > report.posted || !page.more {
                let what = format!("block {} did not post order {order}", report.posted);
                return Err(ChainError::Broken(what));
            }
        };
        let receipts = report.slots.into_vec().into_iter().filter_map(|slot| {
            Some(Event::ReceiptSubmitted(Boxed::new(ReceiptSubmitted {
                slot_id: slot.slot_id,
                worker: slot.worker?,
                receipt: slot.receipt?,
            })))
        });
        Ok(Some(PastOrder {
            posted: report.posted,
            events: std::iter::once(posting).chain(receipts).collect(),
        }))
    }
}

/// Blobs by way of a node.
#[derive(Clone, Debug)]
pub struct NodeBlobs<N> {
    client: NodeClient<N>,
}

impl<N: Network> NodeBlobs<N> {
    /// The blobs of a client's node.
    #[must_use]
    pub const fn new(client: NodeClient<N>) -> Self {
        Self { client }
    }
}

fn blob_error(error: &ClientError, digest: Digest) -> BlobError {
    match error.refusal_code() {
        Some("not_found") => BlobError::NotFound(digest),
        _ => BlobError::Unreachable(error.to_string()),
    }
}

impl<N: Network> Blobs for NodeBlobs<N> {
    fn get(&self, digest: Digest, limit_bytes: usize) -> BoxFuture<'_, Result<Vec<u8>, BlobError>> {
        async move {
            let bytes = self
                .client
                .get_blob(digest)
                .await
                .map_err(|error| blob_error(&error, digest))?;
            if bytes.len() > limit_bytes {
                Err(BlobError::TooLarge { limit_bytes })
            } else {
                Ok(bytes)
            }
        }
        .boxed()
    }

    fn put(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<Digest, BlobError>> {
        let digest = Digest::of_blob(&bytes);
        async move {
            self.client
                .put_blob(bytes)
                .await
                .map_err(|error| blob_error(&error, digest))
        }
        .boxed()
    }
}
