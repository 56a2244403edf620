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
    /// What was bonded or delegated.
    bonded: Amount,
}
state_record!(Note { upto, bonded });

/// What a stake was, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Notes {
    notes: BoundedVec<Note, VOTINGS_MAX>,
}
state_record!(Notes { notes });

/// The stake that an account's vote weighs in an open voting.
///
/// # Errors
/// [`Fault::Record`].
pub fn power_in(state: &dyn State, account: Address, voting: u64) -> Result<Amount, Fault> {
    let known: Notes = load(state, &keys::stake_notes(account))?.unwrap_or_default();
    match known.notes.iter().find(|note| note.upto >= voting) {
        Some(note) => Ok(note.bonded),
        None => stake::stake(state, account)?.weight(),
    }
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
    let mut kept = Notes::default();
    let mut upto = 0;
    let full = |_| Fault::Counter {
        what: "notes of a stake",
    };
    for note in &known.unwrap_or_default().notes {
        let is_needed = numbers
            .open
            .iter()
            .any(|open| upto < *open && *open <= note.upto);
        if is_needed {
            kept.notes.push(*note).map_err(full)?;
            upto = note.upto;
        }
    }
    if numbers.open.iter().any(|open| *open > upto) {
        let note = Note {
            upto: numbers.votings,
            bonded,
        };
        kept.notes.push(note).map_err(full)?;
    }
    if kept.notes.is_empty() {
        execution.overlay.delete(key);
    } else {
        execution.overlay.store(key, &kept);
    }
    Ok(())
}
