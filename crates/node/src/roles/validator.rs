//! The validator: the ledger, and the door for its clients.

use crate::{Api, BlobStore, Referees};
use fairweir_chain::{
    ChainConfig, ChainHandle, ChainTask, ReadError, Runtime, Source, StartError, copy_state,
    follow, start, transport,
};
use fairweir_client::protocol::NODE;
use fairweir_net::{NetError, Network};
use fairweir_types::Height;
use std::sync::Arc;
use thiserror::Error;

/// Clients that may wait for a place at the door.
const WAITING_CLIENTS_MAX: usize = 1_024;

/// Why a validator does not start.
#[derive(Debug, Error)]
pub enum ValidatorError {
    /// The chain does not start.
    #[error("the chain does not start")]
    Chain(#[from] StartError),
    /// The network does not accept clients.
    #[error("the network does not accept clients")]
    Net(#[from] NetError),
}

/// Starts the only validator of a chain. Clients are served until the returned task is stopped or the network closes.
///
/// # Errors
/// [`ValidatorError`].
pub async fn start_alone<E: Runtime, N: Network>(
    context: E,
    config: ChainConfig,
    network: &N,
    blobs: BlobStore,
) -> Result<(ChainHandle, ChainTask), ValidatorError> {
    let blobs = Arc::new(blobs);
    let fairweir_types::AccountKey::Ed25519(identity) = config.identity.account_key();
    let door = context.child("api");
    let (chain, task) = start_replica(context, config, transport::solo(identity)).await?;
    open_door(door, &chain, network, blobs)?;
    Ok((chain, task))
}

/// Starts one of a chain's validators, without a door for clients.
///
/// # Errors
/// [`ValidatorError`].
pub async fn start_replica<E: Runtime, T: transport::Network>(
    context: E,
    mut config: ChainConfig,
    transport: transport::Transport<T>,
) -> Result<(ChainHandle, ChainTask), ValidatorError> {
    config.referee = Arc::new(Referees);
    Ok(start(context.child("chain"), config, transport).await?)
}

/// Starts a node that follows others, without a door for clients.
///
/// # Errors
/// [`ValidatorError`].
pub async fn start_follower<E: Runtime, S: Source>(
    context: E,
    mut config: ChainConfig,
    source: S,
) -> Result<(ChainHandle, ChainTask), ValidatorError> {
    config.referee = Arc::new(Referees);
    Ok(follow(context.child("chain"), config, source).await?)
}

/// Copies the state of other nodes for a validator or candidate whose store is empty, before it starts.
///
/// # Errors
/// [`ValidatorError`].
pub async fn copy<E: Runtime, S: Source>(
    context: E,
    mut config: ChainConfig,
    source: S,
) -> Result<(), ValidatorError> {
    config.referee = Arc::new(Referees);
    Ok(copy_state(context.child("chain"), config, source).await?)
}

/// Serves a validator's clients until the network closes, or the runtime ends.
///
/// # Errors
/// [`ValidatorError::Net`].
pub fn open_door<E: Runtime, N: Network>(
    door: E,
    chain: &ChainHandle,
    network: &N,
    blobs: Arc<BlobStore>,
) -> Result<(), ValidatorError> {
    let incoming = network.accept(NODE, WAITING_CLIENTS_MAX)?;
    let names = door.child("names");
    let naming = (chain.clone(), Arc::clone(&blobs));
    names.spawn(move |_| note_names(naming.0, naming.1));
    let api = Api::new(chain.clone(), blobs);
    door.spawn(move |_| api.serve(incoming));
    Ok(())
}

/// Blocks before the newest whose transactions still name blobs when a node starts: longer ago than what they are for is open.
const NAMES_OF_BLOCKS: u64 = 500;

/// Tells the store which blobs the chain's transactions name, until the chain ends.
async fn note_names(chain: ChainHandle, blobs: Arc<BlobStore>) {
    let newest = chain.tip().height.get();
    let mut blocks = chain.subscribe(Height(newest.saturating_sub(NAMES_OF_BLOCKS).max(1)));
    loop {
        if blocks.next_height().get() > newest {
            blobs.know_names();
        }
        let block = match blocks.next().await {
            Ok(block) => block,
            Err(ReadError::Closed) => return,
            Err(ReadError::Pruned { oldest, .. }) if oldest > blocks.next_height() => {
                blocks = chain.subscribe(oldest);
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "blobs that these blocks name may go as if nobody had named them");
                let Some(next) = chain.tip().height.next() else {
                    return;
                };
                blocks = chain.subscribe(next);
                continue;
            }
        };
        let outcomes = block.outcomes.iter();
        for (tx, outcome) in block.block.transactions.iter().zip(outcomes) {
            let named = tx.transaction.action.blob();
            let Some(digest) = named.filter(|_| outcome.is_done()) else {
                continue;
            };
            if let Err(error) = blobs.name(digest) {
                tracing::warn!(%digest, %error, "the blob store's disk refused");
            }
        }
    }
}
