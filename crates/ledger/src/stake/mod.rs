//! Stake: money that answers for work and verdicts.
//!
//! Stake is bonded at once, and becomes balance again only after the unbonding delay; until then it can be slashed.
//! What covers open work (`exposure`) cannot be unbonded (protocol rule 5).

mod bond;
mod end_block;
mod error;
mod slash;
mod unbond;

pub(crate) use bond::bond;
pub(crate) use end_block::end_block;
pub use error::StakeError;
pub(crate) use slash::{Losses, slash};
pub(crate) use unbond::unbond;

use crate::{
    execution::Execution,
    fault::{Fault, OrFault, counted},
    keys,
    state::{State, load, state_record},
};
use fairweir_types::{Address, Amount};

/// An account's stake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stake {
    /// Bonded: counts in draws and matches.
    pub bonded: Amount,
    /// On its way back, still slashable.
    pub unbonding: Amount,
    /// What of the bonded stake covers open work.
    pub exposure: Amount,
    /// Unbondings begun, for their keys.
    pub unbondings: u64,
    /// Listed offers and a place among the verifiers, which need a minimum of stake.
    pub roles: u32,
}
state_record!(Stake {
    bonded,
    unbonding,
    exposure,
    unbondings,
    roles,
});

/// An account's stake; one that never bonded has none.
///
/// # Errors
/// [`Fault::Record`].
pub fn stake(state: &dyn State, address: Address) -> Result<Stake, Fault> {
    Ok(load(state, &keys::stake(address))?.unwrap_or_default())
}

pub(crate) fn store(execution: &mut Execution<'_>, address: Address, stake: &Stake) {
    execution.overlay.store(keys::stake(address), stake);
}

/// Counts the roles of an account up or down.
pub(crate) fn change_roles(
    execution: &mut Execution<'_>,
    address: Address,
    change: impl FnOnce(u32) -> Option<u32>,
) -> Result<(), Fault> {
    let mut record = stake(&execution.overlay, address)?;
    record.roles = counted(change(record.roles), "roles")?;
    store(execution, address, &record);
    Ok(())
}

/// Sets stake aside for open work.
pub(crate) fn expose(
    execution: &mut Execution<'_>,
    address: Address,
    amount: Amount,
) -> Result<(), Fault> {
    let mut record = stake(&execution.overlay, address)?;
    record.exposure = record.exposure.checked_add(amount).or_fault()?;
    store(execution, address, &record);
    Ok(())
}

/// Frees stake that was set aside.
pub(crate) fn release(
    execution: &mut Execution<'_>,
    address: Address,
    amount: Amount,
) -> Result<(), Fault> {
    let mut record = stake(&execution.overlay, address)?;
    record.exposure = record.exposure.checked_sub(amount).or_fault()?;
    store(execution, address, &record);
    Ok(())
}
