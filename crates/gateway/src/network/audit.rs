//! Whether workers claim what they gave us, and where our receipts are in their batches.

mod asked;

pub(super) use asked::{Asked, Owed, with_offsets};

use super::{lanes::Lanes, offers::Offers, receipts::Receipts};
use fairweir_client::{ClientError, sessions};
use fairweir_net::Network;
use fairweir_types::{
    Amount, SecretKey,
    event::BatchPosted,
    order::KindId,
    session::{Leaf, Numbers},
    sum_tree::SumTree,
};
use std::{sync::Arc, time::Duration};
use thiserror::Error;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A worker that starts again right after it claimed is waited for: without the leaves our receipts cannot be proved, for all that they are settled.
/// Twice the default challenge window, for which it keeps them on its disk.
const LEAVES_WITHIN: Duration = Duration::from_secs(2 * 3_600);
/// Time before it is asked again, doubled each time up to the longest.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Looks at what workers claim of us.
#[derive(Clone, Debug)]
pub(super) struct Auditor<N> {
    pub(super) network: N,
    pub(super) key: SecretKey,
    pub(super) receipts: Arc<Receipts>,
    pub(super) lanes: Arc<Lanes>,
    pub(super) offers: Arc<Offers<N>>,
    pub(super) stop: CancellationToken,
}

impl<N: Network> Auditor<N> {
    /// Asks the worker for the leaves of a batch of ours: they must give the root that it posted, and they place our receipts under it. A worker
    /// that gives others gets no more requests in that lane; of one that gives none the receipts cannot be proved.
    pub(super) async fn audit(&self, posted: &BatchPosted) {
        let Some(kind) = self.receipts.kind_of(&posted.lane) else {
            return;
        };
        let leaves = tokio::select! {
            leaves = timeout(LEAVES_WITHIN, self.leaves(kind, posted)) => leaves,
            () = self.stop.cancelled() => return,
        };
        let (worker, batch) = (posted.worker, posted.slot_id);
        match leaves.map(|leaves| self.place(posted, &leaves)) {
            Ok(Ok(())) => {}
            Ok(Err(wrong)) => {
                tracing::warn!(%worker, %batch, %wrong, "a worker claims what is not so: its lane gets no more requests");
                self.lanes.end(posted.lane);
            }
            // Not wrong work: it, or our own node, may have been away.
            Err(_) => {
                tracing::warn!(%worker, %batch, "a batch has no receipts: its worker did not give the leaves in {LEAVES_WITHIN:?}")
            }
        }
        self.receipts.end_audit(posted);
    }

    /// The leaves as soon as the worker gives them.
    async fn leaves(&self, kind: KindId, posted: &BatchPosted) -> Vec<Leaf> {
        let mut pause = PAUSE;
        loop {
            match self.ask(kind, posted).await {
                Ok(Some(leaves)) => return leaves,
                Ok(None) => {
                    tracing::debug!(worker = %posted.worker, "it is not known where the worker of a batch is")
                }
                Err(error) => {
                    tracing::debug!(worker = %posted.worker, %error, "a batch's leaves were not given")
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn ask(
        &self,
        kind: KindId,
        posted: &BatchPosted,
    ) -> Result<Option<Vec<Leaf>>, ClientError> {
        // Where its offer says, or where it was when it still had one: open work goes on without.
        let offered = self.offers.reach(kind, posted.worker).await;
        let offered = offered.ok().flatten().map(|reach| reach.endpoint);
        let Some(endpoint) = offered.or_else(|| self.receipts.endpoint_of(&posted.lane)) else {
            return Ok(None);
        };
        let asked = sessions::leaves(&self.network, &endpoint, &self.key, posted.slot_id);
        asked.await.map(Some)
    }

    /// Gives each receipt of ours its place, and finds out what is claimed besides what is owed.
    fn place(&self, posted: &BatchPosted, leaves: &[Leaf]) -> Result<(), Wrong> {
        let tree = SumTree::new(leaves.iter().map(Leaf::node).collect());
        let tree = tree.map_err(|_| Wrong::Root)?;
        if tree.root() != posted.root || Numbers::of(leaves) != Some(posted.numbers) {
            return Err(Wrong::Root);
        }
        let batch = (posted.slot_id, &posted.lane);
        self.receipts.locate(batch, leaves, &tree)?;
        self.receipts.claim(&posted.lane, leaves)
    }
}

/// What a worker's claim is not. Of a leaf with the offset at which it begins in what the batch costs: what a challenge names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Wrong {
    #[error("the leaves are not those of the root that it posted")]
    Root,
    #[error("the leaf at {0} coins is of another receipt than the one that it gave us")]
    Receipt(Amount),
    #[error("the leaf at {0} coins has a number that we did not give, or that was claimed before")]
    Number(Amount),
    #[error("the leaf at {0} coins claims another amount than what the receipt's units cost")]
    Amount(Amount),
}

#[cfg(test)]
pub(super) mod tests;
