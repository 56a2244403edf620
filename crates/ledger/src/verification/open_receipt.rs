use super::VerificationError;
use crate::{
    execution::Execution,
    fault::present,
    market::{Phase, slot},
};
use fairweir_types::{
    Address, Event,
    event::ReceiptOpened,
    receipt::{Tier, output_commitment},
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
        trace,
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
    let committed = present(record.receipt.as_ref(), "receipt of a slot that is opened")?
        .receipt
        .output_commitment;
    if output_commitment(&salt, &trace) != committed {
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
    }));
    super::window::begin_reveal(execution, slot_id, record, Tier::First)?;
    Ok(())
}
