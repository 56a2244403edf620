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
pub(crate) use slash::{Losses, confiscate, forfeit, slash};
pub(crate) use unbond::unbond;

use crate::{
    execution::Execution,
    fault::{Fault, OrFault, counted},
    governance, keys,
    params::Params,
    state::{State, load, state_record},
};
use fairweir_types::{Address, Amount, Bps};

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
    /// What penalty motions may take of the stake, bonded or on its way back.
    pub charged: Amount,
    /// Shares behind candidates, without those on their way back: they weigh in votes like bonded stake.
    pub delegated: Amount,
}
state_record!(Stake {
    bonded,
    unbonding,
    exposure,
    unbondings,
    roles,
    charged,
    delegated,
});

impl Stake {
    /// All that can be slashed.
    pub(crate) fn slashable(&self) -> Result<Amount, Fault> {
        self.bonded.checked_add(self.unbonding).or_fault()
    }
}

impl Stake {
    /// What it weighs in votes.
    pub(crate) fn weight(&self) -> Result<Amount, Fault> {
        self.bonded.checked_add(self.delegated).or_fault()
    }
}

/// An account's stake; one that never bonded has none.
///
/// # Errors
/// [`Fault::Record`].
pub fn stake(state: &dyn State, address: Address) -> Result<Stake, Fault> {
    Ok(load(state, &keys::stake(address))?.unwrap_or_default())
}

/// Writes a stake. What is bonded or delegated counts in votings, which remember what it was.
pub(crate) fn store(
    execution: &mut Execution<'_>,
    address: Address,
    record: &Stake,
) -> Result<(), Fault> {
    let before = stake(&execution.overlay, address)?.weight()?;
    governance::stake_changes(execution, address, before, record.weight()?)?;
    execution.overlay.store(keys::stake(address), record);
    Ok(())
}

/// Keeps a share of the stake for a penalty motion, what is on its way back included, so that nobody escapes by unbonding first; less, when
/// other motions need the rest. Returns how much.
pub(crate) fn charge(
    execution: &mut Execution<'_>,
    address: Address,
    share: Bps,
) -> Result<Amount, Fault> {
    let mut record = stake(&execution.overlay, address)?;
    let slashable = record.slashable()?;
    let free = slashable.checked_sub(record.charged);
    let amount = Params::share_down(slashable, share.get())
        .or_fault()?
        .at_most(free.unwrap_or(Amount::ZERO));
    if amount > Amount::ZERO {
        record.charged = record.charged.checked_add(amount).or_fault()?;
        store(execution, address, &record)?;
    }
    Ok(amount)
}

/// A penalty motion is over.
pub(crate) fn discharge(
    execution: &mut Execution<'_>,
    address: Address,
    amount: Amount,
) -> Result<(), Fault> {
    if amount == Amount::ZERO {
        return Ok(());
    }
    let mut record = stake(&execution.overlay, address)?;
    record.charged = record.charged.checked_sub(amount).or_fault()?;
    store(execution, address, &record)
}

/// Counts shares that an account has put behind a candidate.
pub(crate) fn delegate(
    execution: &mut Execution<'_>,
    address: Address,
    shares: Amount,
) -> Result<(), Fault> {
    let mut record = stake(&execution.overlay, address)?;
    record.delegated = record.delegated.checked_add(shares).or_fault()?;
    store(execution, address, &record)
}

/// Counts shares that it has there no more.
pub(crate) fn undelegate(
    execution: &mut Execution<'_>,
    address: Address,
    shares: Amount,
) -> Result<(), Fault> {
    let mut record = stake(&execution.overlay, address)?;
    record.delegated = record.delegated.checked_sub(shares).or_fault()?;
    store(execution, address, &record)
}

/// Counts the roles of an account up or down.
pub(crate) fn change_roles(
    execution: &mut Execution<'_>,
    address: Address,
    change: impl FnOnce(u32) -> Option<u32>,
) -> Result<(), Fault> {
    let mut record = stake(&execution.overlay, address)?;
    record.roles = counted(change(record.roles), "roles")?;
    store(execution, address, &record)
}

/// Sets stake aside for open work.
pub(crate) fn expose(
    execution: &mut Execution<'_>,
    address: Address,
    amount: Amount,
) -> Result<(), Fault> {
    let mut record = stake(&execution.overlay, address)?;
    record.exposure = record.exposure.checked_add(amount).or_fault()?;
    store(execution, address, &record)
}

/// Frees stake that was set aside.
pub(crate) fn release(
    execution: &mut Execution<'_>,
    address: Address,
    amount: Amount,
) -> Result<(), Fault> {
    let mut record = stake(&execution.overlay, address)?;
    record.exposure = record.exposure.checked_sub(amount).or_fault()?;
    store(execution, address, &record)
}
