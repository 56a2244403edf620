use super::Batch;
use crate::{
    bank,
    execution::Execution,
    fault::{Fault, OrFault},
    market::{Order, Slot, close_slot, give_back, pay_verifiers, spend, verifiers_that_agree},
};
use fairweir_types::{
    Address, Amount, BoundedVec, Boxed, Event, Rounding,
    event::{BatchSettled, Payment},
    order::SlotId,
};
use std::collections::BTreeMap;

/// Pays a batch whose samples were found right, or that has none: worker and verifiers get theirs and the fee burns. What is left of the
/// part for checks makes up first what the worker paid towards it, and goes back to the buyer beyond that: else a buyer of a small lane
/// would be given back what its worker paid for checks that nobody made. A check that the buyer asked for its deposit pays, as far as it goes.
pub(crate) fn settle_batch(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    (slot, batch): (&Slot, &Batch),
    mut order: Order,
) -> Result<(), Fault> {
    let worker = slot.assigned()?;
    let checked = slot
        .opened
        .map_or_else(Vec::new, |trace| verifiers_that_agree(slot, &trace));
    let chosen = chosen_check(slot, batch, checked.len())?;
    let by_deposit = chosen
        .unwrap_or_default()
        .checked_mul_ratio(
            u64::try_from(checked.len()).unwrap_or_default(),
            1,
            Rounding::Down,
        )
        .or_fault()?;
    let left = slot.challenge_deposit.checked_sub(by_deposit).or_fault()?;
    bank::credit(execution, order.buyer, left)?;
    let fee = chosen.unwrap_or(order.check_fee);
    let (checks, to_checks) = pay_verifiers(execution, earned(&order, batch, (&checked, fee))?)?;
    let to_checks = to_checks.checked_sub(by_deposit).or_fault()?;
    let costs = Amount::sum([batch.pay, to_checks, order.settlement_fee]).or_fault()?;
    let unspent = order.slot_budget.checked_sub(costs).or_fault()?;
    let withheld = batch.root.sum.checked_sub(batch.pay).or_fault()?;
    let made_up = unspent.at_most(withheld);
    let pay = batch.pay.checked_add(made_up).or_fault()?;
    bank::credit(execution, worker, pay)?;
    bank::burn(execution, order.settlement_fee)?;
    let spent = costs.checked_add(made_up).or_fault()?;
    let returned = order.slot_budget.checked_sub(spent).or_fault()?;
    spend(&mut order, spent)?;
    give_back(execution, &mut order, returned)?;
    let in_dispute = slot
        .dispute
        .iter()
        .filter(|drawn| drawn.trace.is_some() && drawn.trace == slot.opened)
        .count();
    let recomputed = checked.len().saturating_add(in_dispute);
    execution.emit(Event::BatchSettled(Boxed::new(BatchSettled {
        slot_id,
        lane: batch.lane,
        payers: super::lane::payers_of(&order)?,
        root: batch.root,
        count: batch.count,
        samples: batch.samples.clone(),
        paid: Payment {
            to: worker,
            amount: pay,
        },
        checks: BoundedVec::truncating(checks),
        burned: order.settlement_fee,
        returned,
        recomputed_by: u16::try_from(recomputed).unwrap_or(u16::MAX),
        disputed: !slot.dispute.is_empty(),
        randomness: slot.randomness,
    })));
    close_slot(execution, slot_id, slot, order)?;
    super::batch_ended(execution, batch, false)
}

/// What each check earns that the deposit of a buyer pays, as far as that goes; nothing where the lot drew the samples, and the escrow pays.
fn chosen_check(slot: &Slot, batch: &Batch, checks: usize) -> Result<Option<Amount>, Fault> {
    let Some(check) = batch.chosen_check else {
        return Ok(None);
    };
    let checks = u64::try_from(checks).unwrap_or(u64::MAX).max(1);
    let part = slot
        .challenge_deposit
        .checked_mul_ratio(1, checks, Rounding::Down)
        .or_fault()?;
    Ok(Some(check.at_most(part)))
}

/// What the verifiers of a batch earned: the fee of the link that one revealed, and that of its check each that agreed.
fn earned(
    order: &Order,
    batch: &Batch,
    (checked, fee): (&[Address], Amount),
) -> Result<BTreeMap<Address, Amount>, Fault> {
    let mut earned: BTreeMap<_, _> = checked.iter().map(|verifier| (*verifier, fee)).collect();
    if let Some(asked) = batch.link.filter(|asked| asked.link.is_some()) {
        let sum = earned.entry(asked.verifier).or_default();
        *sum = sum.checked_add(order.terms.link_fee()).or_fault()?;
    }
    Ok(earned)
}
