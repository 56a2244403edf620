//! The nodes that a node follows.

use crate::turns::Turns;
use fairweir_chain::{
    BadPart, Forwarded, SoughtBlob, Source, SourceBlock, StateAnswer, light::LightClient,
};
use fairweir_client::{BlockError, ClientError, NodeClient, learn_seats};
use fairweir_net::{Network, PeerAddr};
use fairweir_types::{Digest, Height, SignedTx, handover::Checkpoint, node_api::AskState};
use futures::{
    StreamExt as _, join,
    stream::{self, BoxStream},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Blocks that are asked for at a time: a node has places for so many large answers that several can catch up with it.
const BLOCKS_MAX: usize = 16;

/// Final blocks of other nodes: of one, and of the next when that fails or gives what does not hold.
#[derive(Clone, Debug)]
pub struct Upstream<N> {
    nodes: Arc<Vec<NodeClient<N>>>,
    /// Counts the turns; the node in use is this modulo their number.
    turn: Arc<AtomicUsize>,
    /// The newest height that the node in use told of.
    told: Arc<AtomicU64>,
    /// Where proofs of who has the seats begin; at the genesis if none.
    checkpoint: Option<Checkpoint>,
    asking: Turns,
}

impl<N: Network> Upstream<N> {
    /// Follows `first`, and `others` when it fails.
    #[must_use]
    pub fn new(network: &N, first: PeerAddr, others: Vec<PeerAddr>) -> Self {
        let nodes = std::iter::once(first).chain(others);
        let nodes = nodes
            .map(|node| NodeClient::new(network.clone(), node))
            .collect();
        Self {
            nodes: Arc::new(nodes),
            turn: Arc::default(),
            told: Arc::default(),
            checkpoint: None,
            asking: Turns::new(BLOCKS_MAX),
        }
    }

    /// Trusts a block when a state is copied: who had seats before it cannot sign another history.
    #[must_use]
    pub fn trusting(mut self, checkpoint: Option<Checkpoint>) -> Self {
        self.checkpoint = checkpoint;
        self
    }

    /// The node in use, and its turn.
    fn node(&self) -> Option<(usize, &NodeClient<N>)> {
        let turn = self.turn.load(Ordering::Relaxed);
        Some((turn, self.of(turn)?))
    }

    /// The node of a turn.
    fn of(&self, turn: usize) -> Option<&NodeClient<N>> {
        self.nodes.get(turn.checked_rem(self.nodes.len())?)
    }

    /// Goes to the next node, unless another question did already: then it is false.
    fn pass(&self, turn: usize) -> bool {
        let next = turn.wrapping_add(1);
        let passed = (self.turn).compare_exchange(turn, next, Ordering::Relaxed, Ordering::Relaxed);
        passed.is_ok()
    }

    async fn heights_of(
        &self,
        turn: usize,
        node: &NodeClient<N>,
    ) -> Option<BoxStream<'static, Height>> {
        let newest = node.status().await.ok()?.header.height;
        let events = node.follow(newest.next()?).await.ok()?;
        let later = stream::unfold(events, |mut events| async move {
            let page = events.next().await.ok()?;
            Some((page.height, events))
        });
        let (now, told) = (Arc::clone(&self.turn), Arc::clone(&self.told));
        // A node that is not in use any more says nothing of the chain either.
        let heights = stream::iter([newest])
            .chain(later)
            .take_while(move |height| {
                let is_in_use = now.load(Ordering::Relaxed) == turn;
                if is_in_use {
                    told.fetch_max(height.get(), Ordering::Relaxed);
                }
                std::future::ready(is_in_use)
            });
        Some(heights.boxed())
    }
}

/// The block of a node's newest certificate, after the light client was told who has the seats of its epoch.
async fn floor_of<N: Network>(
    (turn, node): (usize, &NodeClient<N>),
    light: &mut LightClient,
    checkpoint: Option<Checkpoint>,
) -> Result<SourceBlock, BlockError> {
    let newest = node.status().await?.header.height;
    let mut proof = node.block(newest).await?;
    // Final through a later block: that one is the floor.
    if let Some(last) = proof.descendants.iter().last().map(|last| last.height) {
        proof = node.block(last).await?;
    }
    let block = node.body(proof.header.height).await?;
    // Once a node has shown that block, the light client knows more than it says.
    let checkpoint = checkpoint.filter(|_| light.known_since() == 0);
    learn_seats(node, (light, checkpoint), block.header.height).await?;
    Ok(SourceBlock {
        block,
        certificate: Some(proof.certificate.into_vec()),
        turn,
    })
}

impl<N: Network> Source for Upstream<N> {
    async fn heights(&self) -> BoxStream<'static, Height> {
        let Some((turn, node)) = self.node() else {
            return stream::empty().boxed();
        };
        self.told.store(0, Ordering::Relaxed);
        let heights = self.heights_of(turn, node).await;
        let after = self.clone();
        let gone = stream::poll_fn(move |_| {
            after.pass(turn);
            std::task::Poll::Ready(None)
        });
        heights
            .unwrap_or_else(|| stream::empty().boxed())
            .chain(gone)
            .boxed()
    }

    async fn finalised(&self, height: Height) -> Option<SourceBlock> {
        let _asking = self.asking.take(self.node()?.1.node().id()).await;
        let (turn, node) = self.node()?;
        let (proof, block) = join!(node.block(height), node.body(height));
        match (proof, block) {
            (Ok(proof), Ok(block)) => {
                let has_own = proof.descendants.iter().next().is_none();
                let certificate = has_own.then(|| proof.certificate.into_vec());
                Some(SourceBlock {
                    block,
                    certificate,
                    turn,
                })
            }
            (proof, block) => {
                let errors = || {
                    [proof.as_ref().err(), block.as_ref().err()]
                        .into_iter()
                        .flatten()
                };
                // A node that has too much to do is no reason to leave it.
                let is_busy =
                    errors().all(|error| error.is_retryable() && error.refusal_code().is_some());
                // One that does not have a block which it did not tell of is none either.
                let is_missing = errors().all(|error| error.refusal_code() == Some("not_found"))
                    && height.get() > self.told.load(Ordering::Relaxed);
                if !is_busy && !is_missing {
                    self.pass(turn);
                }
                None
            }
        }
    }

    async fn floor(&self, light: &mut LightClient) -> Option<SourceBlock> {
        let (turn, node) = self.node()?;
        let found = floor_of((turn, node), light, self.checkpoint).await;
        match found {
            Ok(found) => Some(found),
            Err(error) => {
                tracing::warn!(node = %node.node().id(), %error, "a node does not show that its newest block is final");
                self.pass(turn);
                None
            }
        }
    }

    async fn state(&self, ask: AskState) -> (usize, StateAnswer) {
        let Some((turn, node)) = self.node() else {
            return (0, StateAnswer::Later);
        };
        let answer = match node.state(ask).await {
            Ok(part) => StateAnswer::Part(part),
            Err(error) if error.refusal_code() == Some("state_gone") => StateAnswer::Gone,
            Err(error) if error.is_retryable() && error.refusal_code().is_some() => {
                StateAnswer::Later
            }
            Err(_) => {
                self.pass(turn);
                StateAnswer::Later
            }
        };
        (turn, answer)
    }

    async fn forward(&self, tx: SignedTx) -> Forwarded {
        let Some((turn, node)) = self.node() else {
            return Forwarded::Later;
        };
        match node.submit(&tx).await {
            Ok(_) => Forwarded::Taken,
            // It took too long to become final, or there is no room: no reason to leave the node.
            Err(error) if error.is_retryable() => Forwarded::Later,
            Err(ClientError::Refused(_) | ClientError::TxRefused(_) | ClientError::TooLong(_)) => {
                Forwarded::Refused
            }
            Err(_) => {
                self.pass(turn);
                Forwarded::Later
            }
        }
    }

    async fn blob(&self, digest: Digest) -> SoughtBlob {
        let Some((_, node)) = self.node() else {
            return SoughtBlob::Later;
        };
        // It asks its peers itself. If it is gone, who takes blocks from it turns to another.
        match node.get_blob(digest).await {
            Ok(blob) => SoughtBlob::Found(Arc::new(blob)),
            Err(error) if error.refusal_code() == Some("not_found") => SoughtBlob::Nowhere,
            Err(_) => SoughtBlob::Later,
        }
    }

    async fn keep_blob(&self, blob: Vec<u8>) -> bool {
        match self.node() {
            Some((_, node)) => node.put_blob(blob).await.is_ok(),
            None => false,
        }
    }

    fn blame(&self, turn: usize) {
        if let Some(node) = self.of(turn) {
            tracing::warn!(node = %node.node().id(), "a node gave what does not hold");
        }
        self.pass(turn);
    }

    fn leave(&self, turn: usize, gave: BadPart) -> bool {
        if let Some(node) = self.of(turn) {
            tracing::warn!(node = %node.node().id(), ?gave, "a node gave no part of the state that holds");
        }
        self.pass(turn)
    }

    fn look_elsewhere(&self) {
        if let Some((turn, node)) = self.node() {
            tracing::warn!(node = %node.node().id(), "another node may know more");
            self.pass(turn);
        }
    }
}
