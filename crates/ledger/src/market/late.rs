//! What workers pay that hand in no receipt in time.

use super::{Order, Slot};
use crate::{
    execution::Execution,
    fault::Fault,
    params::{Params, money},
    stake::{self, Losses},
};
use fairweir_types::{Address, event::SlashReason, order::SlotId};

/// Takes a part of the price from each of some workers of a slot.
pub(super) fn slash_late(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    (slot, order): (&Slot, &Order),
    workers: impl IntoIterator<Item = Address>,
) -> Result<(), Fault> {
    let least = money(execution.params.late_penalty_min);
    let penalty = Params::share_up(slot.quote, execution.params.late_penalty_bps)?.max(least);
    for worker in workers {
        let mut losses = Losses {
            // Made whole, not rewarded: else a buyer could earn by orders that nobody can execute.
            buyer: Some((order.buyer, order.posting_fee)),
            ..Losses::default()
        };
        let reason = (SlashReason::ReceiptLate, slot_id);
        stake::slash(execution, worker, penalty, reason, &mut losses)?;
    }
    Ok(())
}

/// The work of a slot was judged, so its spec could be had: whoever was late with it before, and may have looked for it in vain, pays now.
pub(crate) fn slash_late_before(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    (slot, order): (&Slot, &Order),
) -> Result<(), Fault> {
    if !order.has_blob_spec {
        // They paid when they were late.
        return Ok(());
    }
    slash_late(
        execution,
        slot_id,
        (slot, order),
        slot.excluded.iter().copied(),
    )
}
