use super::{stake, store, unbond::Entry};
use crate::{
    bank,
    execution::Execution,
    fault::{Fault, OrFault},
    keys,
    state::scan,
};
use fairweir_types::{Event, event::Unbonded, limits::SWEEP_ITEMS_MAX};

/// Frees stake whose unbonding delay is over; at most a bounded number per block, the rest in the next.
pub(crate) fn end_block(execution: &mut Execution<'_>) -> Result<(), Fault> {
    let (from, to) = keys::unbonding_until(execution.now);
    for (key, entry) in scan::<Entry>(&execution.overlay, &from, &to, SWEEP_ITEMS_MAX)? {
        let mut record = stake(&execution.overlay, entry.account)?;
        // A slash may have taken a part meanwhile.
        let amount = entry.amount.at_most(record.unbonding);
        record.unbonding = record.unbonding.checked_sub(amount).or_fault()?;
        store(execution, entry.account, &record)?;
        bank::credit(execution, entry.account, amount)?;
        execution.overlay.delete(key);
        execution.emit(Event::Unbonded(Unbonded {
            account: entry.account,
            amount,
        }));
    }
    Ok(())
}
