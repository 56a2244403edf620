//! Balances, and the supply that they sum to.
//!
//! Every movement is a debit and a credit with a reason (an event); minting and burning are the only ends.

mod error;
mod transfer;

pub use error::BankError;
pub(crate) use transfer::transfer;

use crate::{
    execution::Execution,
    fault::{Fault, OrFault, present},
    keys,
    state::{State, load, state_record},
};
use fairweir_types::{Address, Amount, Nonce};

/// An account: what it may spend, and how many transactions it sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Free money.
    pub balance: Amount,
    /// Transactions sent.
    pub nonce: Nonce,
}
state_record!(Account { balance, nonce });

/// Where money came from and went to in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Supply {
    /// At genesis.
    pub genesis: Amount,
    /// Minted since.
    pub minted: Amount,
    /// Burned since.
    pub burned: Amount,
}
state_record!(Supply {
    genesis,
    minted,
    burned
});

/// An account; one that was never used is empty.
///
/// # Errors
/// [`Fault::Record`].
pub fn account(state: &dyn State, address: Address) -> Result<Account, Fault> {
    Ok(load(state, &keys::account(address))?.unwrap_or_default())
}

/// The key of an account's record in the state.
#[must_use]
pub fn key(address: Address) -> Vec<u8> {
    keys::account(address)
}

pub(crate) fn store(execution: &mut Execution<'_>, address: Address, account: &Account) {
    execution.overlay.store(keys::account(address), account);
}

/// Adds to a balance.
pub(crate) fn credit(
    execution: &mut Execution<'_>,
    to: Address,
    amount: Amount,
) -> Result<(), Fault> {
    if amount == Amount::ZERO {
        return Ok(());
    }
    let mut account = account(&execution.overlay, to)?;
    account.balance = account.balance.checked_add(amount).or_fault()?;
    store(execution, to, &account);
    Ok(())
}

/// Takes from a balance, which the caller has checked.
pub(crate) fn debit(
    execution: &mut Execution<'_>,
    from: Address,
    amount: Amount,
) -> Result<(), Fault> {
    let mut account = account(&execution.overlay, from)?;
    account.balance = account.balance.checked_sub(amount).or_fault()?;
    store(execution, from, &account);
    Ok(())
}

/// Takes money that is in no record any more out of the supply.
pub(crate) fn burn(execution: &mut Execution<'_>, amount: Amount) -> Result<(), Fault> {
    if amount == Amount::ZERO {
        return Ok(());
    }
    let mut supply: Supply = present(execution.overlay.load(&keys::supply())?, "supply")?;
    supply.burned = supply.burned.checked_add(amount).or_fault()?;
    execution.overlay.store(keys::supply(), &supply);
    Ok(())
}
