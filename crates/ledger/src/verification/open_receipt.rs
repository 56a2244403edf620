use super::VerificationError;
use crate::{
    execution::Execution,
    market::{Phase, slot},
};
use fairweir_types::{
    Address, BoundedVec, Event,
    event::ReceiptOpened,
    receipt::{Tier, trace},
    tx::OpenReceipt,
};

/// Opens the worker's trace and lets the verifiers reveal.
pub(crate) fn open_receipt(
    execution: &mut Execution<'_>,
    sender: Address,
    open: &OpenReceipt,
) -> Result<(), VerificationError> {
    let OpenReceipt {
        slot_id,
        salt,
        output,
    } = *open;
    let Some(mut record) = slot(&execution.overlay, slot_id)? else {
        return Err(VerificationError::NoSuchSlot);
    };
    if record.phase != Phase::Opening {
        return Err(VerificationError::WrongPhase {
            expected: Phase::Opening,
            found: record.phase,
        });
    }
    // A batch is opened by its leaves, and has no receipt of its own.
    let Some(signed) = record.receipt.as_ref() else {
        return Err(VerificationError::DoesNotOpen);
    };
    let receipt = &signed.receipt;
    // Made here of the units that will be paid, so that the trace cannot be of fewer.
    let trace = trace(&receipt.spec_digest, &output, &receipt.units);
    if !receipt.is_opened_by(record.assigned()?, &salt, &trace) {
        return Err(VerificationError::DoesNotOpen);
    }
    if record.worker != Some(sender) {
        return Err(VerificationError::NotTheWorker);
    }
    record.opened = Some(trace);
    execution.emit(Event::ReceiptOpened(ReceiptOpened {
        slot_id,
        worker: sender,
        trace,
        samples: BoundedVec::default(),
    }));
    super::window::begin_reveal(execution, slot_id, record, Tier::First)?;
    Ok(())
}
