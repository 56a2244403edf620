use super::{MarketError, Phase, order, refund, slot_of};
use crate::execution::Execution;
use fairweir_types::{Address, event::RefundReason, order::SlotId, tx::CancelOrder};

/// Takes back an order of which no slot is matched.
pub(crate) fn cancel_order(
    execution: &mut Execution<'_>,
    sender: Address,
    cancel: &CancelOrder,
) -> Result<(), MarketError> {
    let Some(record) = order(&execution.overlay, cancel.order)? else {
        return Err(MarketError::NoSuchOrder);
    };
    if record.buyer != sender {
        return Err(MarketError::NotTheBuyer);
    }
    let slot_ids = (0..record.header.slots).map(|slot| SlotId {
        order: cancel.order,
        slot,
    });
    for slot_id in slot_ids.clone() {
        // A slot that is done was matched, or the order's time for matching is over.
        let is_waiting = super::slot(&execution.overlay, slot_id)?
            .is_some_and(|slot| slot.phase == Phase::AwaitingMatch);
        if !is_waiting {
            return Err(MarketError::AlreadyMatched);
        }
    }
    for slot_id in slot_ids {
        let slot = slot_of(&execution.overlay, slot_id)?;
        refund(execution, slot_id, &slot, RefundReason::Cancelled)?;
    }
    Ok(())
}
