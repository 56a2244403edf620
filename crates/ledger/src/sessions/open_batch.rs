use super::SessionError;
use crate::{
    execution::Execution,
    fault::present,
    market::{Phase, slot},
    verification,
};
use fairweir_types::{
    Address, BoundedVec, Event,
    event::ReceiptOpened,
    receipt::{Tier, output_commitment},
    session::{LeafOpening, SampledLeaf, batch_trace, missing_leaf_trace, request_slot},
    tx::OpenBatch,
};

/// Opens the commitments of a batch's sampled leaves and lets the verifiers reveal.
pub(crate) fn open_batch(
    execution: &mut Execution<'_>,
    sender: Address,
    open: &OpenBatch,
) -> Result<(), SessionError> {
    let slot_id = open.slot_id;
    let Some(mut record) = slot(&execution.overlay, slot_id)? else {
        return Err(SessionError::NoSuchLane);
    };
    let Some(batch) = record
        .batch
        .as_mut()
        .filter(|_| record.phase == Phase::Opening)
    else {
        return Err(SessionError::WrongPhase {
            expected: Phase::Opening,
            found: record.phase,
        });
    };
    if record.worker != Some(sender) {
        return Err(SessionError::NotTheWorker);
    }
    if open.openings.len() != batch.leaves.len() {
        return Err(SessionError::OtherLeaves {
            expected: batch.leaves.len(),
            found: open.openings.len(),
        });
    }
    let worker = present(record.worker, "worker of a batch")?;
    let opens = |(position, (leaf, opening)): (u64, (&SampledLeaf, &LeafOpening))| {
        let request = request_slot(&batch.lane, leaf.index);
        // What verifiers find of a leaf that is not shown everybody knows: a worker that shows nothing could commit to it.
        opening.trace != missing_leaf_trace(&slot_id, position)
            && output_commitment(worker, &request, 0, &opening.salt, &opening.trace)
                == leaf.commitment
    };
    let pairs = batch.leaves.iter().zip(open.openings.iter());
    let closed = (0..).zip(pairs).position(|numbered| !opens(numbered));
    if let Some(position) = closed {
        return Err(SessionError::DoesNotOpen { position });
    }
    let samples = BoundedVec::truncating(open.openings.iter().map(|opening| opening.trace));
    let trace = batch_trace(&slot_id, samples.iter());
    batch.hear(&slot_id, &trace, &samples);
    record.opened = Some(trace);
    execution.emit(Event::ReceiptOpened(ReceiptOpened {
        slot_id,
        worker: sender,
        trace,
        samples,
    }));
    verification::begin_reveal(execution, slot_id, record, Tier::First)?;
    Ok(())
}
