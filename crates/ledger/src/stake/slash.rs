use super::{stake, store};
use crate::{
    bank,
    execution::Execution,
    fault::{Fault, OrFault},
    params::Params,
};
use fairweir_types::{
    Address, Amount, Event,
    event::{SlashReason, Slashed},
    order::SlotId,
};

/// Who is owed what out of slashed stake. Several losers of one dispute pay into the same debts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Losses {
    /// The buyer, who is made whole first.
    pub(crate) buyer: Option<(Address, Amount)>,
    /// Verifiers whose checks the loser pays.
    pub(crate) verifiers: Vec<(Address, Amount)>,
    /// Those who reported it, for equal parts of at most the governed share.
    pub(crate) reporters: Vec<Address>,
}

/// Takes up to `amount` of an account's slashable stake and hands it out: buyer, verifiers, reporters; the rest burns.
///
/// Debts that were paid are taken off `losses`.
pub(crate) fn slash(
    execution: &mut Execution<'_>,
    account: Address,
    amount: Amount,
    cause: (SlashReason, SlotId),
    losses: &mut Losses,
) -> Result<(), Fault> {
    let taken = take(execution, account, amount)?;
    let mut left = taken;
    let mut to_buyer = Amount::ZERO;
    if let Some((buyer, owed)) = losses.buyer.as_mut() {
        to_buyer = owed.at_most(left);
        *owed = owed.checked_sub(to_buyer).or_fault()?;
        left = left.checked_sub(to_buyer).or_fault()?;
        let buyer = *buyer;
        bank::credit(execution, buyer, to_buyer)?;
    }
    let mut to_verifiers = Amount::ZERO;
    for (verifier, owed) in &mut losses.verifiers {
        let part = owed.at_most(left);
        *owed = owed.checked_sub(part).or_fault()?;
        left = left.checked_sub(part).or_fault()?;
        to_verifiers = to_verifiers.checked_add(part).or_fault()?;
        bank::credit(execution, *verifier, part)?;
    }
    let to_reporters = reward(execution, taken, left, &losses.reporters)?;
    let burned = left.checked_sub(to_reporters).or_fault()?;
    bank::burn(execution, burned)?;
    let (reason, slot_id) = cause;
    execution.emit(Event::Slashed(Slashed {
        account,
        reason,
        slot_id,
        amount: taken,
        to_buyer,
        to_reporters,
        to_verifiers,
        burned,
    }));
    Ok(())
}

/// Takes up to `amount` of an account's slashable stake and burns it; returns what was taken.
pub(crate) fn confiscate(
    execution: &mut Execution<'_>,
    account: Address,
    amount: Amount,
) -> Result<Amount, Fault> {
    let taken = take(execution, account, amount)?;
    bank::burn(execution, taken)?;
    Ok(taken)
}

/// Takes up to `amount` of an account's slashable stake, pays the reporter the governed share, and burns the rest; returns what was taken,
/// and what of it the reporter got.
pub(crate) fn forfeit(
    execution: &mut Execution<'_>,
    account: Address,
    amount: Amount,
    reporter: Address,
) -> Result<(Amount, Amount), Fault> {
    let taken = take(execution, account, amount)?;
    let to_reporter = reward(execution, taken, taken, &[reporter])?;
    bank::burn(execution, taken.checked_sub(to_reporter).or_fault()?)?;
    Ok((taken, to_reporter))
}

/// Takes bonded stake first, then stake that is unbonding.
fn take(execution: &mut Execution<'_>, account: Address, amount: Amount) -> Result<Amount, Fault> {
    let mut record = stake(&execution.overlay, account)?;
    let from_bonded = amount.at_most(record.bonded);
    let rest = amount.checked_sub(from_bonded).or_fault()?;
    let from_unbonding = rest.at_most(record.unbonding);
    record.bonded = record.bonded.checked_sub(from_bonded).or_fault()?;
    record.unbonding = record.unbonding.checked_sub(from_unbonding).or_fault()?;
    store(execution, account, &record)?;
    from_bonded.checked_add(from_unbonding).or_fault()
}

/// Pays reporters equal parts of the governed share of what was taken, as far as money is left; returns their sum.
fn reward(
    execution: &mut Execution<'_>,
    taken: Amount,
    left: Amount,
    reporters: &[Address],
) -> Result<Amount, Fault> {
    let Ok(heads @ 1..) = u64::try_from(reporters.len()) else {
        return Ok(Amount::ZERO);
    };
    let share = Params::share_down(taken, execution.params.reporter_share_bps)
        .or_fault()?
        .at_most(left);
    let each = share
        .checked_mul_ratio(1, heads, fairweir_types::Rounding::Down)
        .or_fault()?;
    let mut paid = Amount::ZERO;
    for reporter in reporters {
        bank::credit(execution, *reporter, each)?;
        paid = paid.checked_add(each).or_fault()?;
    }
    Ok(paid)
}
