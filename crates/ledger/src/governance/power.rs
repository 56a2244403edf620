//! What a vote weighs: the stake that was bonded or delegated when the voting began.
//!
//! Nothing is copied when a voting begins. When a stake changes for the first time after one or more votings began, what it was is noted
//! once, with the number of the newest of them; so the stake in a voting is the first note with that number or a greater one, or the stake as
//! it is. A note that no open voting needs is dropped with the next change, so an account never has more notes than there are votings.

use super::{Governance, governance};
use crate::{
    execution::Execution,
    fault::{Fault, OrFault},
    keys, stake,
    state::{State, load, state_record},
};
use fairweir_types::{Address, Amount, BoundedVec, limits::VOTINGS_MAX};

/// What a stake was until after a voting began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    /// The number of the newest voting that it holds for.
    upto: u64,
    /// What there was.
    stake: Amount,
}
state_record!(Note { upto, stake });

/// What a stake was, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    notes: BoundedVec<Note, VOTINGS_MAX>,
}
state_record!(Notes { notes });

impl Notes {
    /// What there was when an open voting began, if it is `now` as much.
    pub(crate) fn at(&self, voting: u64, now: Amount) -> Amount {
        let note = self.notes.iter().find(|note| note.upto >= voting);
        note.map_or(now, |note| note.stake)
    }

    /// Whether no open voting needs any.
    pub(crate) fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Drops what no open voting needs.
    fn prune(&mut self, numbers: &Governance) -> Result<u64, Fault> {
        let mut kept = BoundedVec::default();
        let mut upto = 0;
        for note in &self.notes {
            let is_needed = numbers
                .open
                .iter()
                .any(|open| upto < *open && *open <= note.upto);
            if is_needed {
                kept.push(*note).map_err(full)?;
                upto = note.upto;
            }
        }
        self.notes = kept;
        Ok(upto)
    }

    /// A stake that was `before` is about to change.
    fn change(&mut self, before: Amount, numbers: &Governance) -> Result<(), Fault> {
        let upto = self.prune(numbers)?;
        if numbers.open.iter().any(|open| *open > upto) {
            let note = Note {
                upto: numbers.votings,
                stake: before,
            };
            self.notes.push(note).map_err(full)?;
        }
        Ok(())
    }
}

fn full(_: fairweir_types::LengthError) -> Fault {
    Fault::Counter {
        what: "notes of a stake",
    }
}

/// Notes that a stake that was `before` changes, for those open votings that have no note yet.
pub(crate) fn note_change(
    execution: &Execution<'_>,
    notes: &mut Notes,
    before: Amount,
) -> Result<(), Fault> {
    notes.change(before, &governance(&execution.overlay)?)
}

/// Drops what no open voting needs.
pub(crate) fn prune(execution: &Execution<'_>, notes: &mut Notes) -> Result<(), Fault> {
    notes.prune(&governance(&execution.overlay)?)?;
    Ok(())
}

/// The stake that an account's vote weighs in an open voting.
///
/// # Errors
/// [`Fault::Record`].
pub fn power_in(state: &dyn State, account: Address, voting: u64) -> Result<Amount, Fault> {
    let known: Notes = load(state, &keys::stake_notes(account))?.unwrap_or_default();
    let now = stake::stake(state, account)?.weight()?;
    Ok(known.at(voting, now))
}

/// What an account has bonded and delegated is about to change.
pub(crate) fn stake_changes(
    execution: &mut Execution<'_>,
    account: Address,
    before: Amount,
    after: Amount,
) -> Result<(), Fault> {
    if before == after {
        return Ok(());
    }
    let mut numbers = governance(&execution.overlay)?;
    let rest = numbers.bonded.checked_sub(before).or_fault()?;
    numbers.bonded = rest.checked_add(after).or_fault()?;
    execution.overlay.store(keys::governance(), &numbers);
    note(execution, account, before, &numbers)
}

fn note(
    execution: &mut Execution<'_>,
    account: Address,
    bonded: Amount,
    numbers: &Governance,
) -> Result<(), Fault> {
    let key = keys::stake_notes(account);
    let known: Option<Notes> = execution.overlay.load(&key)?;
    if known.is_none() && numbers.open.is_empty() {
        return Ok(());
    }
    let mut notes = known.unwrap_or_default();
    notes.change(bonded, numbers)?;
    if notes.is_empty() {
        execution.overlay.delete(key);
    } else {
        execution.overlay.store(key, &notes);
    }
    Ok(())
}
