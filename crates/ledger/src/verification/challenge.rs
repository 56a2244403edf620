use super::VerificationError;
use crate::{
    bank,
    execution::Execution,
    fault::present,
    market::{Phase, order, slot},
    params::money,
};
use fairweir_types::{Address, event::DisputeCause, tx::Challenge};

/// Disputes a valid verdict within its window; the buyer's deposit pays the checks if it is wrong.
pub(crate) fn challenge(
    execution: &mut Execution<'_>,
    sender: Address,
    challenge: &Challenge,
) -> Result<(), VerificationError> {
    let slot_id = challenge.slot_id;
    let Some(mut record) = slot(&execution.overlay, slot_id)? else {
        return Err(VerificationError::NoSuchSlot);
    };
    if record.phase != Phase::Challengeable {
        return Err(VerificationError::WrongPhase {
            expected: Phase::Challengeable,
            found: record.phase,
        });
    }
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    if order.buyer != sender {
        return Err(VerificationError::NotTheBuyer);
    }
    let deposit = money(execution.params.challenge_deposit);
    let balance = bank::account(&execution.overlay, sender)?.balance;
    if balance < deposit {
        return Err(VerificationError::CannotPayDeposit { balance, deposit });
    }
    bank::debit(execution, sender, deposit)?;
    record.challenge_deposit = deposit;
    super::window::begin_dispute(execution, slot_id, record, DisputeCause::Challenged)?;
    Ok(())
}
