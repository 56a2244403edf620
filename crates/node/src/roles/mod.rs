//! What a process can be. A role registers itself on the ledger, runs its pipeline, and ends with its network.

pub mod candidate;
pub mod validator;
pub mod verifier;
pub mod worker;

use fairweir_client::{ClientError, NodeClient, Sender};
use fairweir_net::Network;
use fairweir_types::{Action, Address, Amount, Height, tx};

/// Blocks before the tip from which a role starts at the latest, so that it need not look up each order of now.
const RESUME_BLOCKS: u64 = 2_000;

/// The height from which a role that starts must follow: early enough for all that waits for it, however old that is.
///
/// # Errors
/// [`ClientError`].
pub async fn resume_from<N: Network>(
    client: &NodeClient<N>,
    account: Address,
) -> Result<Height, ClientError> {
    let duties = client.duties(account).await?;
    let recent = Height(duties.tip.get().saturating_sub(RESUME_BLOCKS));
    Ok(duties.since.map_or(recent, |since| since.min(recent)))
}

/// Bonds what is missing to a wanted stake. Bonds nothing when there is enough.
///
/// # Errors
/// [`ClientError`].
pub async fn bond_up_to<N: Network>(sender: &Sender<N>, stake: Amount) -> Result<(), ClientError> {
    let account = sender.client().account(sender.key().address()).await?;
    if let Ok(missing) = stake.checked_sub(account.bonded)
        && missing > Amount::ZERO
    {
        sender
            .send(Action::Bond(tx::Bond { amount: missing }))
            .await?;
    }
    Ok(())
}
