//! Keeping an index up to the chain.

use crate::explorer::{error::IndexError, index::Index};
use fairweir_client::{BlockError, BlockStream, NodeClient};
use fairweir_net::Network;
use fairweir_types::{Genesis, Height};
use std::{error::Error, sync::Arc, time::Duration};
use thiserror::Error as ThisError;
use tokio::{sync::watch, time::sleep};

/// The pause after something stood in the way.
const PAUSE: Duration = Duration::from_secs(1);

/// What stands in the way of following, if anything does.
#[derive(Clone, Debug, Default)]
pub struct Following(Arc<watch::Sender<Option<String>>>);

impl Following {
    /// What stands in the way now.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.0.borrow().clone()
    }
}

/// Why an index does not follow a chain.
#[derive(Debug, ThisError)]
pub enum FollowError {
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A block of the node.
    #[error(transparent)]
    Block(#[from] BlockError),
}

fn whole(error: &FollowError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// What readers are told: what a database says of itself is for the log alone.
fn told(error: &FollowError) -> String {
    match error {
        FollowError::Index(error) => error.to_string(),
        FollowError::Block(_) => whole(error),
    }
}

/// Gives every final block of a node to the index, for ever. What stands in the way is told, and tried again; an index of blocks that the
/// chain does not have is made anew.
pub async fn follow<N: Network>(
    client: NodeClient<N>,
    genesis: Genesis,
    index: Index,
    following: Following,
) {
    loop {
        let done = follow_until(&client, &genesis, &index, Height(u64::MAX), &following).await;
        let Err(error) = done else { return };
        tracing::warn!(error = whole(&error), "the index does not follow the chain");
        following.0.send_replace(Some(told(&error)));
        if matches!(error, FollowError::Index(IndexError::OtherChain)) {
            tracing::warn!("the index is made anew");
            if let Err(error) = index.found(&genesis).await {
                tracing::warn!(%error, "the index could not be made anew");
            }
        }
        sleep(PAUSE).await;
    }
}

/// Gives final blocks of a node to the index, up to and with a height.
///
/// # Errors
/// [`FollowError`]: what stands in the way; what was taken until then stays.
pub async fn follow_until<N: Network>(
    client: &NodeClient<N>,
    genesis: &Genesis,
    index: &Index,
    last: Height,
    following: &Following,
) -> Result<(), FollowError> {
    let tip = index.tip().await?;
    if tip.height > 0 {
        // A node that is behind has no such block yet, and refuses: it is asked again later.
        let height = Height(tip.height);
        let same = client.block(height).await.map_err(BlockError::from)?;
        if same.header.digest().to_string() != tip.digest {
            return Err(IndexError::OtherChain.into());
        }
    }
    let mut height = tip.height;
    if height >= last.get() {
        return Ok(());
    }
    let from = Height(height.saturating_add(1));
    let mut blocks = BlockStream::open(client.clone(), genesis, from).await?;
    while height < last.get() {
        let block = blocks.next().await?;
        index.apply(&block).await?;
        height = block.block.header.height.get();
        following
            .0
            .send_if_modified(|trouble| trouble.take().is_some());
    }
    Ok(())
}
