use super::{
    GovernanceError,
    records::{keep, known},
    submit_proposal::{begin, check_room},
};
use crate::{bank, execution::Execution, fault::OrFault};
use fairweir_types::{
    Address, Amount, Event, event,
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
    let balance = bank::account(&execution.overlay, sender)?.balance;
    if balance < amount {
        return Err(GovernanceError::CannotPayDeposit { balance, amount });
    }
    let parts = proposal.deposits.as_mut_slice();
    match parts.iter_mut().find(|part| part.from == sender) {
        Some(part) => part.amount = part.amount.checked_add(amount).or_fault()?,
        None => {
            let part = Deposited {
                from: sender,
                amount,
            };
            let added = proposal.deposits.push(part);
            added.map_err(|_| GovernanceError::TooManyDepositors {
                max: PROPOSAL_DEPOSITORS_MAX,
            })?;
        }
    }
    if amount == missing {
        check_room(execution)?;
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
