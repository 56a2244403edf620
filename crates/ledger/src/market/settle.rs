//! Settlement: the worker is paid for metered units, the verifiers for their checks, the settlement fee burns, and the rest
//! of the slot's budget goes back.

use super::{
    Slot,
    close::{close_slot, release_worker},
    escrow::{give_back, spend},
    late::slash_late_before,
    order,
};
use crate::{
    bank,
    execution::Execution,
    fault::{Fault, OrFault, present},
    sessions,
};
use fairweir_types::{
    Address, Amount, BoundedVec, Boxed, Digest, Event,
    event::{Payment, Settled},
    order::SlotId,
};

/// Settles a slot whose verdict is valid and can no longer be challenged. What is left of a challenger's deposit goes back.
pub(crate) fn settle(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: &Slot,
) -> Result<(), Fault> {
    let mut order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    if let Some(batch) = &slot.batch {
        return sessions::settle_batch(execution, slot_id, (slot, batch), order);
    }
    let worker = slot.assigned()?;
    let signed = present(slot.receipt.as_ref(), "receipt of a judged slot")?;
    let trace = present(slot.opened, "opened trace of a judged slot")?;
    let pay = slot
        .prices
        .quote(&signed.receipt.units)
        .or_fault()?
        .at_most(slot.quote);
    let checked = verifiers_that_agree(slot, &trace);
    release_worker(execution, &order, slot)?;
    let earned = checked.iter().map(|verifier| (*verifier, order.check_fee));
    let (checks, to_checks) = pay_verifiers(execution, earned)?;
    let fee = order.settlement_fee;
    bank::credit(execution, worker, pay)?;
    bank::burn(execution, fee)?;
    let spent = Amount::sum([pay, to_checks, fee]).or_fault()?;
    let returned = order.slot_budget.checked_sub(spent).or_fault()?;
    spend(&mut order, spent)?;
    give_back(execution, &mut order, returned)?;
    bank::credit(execution, order.buyer, slot.challenge_deposit)?;
    slash_late_before(execution, slot_id, (slot, &order))?;
    let recomputed = checked.len().saturating_add(
        slot.dispute
            .iter()
            .filter(|drawn| drawn.trace == Some(trace))
            .count(),
    );
    execution.emit(Event::Settled(Boxed::new(Settled {
        slot_id,
        buyer: order.buyer,
        receipt: signed.receipt.digest(),
        trace,
        paid: Payment {
            to: worker,
            amount: pay,
        },
        checks: BoundedVec::truncating(checks),
        burned: fee,
        recomputed_by: u16::try_from(recomputed).unwrap_or(u16::MAX),
        disputed: !slot.dispute.is_empty(),
        randomness: slot.randomness,
    })));
    close_slot(execution, slot_id, slot, order)
}

/// The verifiers of the first draw that found this trace.
pub(crate) fn verifiers_that_agree(slot: &Slot, trace: &Digest) -> Vec<Address> {
    slot.first
        .iter()
        .filter(|drawn| drawn.trace == Some(*trace))
        .map(|drawn| drawn.verifier)
        .collect()
}

/// Pays verifiers what they earned; returns the payments and their sum, which the caller takes out of the escrow.
pub(crate) fn pay_verifiers(
    execution: &mut Execution<'_>,
    earned: impl IntoIterator<Item = (Address, Amount)>,
) -> Result<(Vec<Payment>, Amount), Fault> {
    let mut payments = Vec::new();
    for (to, amount) in earned {
        bank::credit(execution, to, amount)?;
        payments.push(Payment { to, amount });
    }
    let total = Amount::sum(payments.iter().map(|payment| payment.amount)).or_fault()?;
    Ok((payments, total))
}
