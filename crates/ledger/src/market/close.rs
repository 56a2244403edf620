//! The end of a slot and of its order.

use super::{
    Order, Slot, drop_order,
    escrow::{give_back, held, spend},
    keep_order, order,
    records::drop_slot,
};
use crate::{
    bank, delegates,
    execution::Execution,
    fault::{Fault, OrFault, counted, present},
    registry, sessions, stake,
};
use fairweir_types::{
    Amount, Event,
    event::{OrderClosed, RefundReason, Refunded},
    order::SlotId,
};

/// Frees the worker's capacity and the stake that covered the slot.
pub(crate) fn release_worker(
    execution: &mut Execution<'_>,
    order: &Order,
    slot: &Slot,
) -> Result<(), Fault> {
    // A batch holds neither: its lane does.
    let Some(worker) = slot.worker.filter(|_| slot.batch.is_none()) else {
        return Ok(());
    };
    let kind = order.header.kind;
    let mut record = present(
        registry::offer(&execution.overlay, kind, worker)?,
        "offer of a matched worker",
    )?;
    record.open = counted(record.open.checked_sub(1), "open slots")?;
    record.exposure = record.exposure.checked_sub(slot.exposure).or_fault()?;
    registry::store_or_drop(execution, kind, worker, &record)?;
    stake::release(execution, worker, slot.exposure)
}

/// Gives a slot's whole budget back to its payers and ends it. The worker, if any, was released before.
pub(crate) fn refund(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: &Slot,
    reason: RefundReason,
) -> Result<(), Fault> {
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    refund_what_is_left(execution, slot_id, (slot, order), (reason, Amount::ZERO))
}

/// Gives what was not spent of a slot's budget back to its payers and ends it. Whoever got something was credited before.
pub(crate) fn refund_what_is_left(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    (slot, mut order): (&Slot, Order),
    (reason, spent): (RefundReason, Amount),
) -> Result<(), Fault> {
    spend(&mut order, spent)?;
    let amount = order.slot_budget.checked_sub(spent).or_fault()?;
    give_back(execution, &mut order, amount)?;
    execution.emit(Event::Refunded(Refunded {
        slot_id,
        buyer: order.buyer,
        reason,
        amount,
    }));
    close_slot(execution, slot_id, slot, order)?;
    match &slot.batch {
        Some(batch) => {
            let has_failed = matches!(reason, RefundReason::Invalid | RefundReason::Unopened);
            sessions::batch_ended(execution, batch, has_failed)
        }
        None => Ok(()),
    }
}

/// Ends a slot; with the last one the order leaves the state.
pub(crate) fn close_slot(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: &Slot,
    mut order: Order,
) -> Result<(), Fault> {
    drop_slot(execution, slot_id, slot);
    order.slots_open = counted(order.slots_open.checked_sub(1), "open slots of an order")?;
    if order.slots_open > 0 {
        return keep_order(execution, slot_id.order, &order);
    }
    let returned = held(&order).or_fault()?;
    give_back(execution, &mut order, returned)?;
    let deposit: Amount = order.deposit;
    bank::credit(execution, order.buyer, deposit)?;
    delegates::restore(execution, (order.buyer, order.poster), deposit)?;
    drop_order(execution, slot_id.order)?;
    registry::count(&mut execution.overlay, |counters| {
        counters.open_orders = counters.open_orders.checked_sub(1)?;
        Some(())
    })?;
    execution.emit(Event::OrderClosed(OrderClosed {
        order: slot_id.order,
        deposit,
        returned,
    }));
    Ok(())
}
