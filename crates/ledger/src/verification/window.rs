//! From one phase of verification to the next, by completeness or by the end of a window.

use crate::{
    execution::Execution,
    fault::{Fault, counted},
    market::{Phase, Slot, Timer, begin_window, store_slot},
    sessions,
};
use fairweir_types::{
    Event, Height, Millis,
    event::{DisputeCause, Disputed, OpeningDue, RevealDue},
    order::SlotId,
    receipt::Tier,
};

/// A window closed before all that it was for happened.
pub(crate) fn window_ended(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: Slot,
) -> Result<(), Fault> {
    match slot.phase {
        Phase::Committing => commitments_complete(execution, slot_id, slot, Tier::First),
        Phase::DisputeCommitting => commitments_complete(execution, slot_id, slot, Tier::Dispute),
        Phase::Opening | Phase::Showing => super::judge::unopened(execution, slot_id, slot),
        Phase::Linking => sessions::link_ended(execution, slot_id, slot),
        Phase::Sharing => sessions::sharing_ended(execution, slot_id, slot),
        Phase::Revealing => super::judge::judge(execution, slot_id, slot, Tier::First),
        Phase::DisputeRevealing => super::judge::judge(execution, slot_id, slot, Tier::Dispute),
        _ => Err(Fault::Missing {
            what: "window of verification",
        }),
    }
}

/// No more commitments: the worker opens, or, when it has, the verifiers reveal.
pub(crate) fn commitments_complete(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    tier: Tier,
) -> Result<(), Fault> {
    if tier == Tier::Dispute {
        return begin_reveal(execution, slot_id, slot, tier);
    }
    let window = (Phase::Opening, execution.params.open_window);
    let due = begin_window(execution, slot_id, &mut slot, window)?;
    let worker = slot.assigned()?;
    execution.emit(Event::OpeningDue(OpeningDue {
        slot_id,
        worker,
        due,
    }));
    Ok(())
}

/// Verifiers that committed may reveal; without any the verdict is reached at once.
pub(crate) fn begin_reveal(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    tier: Tier,
) -> Result<(), Fault> {
    if slot
        .draw_of(tier)
        .iter()
        .all(|drawn| drawn.commitment.is_none())
    {
        return super::judge::judge(execution, slot_id, slot, tier);
    }
    let window = (super::revealing(tier), execution.params.reveal_window);
    let due = begin_window(execution, slot_id, &mut slot, window)?;
    execution.emit(Event::RevealDue(RevealDue { slot_id, tier, due }));
    Ok(())
}

/// Puts a slot up for the draw of the dispute's verifiers.
pub(crate) fn begin_dispute(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    cause: DisputeCause,
) -> Result<(), Fault> {
    slot.phase = Phase::AwaitingDisputeDraw;
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
    execution.emit(Event::Disputed(Disputed { slot_id, cause }));
    Ok(())
}
