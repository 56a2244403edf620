use super::{SessionError, lane::payers_of};
use crate::{
    execution::Execution,
    fault::{counted, present},
    market::{Phase, Timer, order, slot, store_slot},
};
use fairweir_types::{Address, Boxed, Event, Height, Millis, event::LeavesShown, tx::ShowLeaves};

/// Takes what a batch's worker shows of its sampled leaves, and puts the batch up for the draw of its verifiers.
///
/// Whether the leaves lie under the root is for the verifiers to find: all of them find the same.
pub(crate) fn show_leaves(
    execution: &mut Execution<'_>,
    sender: Address,
    show: &ShowLeaves,
) -> Result<(), SessionError> {
    let slot_id = show.slot_id;
    let Some(mut record) = slot(&execution.overlay, slot_id)? else {
        return Err(SessionError::NoSuchLane);
    };
    if record.phase != Phase::Showing {
        return Err(SessionError::WrongPhase {
            expected: Phase::Showing,
            found: record.phase,
        });
    }
    if record.worker != Some(sender) {
        return Err(SessionError::NotTheWorker);
    }
    let mut batch = present(record.batch.take(), "batch of a slot that shows")?;
    if show.leaves.len() != batch.samples.len() {
        return Err(SessionError::OtherLeaves {
            expected: batch.samples.len(),
            found: show.leaves.len(),
        });
    }
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    batch.leaves = show.leaves.clone();
    batch.shown = show.shown;
    let event = LeavesShown {
        slot_id,
        lane: batch.lane,
        worker: sender,
        payers: payers_of(&order)?,
        kind: order.header.kind,
        prices: record.prices,
        demand: order.header.demand,
        root: batch.root,
        count: batch.count,
        numbers: batch.numbers,
        samples: batch.samples.clone(),
        leaves: batch.leaves.clone(),
        shown: batch.shown,
    };
    record.batch = Some(batch);
    record.phase = Phase::AwaitingDraw;
    record.matched = execution.context.height;
    let height = counted(
        execution
            .context
            .height
            .checked_add(Height(execution.params.draw_delay)),
        "height",
    )?;
    let timer = Timer {
        time: Millis::ZERO,
        height,
    };
    store_slot(execution, slot_id, &mut record, timer);
    execution.emit(Event::LeavesShown(Boxed::new(event)));
    Ok(())
}
