use super::{stake, store, unbond::Entry};
use crate::{
    bank,
    execution::Execution,
    fault::{Fault, OrFault},
    keys,
    state::scan,
};
use fairweir_types::{
    Amount, Event,
    event::{Bonded, Unbonded},
    limits::SWEEP_ITEMS_MAX,
};

/// Frees stake whose unbonding delay is over, but for what a penalty motion may take, which is bonded again; at most a bounded number per block, the rest in the next.
/// It waits while withdrawals are halted.
pub(crate) fn end_block(execution: &mut Execution<'_>) -> Result<(), Fault> {
    if execution.halted.is_some() {
        return Ok(());
    }
    let (from, to) = keys::unbonding_until(execution.now);
    for (key, entry) in scan::<Entry>(&execution.overlay, &from, &to, SWEEP_ITEMS_MAX)? {
        let mut record = stake(&execution.overlay, entry.account)?;
        // A slash may have taken a part meanwhile.
        let amount = entry.amount.at_most(record.unbonding);
        record.unbonding = record.unbonding.checked_sub(amount).or_fault()?;
        let held = record.charged.checked_sub(record.slashable()?);
        let held = held.unwrap_or(Amount::ZERO).at_most(amount);
        let freed = amount.checked_sub(held).or_fault()?;
        record.bonded = record.bonded.checked_add(held).or_fault()?;
        store(execution, entry.account, &record)?;
        bank::credit(execution, entry.account, freed)?;
        execution.overlay.delete(key);
        let account = entry.account;
        if held > Amount::ZERO {
            let amount = held;
            execution.emit(Event::Bonded(Bonded { account, amount }));
        }
        if freed > Amount::ZERO {
            let amount = freed;
            execution.emit(Event::Unbonded(Unbonded { account, amount }));
        }
    }
    Ok(())
}
