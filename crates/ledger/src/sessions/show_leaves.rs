use super::{SessionError, lane::payers_of, share_leaves::readers_of};
use crate::{
    execution::Execution,
    fault::present,
    market::{Phase, order, slot},
    verification,
};
use fairweir_types::{Address, Boxed, Event, event::LeavesShown, receipt::Tier, tx::ShowLeaves};

/// Takes what a batch's worker shows of its sampled leaves to its verifiers, who commit from here on.
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
    let event = LeavesShown {
        slot_id,
        lane: batch.lane,
        worker: sender,
        payers: payers_of(&order)?,
        kind: order.header.kind,
        version: order.header.version,
        prices: record.prices,
        demand: order.header.demand,
        root: batch.root,
        count: batch.count,
        numbers: batch.numbers,
        samples: batch.samples.clone(),
        leaves: batch.leaves.clone(),
        shown: show.shown,
        sealed: show.sealed,
        readers: readers_of(&record.first),
    };
    record.batch = Some(batch);
    record.matched = execution.context.height;
    execution.emit(Event::LeavesShown(Boxed::new(event)));
    verification::begin_commit(execution, slot_id, record, Tier::First)?;
    Ok(())
}
