//! The end of a block: windows that are over.

use super::{
    Phase, Slot, Timer, due,
    late::{late, slash_late},
    order, refund, release_worker, settle, slot_of, store_slot,
};
use crate::{
    appeals,
    execution::Execution,
    fault::{Fault, counted, present},
    keys,
    params::count,
    sessions,
    state::Mark,
    verification,
};
use fairweir_types::{
    Event, Height, Millis,
    event::{RefundReason, SlashReason, WorkerReplaced},
    limits::SLOTS_SWEPT_MAX,
    order::SlotId,
};

/// Works off windows that are over, at most a bounded number of slots; says whether some are left, which ask for the next block at once.
pub(crate) fn end_block(execution: &mut Execution<'_>) -> Result<bool, Fault> {
    let (from, to) = keys::due_until_time(execution.now);
    let at_time = due(execution, &from, &to, SLOTS_SWEPT_MAX)?;
    let is_full = at_time.len() >= SLOTS_SWEPT_MAX;
    for (timer, slot_id) in at_time {
        // What was worked off before may have ended this slot, or given it another window: a lane goes with its last batch.
        if execution.overlay.load::<Mark>(&timer)?.is_some() {
            at_window_end(execution, slot_id)?;
        }
    }
    Ok(is_full)
}

fn at_window_end(execution: &mut Execution<'_>, slot_id: SlotId) -> Result<(), Fault> {
    let mut slot = slot_of(&execution.overlay, slot_id)?;
    if execution.context.height < slot.timer.height {
        // Enough time, but too few blocks (protocol rule 2): look again in the next block.
        let timer = Timer {
            time: counted(execution.now.next(), "chain time")?,
            ..slot.timer
        };
        store_slot(execution, slot_id, &mut slot, timer);
        return Ok(());
    }
    match slot.phase {
        Phase::Executing => replace_worker(execution, slot_id, slot),
        Phase::Challengeable | Phase::Unsampled => settle(execution, slot_id, &slot),
        Phase::Serving | Phase::Closing | Phase::Ending => {
            sessions::lane_timer_ended(execution, slot_id, slot)
        }
        Phase::Committing
        | Phase::Opening
        | Phase::Revealing
        | Phase::DisputeCommitting
        | Phase::DisputeRevealing
        | Phase::Linking
        | Phase::Showing
        | Phase::Sharing => verification::window_ended(execution, slot_id, slot),
        Phase::Appealable | Phase::Appealed => appeals::window_ended(execution, slot_id, slot),
        Phase::AwaitingMatch
        | Phase::AwaitingDraw
        | Phase::AwaitingDisputeDraw
        | Phase::AwaitingSample => Err(Fault::Missing {
            what: "window of a slot that waits for a draw",
        }),
    }
}

/// The worker handed in no receipt in time: another one gets the slot, and it pays a part of the price. Where the spec lies beside the chain it pays once
/// it is known that the spec could be had: else a buyer that leaves its spec nowhere would cost workers their stake.
fn replace_worker(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
) -> Result<(), Fault> {
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    let worker = slot.assigned()?;
    release_worker(execution, &order, &slot)?;
    let late = late(execution, worker, slot.quote)?;
    if !order.has_blob_spec {
        slash_late(execution, slot_id, &order, [late])?;
    }
    execution.emit(Event::WorkerReplaced(WorkerReplaced {
        slot_id,
        worker,
        reason: SlashReason::ReceiptLate,
    }));
    slot.worker = None;
    slot.attempt = counted(slot.attempt.checked_add(1), "assignments")?;
    if usize::from(slot.attempt) >= count(execution.params.attempts_max)
        || slot.late.push(late).is_err()
    {
        return refund(execution, slot_id, &slot, RefundReason::NoReceipt);
    }
    slot.phase = Phase::AwaitingMatch;
    slot.tries = 0;
    let height = counted(
        execution
            .context
            .height
            .checked_add(Height(execution.params.draw_delay)),
        "height",
    )?;
    store_slot(
        execution,
        slot_id,
        &mut slot,
        Timer {
            time: Millis::ZERO,
            height,
        },
    );
    Ok(())
}
