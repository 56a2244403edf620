use super::{
    CandidateError, candidate,
    delegation::{self, Between, delegation, free},
    end_block::{Entry, wait},
};
use crate::{execution::Execution, fault::OrFault, refusal::Refusal};
use fairweir_types::{Address, Amount, Event, event::StakeUndelegated, tx::UndelegateStake};

/// Starts taking stake back: it counts no more, and stays in the pot until the delay is over.
pub(crate) fn undelegate_stake(
    execution: &mut Execution<'_>,
    sender: Address,
    undelegate: &UndelegateStake,
) -> Result<(), Refusal> {
    let UndelegateStake {
        candidate: account,
        shares,
    } = *undelegate;
    if shares == Amount::ZERO {
        return Err(CandidateError::ZeroAmount.into());
    }
    let Some(mut record) = candidate(&execution.overlay, account)? else {
        return Err(CandidateError::NoSuchCandidate.into());
    };
    let Some(known) = delegation(&execution.overlay, sender, account)? else {
        return Err(CandidateError::NoDelegation.into());
    };
    let free = free(&known)?;
    if free < shares {
        return Err(CandidateError::AboveDelegation { free, shares }.into());
    }
    let between = Between {
        delegator: sender,
        candidate: account,
    };
    delegation::remove(execution, between, (&mut record, known), shares)?;
    record.leaving = record.leaving.checked_add(shares).or_fault()?;
    let entry = Entry {
        delegator: sender,
        candidate: account,
        shares,
        left: None,
    };
    let free_at = wait(execution, record, entry)?;
    execution.emit(Event::StakeUndelegated(StakeUndelegated {
        candidate: account,
        delegator: sender,
        shares,
        free_at,
    }));
    Ok(())
}
