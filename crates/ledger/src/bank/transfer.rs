use super::{BankError, account, credit, store};
use crate::{execution::Execution, fault::OrFault};
use fairweir_types::{Address, Amount, Event, event::Transferred, tx::Transfer};

/// Moves money between accounts.
pub(crate) fn transfer(
    execution: &mut Execution<'_>,
    sender: Address,
    transfer: &Transfer,
) -> Result<(), BankError> {
    let Transfer { to, amount } = *transfer;
    if amount == Amount::ZERO {
        return Err(BankError::ZeroAmount);
    }
    if to == sender {
        return Err(BankError::ToSelf);
    }
    let mut from = account(&execution.overlay, sender)?;
    if from.balance < amount {
        return Err(BankError::InsufficientBalance {
            balance: from.balance,
            amount,
        });
    }
    from.balance = from.balance.checked_sub(amount).or_fault()?;
    store(execution, sender, &from);
    credit(execution, to, amount)?;
    execution.emit(Event::Transferred(Transferred {
        from: sender,
        to,
        amount,
    }));
    Ok(())
}
