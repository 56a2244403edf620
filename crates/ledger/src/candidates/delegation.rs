//! What one account has behind one candidate.

use super::{Candidate, CandidateError};
use crate::{
    bank,
    execution::Execution,
    fault::{Fault, OrFault, present},
    governance::{Notes, note_change, prune},
    keys,
    refusal::Refusal,
    registry, stake,
    state::{State, load, scan, state_record},
};
use fairweir_types::{Address, Amount, Event, event::RewardsClaimed, limits::DELEGATIONS_MAX};

/// A delegation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delegation {
    /// Its shares, without those on their way back.
    pub shares: Amount,
    /// How many of them came by redelegation: they stay until they answer no more for the candidate that they left.
    pub moved: Amount,
    /// What its shares were when votings began. A delegation without shares stays as long as it is needed for that.
    pub notes: Notes,
    /// The candidate's index when it was last paid.
    pub index: u128,
    /// The refundable deposit for this record.
    pub deposit: Amount,
}
state_record!(Delegation {
    shares,
    moved,
    notes,
    index,
    deposit
});

/// Who has something behind whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Between {
    pub(super) delegator: Address,
    pub(super) candidate: Address,
}

impl Between {
    pub(super) fn key(self) -> Vec<u8> {
        keys::delegation(self.delegator, self.candidate)
    }
}

/// What an account has behind a candidate, if it is more than nothing.
///
/// # Errors
/// [`Fault::Record`].
pub fn delegation(
    state: &dyn State,
    delegator: Address,
    candidate: Address,
) -> Result<Option<Delegation>, Fault> {
    let known: Option<Delegation> = load(state, &keys::delegation(delegator, candidate))?;
    Ok(known.filter(|known| known.shares > Amount::ZERO))
}

/// All delegations of an account, with their keys.
pub(super) fn of_account(
    state: &dyn State,
    delegator: Address,
) -> Result<Vec<(Vec<u8>, Delegation)>, Fault> {
    let (from, to) = keys::delegations_of(delegator);
    scan(state, &from, &to, DELEGATIONS_MAX)
}

/// Whether an account may have something behind one more candidate.
pub(super) fn check_room(state: &dyn State, between: Between) -> Result<(), CandidateError> {
    let known: Option<Delegation> = load(state, &between.key())?;
    if known.is_none() && of_account(state, between.delegator)?.len() >= DELEGATIONS_MAX {
        return Err(CandidateError::TooManyDelegations {
            max: DELEGATIONS_MAX,
        });
    }
    Ok(())
}

/// Pays a delegation what it earned; returns how much. Shares change only after this.
pub(super) fn pay(
    execution: &mut Execution<'_>,
    between: Between,
    (candidate, record): (&mut Candidate, &mut Delegation),
) -> Result<Amount, Fault> {
    let earned = candidate.earned(record.shares, record.index)?;
    record.index = candidate.index;
    if earned == Amount::ZERO {
        return Ok(earned);
    }
    candidate.rewards = candidate.rewards.checked_sub(earned).or_fault()?;
    bank::credit(execution, between.delegator, earned)?;
    execution.emit(Event::RewardsClaimed(RewardsClaimed {
        candidate: between.candidate,
        delegator: between.delegator,
        amount: earned,
    }));
    Ok(earned)
}

/// Puts shares of a candidate's pot to an account; the caller has put the money into it.
pub(super) fn add(
    execution: &mut Execution<'_>,
    between: Between,
    candidate: &mut Candidate,
    (shares, moved): (Amount, Amount),
) -> Result<(), Refusal> {
    let key = between.key();
    let known: Option<Delegation> = execution.overlay.load(&key)?;
    let mut record = known.unwrap_or(Delegation {
        index: candidate.index,
        ..Delegation::default()
    });
    pay(execution, between, (candidate, &mut record))?;
    change(execution, between, (candidate, &mut record), |before| {
        before.checked_add(shares).or_fault()
    })?;
    record.moved = record.moved.checked_add(moved).or_fault()?;
    let held = record.deposit;
    record.deposit = registry::adjust_deposit(execution, between.delegator, held, (&key, &record))?;
    execution.overlay.store(key, &record);
    stake::delegate(execution, between.delegator, shares)?;
    Ok(())
}

/// Takes shares from an account; what becomes of them is the caller's. A delegation without any is gone, once no voting needs it.
pub(super) fn remove(
    execution: &mut Execution<'_>,
    between: Between,
    (candidate, mut record): (&mut Candidate, Delegation),
    shares: Amount,
) -> Result<(), Fault> {
    pay(execution, between, (candidate, &mut record))?;
    change(execution, between, (candidate, &mut record), |before| {
        before.checked_sub(shares).or_fault()
    })?;
    stake::undelegate(execution, between.delegator, shares)?;
    store_or_drop(execution, between, &record)
}

/// Changes shares, and with those of others what the candidate votes with; both remember what they were when votings began.
fn change(
    execution: &Execution<'_>,
    between: Between,
    (candidate, record): (&mut Candidate, &mut Delegation),
    to: impl Fn(Amount) -> Result<Amount, Fault>,
) -> Result<(), Fault> {
    // Its own it votes with anyway.
    if between.delegator != between.candidate {
        note_change(execution, &mut candidate.notes, candidate.backing)?;
        note_change(execution, &mut record.notes, record.shares)?;
        candidate.backing = to(candidate.backing)?;
    }
    record.shares = to(record.shares)?;
    Ok(())
}

fn store_or_drop(
    execution: &mut Execution<'_>,
    between: Between,
    record: &Delegation,
) -> Result<(), Fault> {
    let key = between.key();
    if record.shares > Amount::ZERO || !record.notes.is_empty() {
        execution.overlay.store(key, record);
        return Ok(());
    }
    execution.overlay.delete(key);
    bank::credit(execution, between.delegator, record.deposit)
}

/// Drops an account's delegations without shares that no voting needs any more, with their deposits.
pub(super) fn sweep(execution: &mut Execution<'_>, delegator: Address) -> Result<(), Fault> {
    for (key, mut record) in of_account(&execution.overlay, delegator)? {
        if record.shares > Amount::ZERO {
            continue;
        }
        prune(execution, &mut record.notes)?;
        let candidate = present(keys::address_of(&key), "candidate in a delegation's key")?;
        let between = Between {
            delegator,
            candidate,
        };
        store_or_drop(execution, between, &record)?;
    }
    Ok(())
}

/// What an account had delegated to others when an open voting began.
pub(crate) fn delegated_in(
    state: &dyn State,
    delegator: Address,
    voting: u64,
) -> Result<Vec<(Address, Amount)>, Fault> {
    let mut found = Vec::new();
    for (key, record) in of_account(state, delegator)? {
        let candidate = present(keys::address_of(&key), "candidate in a delegation's key")?;
        let shares = record.notes.at(voting, record.shares);
        if candidate != delegator && shares > Amount::ZERO {
            found.push((candidate, shares));
        }
    }
    Ok(found)
}

/// What of a delegation may leave.
pub(super) fn free(record: &Delegation) -> Result<Amount, Fault> {
    record.shares.checked_sub(record.moved).or_fault()
}
