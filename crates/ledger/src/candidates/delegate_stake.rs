use super::{
    Candidate, CandidateError, candidate,
    delegation::{self, Between},
    operator, pot,
};
use crate::{bank, execution::Execution, refusal::Refusal, state::State};
use fairweir_types::{Address, Amount, Event, event::StakeDelegated, tx::DelegateStake};

/// Moves balance behind a candidate.
pub(crate) fn delegate_stake(
    execution: &mut Execution<'_>,
    sender: Address,
    delegate: &DelegateStake,
) -> Result<(), Refusal> {
    let DelegateStake { candidate, amount } = *delegate;
    let between = Between {
        delegator: sender,
        candidate,
    };
    delegation::sweep(execution, sender)?;
    let mut record = check(execution, between, amount)?;
    bank::debit(execution, sender, amount)?;
    record.put(amount)?;
    delegation::add(execution, between, &mut record, (amount, Amount::ZERO))?;
    pot::keep(execution, candidate, &record);
    execution.emit(Event::StakeDelegated(StakeDelegated {
        candidate,
        delegator: sender,
        amount,
    }));
    Ok(())
}

fn check(
    execution: &Execution<'_>,
    between: Between,
    amount: Amount,
) -> Result<Candidate, CandidateError> {
    if amount == Amount::ZERO {
        return Err(CandidateError::ZeroAmount);
    }
    let record = open(&execution.overlay, between.candidate, between.delegator)?;
    let balance = bank::account(&execution.overlay, between.delegator)?.balance;
    if balance < amount {
        return Err(CandidateError::CannotPayDelegation { balance, amount });
    }
    delegation::check_room(&execution.overlay, between)?;
    operator::check_behind(&record, (between.candidate, between.delegator))?;
    Ok(record)
}

/// A candidate that stake may be put behind. Its own account may before it stands again.
pub(super) fn open(
    state: &dyn State,
    account: Address,
    delegator: Address,
) -> Result<Candidate, CandidateError> {
    let Some(record) = candidate(state, account)? else {
        return Err(CandidateError::NoSuchCandidate);
    };
    if record.is_tombstoned() {
        return Err(CandidateError::Tombstoned);
    }
    if !record.stands && account != delegator {
        return Err(CandidateError::DoesNotStand);
    }
    Ok(record)
}
