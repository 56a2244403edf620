use super::VerificationError;
use crate::{
    bank,
    execution::Execution,
    fault::{OrFault, present},
    market::{Phase, order, slot},
    params::money,
    sessions,
};
use fairweir_types::{Address, Rounding, event::DisputeCause, tx::Challenge};

/// Disputes a valid verdict within its window, or has a batch checked of which nothing was drawn; the buyer's deposit pays the checks if the work is right.
pub(crate) fn challenge(
    execution: &mut Execution<'_>,
    sender: Address,
    challenge: &Challenge,
) -> Result<(), VerificationError> {
    let slot_id = challenge.slot_id;
    let Some(mut record) = slot(&execution.overlay, slot_id)? else {
        return Err(VerificationError::NoSuchSlot);
    };
    if !matches!(record.phase, Phase::Challengeable | Phase::Unsampled) {
        return Err(VerificationError::WrongPhase {
            expected: Phase::Challengeable,
            found: record.phase,
        });
    }
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    if order.buyer != sender {
        return Err(VerificationError::NotTheBuyer);
    }
    let mut deposit = money(execution.params.challenge_deposit);
    let unsampled = match (record.phase, &record.batch) {
        (Phase::Unsampled, Some(batch)) => Some(batch.root.sum),
        _ => None,
    };
    // The request may be the dearest, and the deposit pays all who may have to check it.
    let mut check = order.check_fee;
    if let Some(total) = unsampled {
        check = sessions::check_of_dearest(execution, &order, (&record, total))?;
        let first = u64::try_from(record.first.len()).unwrap_or(u64::MAX);
        let checks = first.saturating_add(execution.params.dispute_draw);
        let owed = check
            .checked_mul_ratio(checks, 1, Rounding::Up)
            .or_fault()?;
        deposit = deposit.max(owed);
    }
    let balance = bank::account(&execution.overlay, sender)?.balance;
    if balance < deposit {
        return Err(VerificationError::CannotPayDeposit { balance, deposit });
    }
    let at = match (unsampled, challenge.at) {
        (Some(total), Some(at)) if at < total => Some(at),
        (Some(total), _) => return Err(VerificationError::OffsetOutside { total }),
        (None, Some(_)) => return Err(VerificationError::OffsetOfVerdict),
        (None, None) => None,
    };
    bank::debit(execution, sender, deposit)?;
    // A batch that was checked for its buyer already holds its first deposit.
    record.challenge_deposit = record.challenge_deposit.checked_add(deposit).or_fault()?;
    match at {
        Some(at) => sessions::choose_sample(execution, slot_id, record, (sender, at), check)?,
        None => super::window::begin_dispute(execution, slot_id, record, DisputeCause::Challenged)?,
    }
    Ok(())
}
