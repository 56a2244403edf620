use super::{
    Candidate, CandidateError, Delegation, candidate,
    delegate_stake::open,
    delegation::{self, Between, delegation, free},
    end_block::{Entry, wait},
    operator, pot,
};
use crate::{execution::Execution, refusal::Refusal};
use fairweir_types::{Address, Amount, Event, event::Redelegated, tx::RedelegateStake};

/// Moves stake from one candidate to another at once; until the unbonding delay is over it stays there, and answers for the first.
pub(crate) fn redelegate_stake(
    execution: &mut Execution<'_>,
    sender: Address,
    redelegate: &RedelegateStake,
) -> Result<(), Refusal> {
    let RedelegateStake { from, to, amount } = *redelegate;
    delegation::sweep(execution, sender)?;
    let (mut left, mut joined, known) = check(execution, sender, redelegate)?;
    let between = |candidate: Address| Between {
        delegator: sender,
        candidate,
    };
    delegation::remove(execution, between(from), (&mut left, known), amount)?;
    // The place of a delegation that moved whole is free for the one that it becomes, unless a voting needs it.
    delegation::check_room(&execution.overlay, between(to))?;
    operator::check_behind(&joined, (to, sender))?;
    let worth = left.take(amount)?;
    pot::keep(execution, from, &left);
    joined.put(worth)?;
    delegation::add(execution, between(to), &mut joined, (worth, worth))?;
    let entry = Entry {
        delegator: sender,
        candidate: to,
        shares: worth,
        left: Some(from),
    };
    let until = wait(execution, joined, entry)?;
    execution.emit(Event::Redelegated(Redelegated {
        from,
        to,
        delegator: sender,
        amount: worth,
        until,
    }));
    Ok(())
}

/// The candidate that is left, the one that is joined, and what the account has behind the first.
fn check(
    execution: &Execution<'_>,
    sender: Address,
    &RedelegateStake { from, to, amount }: &RedelegateStake,
) -> Result<(Candidate, Candidate, Delegation), CandidateError> {
    let state = &execution.overlay;
    if amount == Amount::ZERO {
        return Err(CandidateError::ZeroAmount);
    }
    if from == to {
        return Err(CandidateError::SameCandidate);
    }
    let Some(left) = candidate(state, from)? else {
        return Err(CandidateError::NoSuchCandidate);
    };
    if candidate(state, to)?.is_none() {
        return Err(CandidateError::NoSuchCandidate);
    }
    // Shares of one that was slashed are no coins any more.
    if left.is_tombstoned() {
        return Err(CandidateError::Tombstoned);
    }
    let joined = open(state, to, sender)?;
    let Some(known) = delegation(state, sender, from)? else {
        return Err(CandidateError::NoDelegation);
    };
    let free = free(&known)?;
    if free < amount {
        return Err(CandidateError::AboveDelegation {
            free,
            shares: amount,
        });
    }
    let there = delegation(state, sender, to)?.unwrap_or_default();
    if there.moved > Amount::ZERO {
        return Err(CandidateError::RedelegatedBefore);
    }
    Ok((left, joined, known))
}
