//! What a process can be. A role registers itself on the ledger, runs its pipeline, and ends with its network.

pub mod validator;
pub mod verifier;
pub mod worker;

use fairweir_client::{ClientError, Sender};
use fairweir_net::Network;
use fairweir_types::{Action, Amount, tx};

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
