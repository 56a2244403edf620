//! What workers pay that hand in no receipt in time.

use super::{Order, Slot, records::Late};
use crate::{
    execution::Execution,
    fault::Fault,
    params::{Params, money},
    stake::{self, Losses},
};
use fairweir_types::{Address, Amount, event::SlashReason, order::SlotId};

/// A worker that is late with work of this price.
pub(super) fn late(
    execution: &Execution<'_>,
    worker: Address,
    quote: Amount,
) -> Result<Late, Fault> {
    let least = money(execution.params.late_penalty_min);
    let penalty = Params::share_up(quote, execution.params.late_penalty_bps)?.max(least);
    Ok(Late { worker, penalty })
}

/// Takes from some workers of a slot what their being late costs.
pub(super) fn slash_late(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    order: &Order,
    those: impl IntoIterator<Item = Late>,
) -> Result<(), Fault> {
    for Late { worker, penalty } in those {
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
    slash_late(execution, slot_id, order, slot.late.iter().copied())
}
