//! What is due: stake whose delay is over, and redelegations that answer for the candidate they left no more.

use super::{
    Candidate, candidate,
    delegation::{self, Between, delegation},
    epochs, pot,
};
use crate::{
    bank,
    execution::Execution,
    fault::{Fault, OrFault, counted, present},
    keys,
    params::Params,
    state::{scan, state_record},
};
use fairweir_types::{
    Address, Amount, Event, Millis,
    event::{RedelegationSlashed, StakeReturned},
    limits::SWEEP_ITEMS_MAX,
};

/// Shares that wait for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Whose.
    pub(crate) delegator: Address,
    /// Behind whom.
    pub(crate) candidate: Address,
    /// How many.
    pub(crate) shares: Amount,
    /// For whom they answer besides, if they came by redelegation; else they are on their way back.
    pub(crate) left: Option<Address>,
}
state_record!(Entry {
    delegator,
    candidate,
    shares,
    left
});

/// Lets shares wait for the unbonding delay, counted by their candidate, whose record is kept; says until when.
pub(super) fn wait(
    execution: &mut Execution<'_>,
    mut record: Candidate,
    entry: Entry,
) -> Result<Millis, Fault> {
    let number = record.entries;
    record.entries = counted(number.checked_add(1), "entries of a candidate")?;
    pot::keep(execution, entry.candidate, &record);
    let until = execution.window_end(execution.params.unbonding_delay)?;
    let key = keys::delegation_due(until, entry.candidate, number);
    execution.overlay.store(key, &entry);
    Ok(until)
}

/// Works off what is due, at most a bounded number per block, and ends the epoch when its last block is made. Entries are looked at after all transactions
/// of the block: a double vote that is shown in the last moment still counts.
pub(crate) fn end_block(execution: &mut Execution<'_>) -> Result<(), Fault> {
    // What is due waits while withdrawals are halted.
    if execution.halted.is_some() {
        return epochs::end_block(execution);
    }
    let (from, to) = keys::delegations_due_until(execution.now);
    for (key, entry) in scan::<Entry>(&execution.overlay, &from, &to, SWEEP_ITEMS_MAX)? {
        execution.overlay.delete(key);
        match entry.left {
            None => pay_out(execution, entry)?,
            Some(left) => settle(execution, entry, left)?,
        }
    }
    epochs::end_block(execution)
}

fn pay_out(execution: &mut Execution<'_>, entry: Entry) -> Result<(), Fault> {
    let found = candidate(&execution.overlay, entry.candidate)?;
    let mut record = present(found, "candidate of stake on its way back")?;
    let amount = record.take(entry.shares)?;
    record.leaving = record.leaving.checked_sub(entry.shares).or_fault()?;
    pot::keep(execution, entry.candidate, &record);
    bank::credit(execution, entry.delegator, amount)?;
    execution.emit(Event::StakeReturned(StakeReturned {
        candidate: entry.candidate,
        delegator: entry.delegator,
        amount,
    }));
    Ok(())
}

/// Lets what moved go free; what the candidate that it left was slashed by burns of it first.
fn settle(execution: &mut Execution<'_>, entry: Entry, left: Address) -> Result<(), Fault> {
    let between = Between {
        delegator: entry.delegator,
        candidate: entry.candidate,
    };
    let found = candidate(&execution.overlay, entry.candidate)?;
    let mut record = present(found, "candidate of a redelegation")?;
    let found = delegation(&execution.overlay, entry.delegator, entry.candidate)?;
    let mut known = present(found, "delegation of a redelegation")?;
    known.moved = known.moved.checked_sub(entry.shares).or_fault()?;
    execution.overlay.store(between.key(), &known);
    let found = candidate(&execution.overlay, left)?;
    let slashed = present(found, "candidate that was left")?.slashed;
    let lost = Params::share_up(entry.shares, slashed.get()).or_fault()?;
    if lost == Amount::ZERO {
        return Ok(());
    }
    delegation::remove(execution, between, (&mut record, known), lost)?;
    let burned = record.take(lost)?;
    pot::keep(execution, entry.candidate, &record);
    bank::burn(execution, burned)?;
    execution.emit(Event::RedelegationSlashed(RedelegationSlashed {
        from: left,
        to: entry.candidate,
        delegator: entry.delegator,
        burned,
    }));
    Ok(())
}
