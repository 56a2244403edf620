use super::{
    GovernanceError,
    records::{keep, known},
    submit_proposal::{begin, check_room},
};
use crate::{
    bank,
    execution::Execution,
    fault::{Fault, OrFault, counted},
};
use fairweir_types::{
    Address, Amount, Event, Rounding, event,
    governance::{Deposited, ProposalPhase},
    limits::PROPOSAL_DEPOSITORS_MAX,
    tx::AddDeposit,
};

/// Adds to a proposal's deposit; with the whole of it the voting begins.
pub(crate) fn add_deposit(
    execution: &mut Execution<'_>,
    sender: Address,
    action: &AddDeposit,
) -> Result<(), GovernanceError> {
    let id = action.proposal;
    let mut proposal = known(execution, id)?;
    if proposal.phase != ProposalPhase::Deposit {
        return Err(GovernanceError::NotInThatPhase {
            found: proposal.phase,
        });
    }
    if action.amount == Amount::ZERO {
        return Err(GovernanceError::NothingDeposited);
    }
    let there = proposal.deposit()?;
    let missing = proposal.needed.checked_sub(there).or_fault()?;
    let amount = action.amount.at_most(missing);
    let parts = proposal.deposits.as_mut_slice();
    let part = parts.iter().position(|part| part.from == sender);
    if part.is_none() {
        let min = least_part(missing, parts.len())?;
        if amount < min {
            let found = amount;
            return Err(GovernanceError::DepositTooSmall { min, found });
        }
    }
    let balance = bank::account(&execution.overlay, sender)?.balance;
    if balance < amount {
        return Err(GovernanceError::CannotPayDeposit { balance, amount });
    }
    match part.and_then(|position| parts.get_mut(position)) {
        Some(part) => part.amount = part.amount.checked_add(amount).or_fault()?,
        None => {
            let part = Deposited {
                from: sender,
                amount,
            };
            let added = proposal.deposits.push(part);
            added.map_err(|_| Fault::Counter {
                what: "payers of a deposit",
            })?;
        }
    }
    if amount == missing {
        check_room(execution, &proposal.message)?;
    }
    bank::debit(execution, sender, amount)?;
    execution.emit(Event::DepositAdded(event::DepositAdded {
        proposal: id,
        from: sender,
        amount,
        deposit: there.checked_add(amount).or_fault()?,
    }));
    if amount == missing {
        begin(execution, id, proposal)?;
    } else {
        keep(execution, id, &proposal);
    }
    Ok(())
}

/// The least that a new payer adds: an even share of what is missing among the places that are left, so that the last of them pays all of
/// it. Else accounts with a base unit each could fill the places and leave the deposit short.
fn least_part(missing: Amount, payers: usize) -> Result<Amount, Fault> {
    let free = PROPOSAL_DEPOSITORS_MAX.checked_sub(payers);
    let free = free.and_then(|free| u64::try_from(free).ok());
    let places = counted(free.filter(|free| *free > 0), "payers of a deposit")?;
    missing
        .checked_mul_ratio(1, places, Rounding::Up)
        .or_fault()
}
