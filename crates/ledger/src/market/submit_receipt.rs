use super::{MarketError, Phase, Timer, order, slot, store_slot};
use crate::{
    execution::Execution,
    fault::{counted, present},
};
use fairweir_types::{
    Address, Boxed, Event, Height, Millis, Receipt, event::ReceiptSubmitted, tx::SubmitReceipt,
};

/// Takes the receipt of the assigned worker and puts the slot up for the draw of its verifiers.
pub(crate) fn submit_receipt(
    execution: &mut Execution<'_>,
    sender: Address,
    submit: &SubmitReceipt,
) -> Result<(), MarketError> {
    let signed = &submit.receipt;
    let receipt = &signed.receipt;
    let slot_id = receipt.slot_id;
    let Some(mut record) = slot(&execution.overlay, slot_id)? else {
        return Err(MarketError::NoSuchSlot);
    };
    if record.phase != Phase::Executing {
        return Err(MarketError::WrongPhase {
            expected: Phase::Executing,
            found: record.phase,
        });
    }
    if record.worker != Some(sender) {
        return Err(MarketError::NotTheWorker);
    }
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    if let Some(field) = first_difference(execution, receipt, &order.header, record.attempt) {
        return Err(MarketError::ReceiptDoesNotMatch { field });
    }
    if !receipt.units.within(&order.header.demand.units) {
        return Err(MarketError::UnitsAboveDemand);
    }
    if signed.worker.address() != sender || !signed.is_signed() {
        return Err(MarketError::ReceiptNotSigned);
    }
    record.receipt = Some(signed.clone());
    record.phase = Phase::AwaitingDraw;
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
        &mut record,
        Timer {
            time: Millis::ZERO,
            height,
        },
    );
    execution.emit(Event::ReceiptSubmitted(Boxed::new(ReceiptSubmitted {
        slot_id,
        worker: sender,
        receipt: signed.clone(),
    })));
    Ok(())
}

fn first_difference(
    execution: &Execution<'_>,
    receipt: &Receipt,
    header: &fairweir_types::order::OrderHeader,
    attempt: u16,
) -> Option<&'static str> {
    [
        ("chain id", receipt.chain_id == execution.context.chain_id),
        ("assignment number", receipt.attempt == attempt),
        ("kind", receipt.kind == header.kind),
        ("version", receipt.version == header.version),
        ("spec digest", receipt.spec_digest == header.spec_digest),
    ]
    .into_iter()
    .find_map(|(field, same)| (!same).then_some(field))
}
