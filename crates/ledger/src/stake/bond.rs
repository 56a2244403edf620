use super::{StakeError, stake, store};
use crate::{bank, execution::Execution, fault::OrFault};
use fairweir_types::{Address, Amount, Event, event::Bonded, tx::Bond};

/// Moves balance to stake.
pub(crate) fn bond(
    execution: &mut Execution<'_>,
    sender: Address,
    bond: &Bond,
) -> Result<(), StakeError> {
    let amount = bond.amount;
    if amount == Amount::ZERO {
        return Err(StakeError::ZeroAmount);
    }
    let balance = bank::account(&execution.overlay, sender)?.balance;
    if balance < amount {
        return Err(StakeError::InsufficientBalance { balance, amount });
    }
    bank::debit(execution, sender, amount)?;
    let mut record = stake(&execution.overlay, sender)?;
    record.bonded = record.bonded.checked_add(amount).or_fault()?;
    store(execution, sender, &record)?;
    execution.emit(Event::Bonded(Bonded {
        account: sender,
        amount,
    }));
    Ok(())
}
