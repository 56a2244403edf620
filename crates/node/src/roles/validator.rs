//! The validator: the ledger, and the door for its clients.

use crate::{Api, BlobStore};
use fairweir_chain::{ChainConfig, ChainHandle, ChainTask, Runtime, StartError, start, transport};
use fairweir_client::protocol::NODE;
use fairweir_net::{NetError, Network};
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
    let fairweir_types::AccountKey::Ed25519(identity) = config.identity.account_key();
    let door = context.child("api");
    let (chain, task) = start(context.child("chain"), config, transport::solo(identity)).await?;
    let incoming = network.accept(NODE, WAITING_CLIENTS_MAX)?;
    let api = Api::new(chain.clone(), blobs);
    // The task ends with the network, or with the runtime.
    door.spawn(move |_| api.serve(incoming));
    Ok((chain, task))
}
