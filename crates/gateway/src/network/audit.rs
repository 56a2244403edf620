//! Whether workers claim what they gave us, and where our receipts are in their batches.

use super::{lanes::Lanes, offers::Offers, receipts::Receipts};
use fairweir_client::{ClientError, sessions};
use fairweir_net::Network;
use fairweir_types::{
    SecretKey,
    event::BatchPosted,
    order::KindId,
    session::{Leaf, Numbers},
    sum_tree,
};
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A worker that starts again right after it claimed is waited for: without the leaves our receipts cannot be proved, for all that they are settled.
const LEAVES_WITHIN: Duration = Duration::from_secs(600);
/// Time before it is asked again, doubled each time up to the longest.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

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
    /// that gives others, or none in ten minutes, gets no more requests in that lane.
    pub(super) async fn audit(&self, posted: &BatchPosted) {
        let Some(kind) = self.receipts.kind_of(&posted.lane) else {
            return;
        };
        let leaves = tokio::select! {
            leaves = timeout(LEAVES_WITHIN, self.leaves(kind, posted)) => leaves,
            () = self.stop.cancelled() => return,
        };
        let wrong = match leaves {
            Ok(leaves) => self.wrong_with(posted, &leaves),
            Err(_) => Some("it does not give the leaves of its batch"),
        };
        if let Some(reason) = wrong {
            tracing::warn!(worker = %posted.worker, batch = %posted.slot_id, reason, "a worker's claim cannot be followed: its lane gets no more requests");
            self.lanes.end(posted.lane);
        }
    }

    /// The leaves as soon as the worker gives them.
    async fn leaves(&self, kind: KindId, posted: &BatchPosted) -> Vec<Leaf> {
        let mut pause = PAUSE;
        loop {
            match self.ask(kind, posted).await {
                Ok(Some(leaves)) => return leaves,
                Ok(None) => {
                    tracing::debug!(worker = %posted.worker, "the worker of a batch offers nothing now")
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
        let Some(reach) = self.offers.reach(kind, posted.worker).await? else {
            return Ok(None);
        };
        let asked = sessions::leaves(&self.network, &reach.endpoint, &self.key, posted.slot_id);
        asked.await.map(Some)
    }

    /// What is wrong with the leaves; without anything, each receipt of ours knows its place.
    fn wrong_with(&self, posted: &BatchPosted, leaves: &[Leaf]) -> Option<&'static str> {
        let nodes: Vec<_> = leaves.iter().map(Leaf::node).collect();
        let is_whole = sum_tree::root(&nodes) == Ok(posted.root)
            && Numbers::of(leaves) == Some(posted.numbers);
        if !is_whole {
            Some("the leaves are not those of the root that it posted")
        } else if !self.receipts.locate(posted.slot_id, &posted.lane, leaves) {
            Some("it claims another receipt than the one that it gave us")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
