//! Jail: who had a seat for a whole epoch and made no block in it has none for a while, unless it cannot be spared (`epochs`).
//!
//! Seats are given by stake to candidates that said that their nodes are there. That word is cheap, and a seat that does not vote takes it from somebody who would: with a
//! third of them silent the chain stands still. So a word that was not kept costs the next ones. Nothing is slashed, for a machine that broke is no
//! crime; whoever breaks its word again soon is jailed for twice as long.

use super::{
    Candidate, candidate,
    epochs::{self, Epoch},
    operator::lead_of,
    pot,
};
use crate::{
    execution::Execution,
    fault::{Fault, counted, present},
    governance::GovernanceError,
    keys,
    params::Params,
    state::{State, state_record},
    validators::validator,
};
use fairweir_types::{
    Address, BoundedVec, Event, ProposalId,
    event::{CandidateJailed, CandidateReleased, Seat},
    governance::Release,
    limits::VALIDATORS_MAX,
};

/// Turns to make a block that a seat must have had in an epoch before its silence says anything: leaders of views take turns, so a node that misses half
/// of its turns by chance misses eight in a row once in 256 epochs.
const TURNS_MIN: u64 = 8;
/// How many times longer than the first a jail becomes at most.
const GROWS_MAX: u64 = 256;

/// The epochs in which a candidate has no seat, unless it cannot be spared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jail {
    /// The first of them: the one behind that in which it made no block.
    pub first: u64,
    /// The last of them.
    pub last: u64,
}
state_record!(Jail { first, last });

impl Jail {
    /// The one that follows an epoch of silence; a first one has so many epochs.
    fn after(epoch: u64, before: Option<Self>, epochs: u64) -> Result<Self, Fault> {
        let longer = before.and_then(|before| before.again(epoch));
        let length = longer.map_or(epochs, |longer| {
            longer.clamp(epochs, epochs.saturating_mul(GROWS_MAX))
        });
        Ok(Self {
            first: counted(epoch.checked_add(1), "epochs")?,
            last: counted(epoch.checked_add(length), "epochs")?,
        })
    }

    /// Twice its length, if it has been over for no longer than it took.
    fn again(self, epoch: u64) -> Option<u64> {
        let length = self.last.saturating_sub(self.first).saturating_add(1);
        let is_soon = epoch <= self.last.saturating_add(length);
        is_soon.then(|| length.saturating_mul(2))
    }
}

impl Candidate {
    /// Whether it is jailed in the epoch behind that one.
    pub(super) fn is_jailed_after(&self, epoch: u64) -> bool {
        self.jail.is_some_and(|jail| epoch < jail.last)
    }

    fn is_jailed_in(&self, epoch: u64) -> bool {
        self.jail.is_some_and(|jail| epoch <= jail.last)
    }

    /// The last epoch in which it is jailed, if it is in the one behind that.
    #[must_use]
    pub fn jailed_until(&self, epoch: u64) -> Option<u64> {
        let jail = self.jail.filter(|_| self.is_jailed_after(epoch));
        jail.map(|jail| jail.last)
    }
}

/// Notes that whoever proposed this block made one in this epoch: one record for each seat and epoch.
pub(super) fn note_proposer(execution: &mut Execution<'_>, epoch: u64) -> Result<(), Fault> {
    let identity = execution.context.proposer;
    let Some(mut known) = validator(&execution.overlay, &identity)? else {
        return Ok(());
    };
    if known.proposed != Some(epoch) {
        known.proposed = Some(epoch);
        let key = keys::validator(&identity);
        execution.overlay.store(key, &known);
    }
    Ok(())
}

/// Whether silence in an epoch is judged. Seats that stake did not give were given for no word: who is gone keeps such a seat because there is nobody in its place.
fn is_judged(epoch: &Epoch, held: &[Seat], params: &Params) -> bool {
    let seats = u64::try_from(held.len()).unwrap_or(u64::MAX);
    epoch.by_stake
        && params.jail_epochs > 0
        && params.epoch_blocks >= seats.saturating_mul(TURNS_MIN)
}

/// The candidate of a validator that has made no block in an epoch. Not one that was tombstoned, which is worse, nor one that has its seat in its jail, because it could not be
/// spared: it is not jailed over again.
fn silent(
    state: &dyn State,
    identity: &[u8; 32],
    epoch: &Epoch,
) -> Result<Option<(Address, Candidate)>, Fault> {
    let known = validator(state, identity)?;
    let silent = known.filter(|known| known.proposed != Some(epoch.number) && !known.tombstoned);
    let Some(account) = silent.map(|known| known.account) else {
        return Ok(None);
    };
    let found = candidate(state, account)?;
    let found = found.filter(|found| !found.is_jailed_in(epoch.number));
    Ok(found.map(|record| (account, record)))
}

/// Whether a validator would be jailed if the epoch ended now.
///
/// # Errors
/// [`Fault`].
pub fn would_be_jailed(state: &dyn State, identity: &[u8; 32]) -> Result<bool, Fault> {
    let (epoch, held) = (epochs::epoch(state)?, epochs::seats(state)?);
    let has_seat = held.iter().any(|seat| seat.validator == *identity);
    let is_judged = has_seat && is_judged(&epoch, held.as_slice(), &Params::load(state)?);
    Ok(is_judged && silent(state, identity, &epoch)?.is_some())
}

/// Jails who had a seat in the epoch that ends and made no block in it.
pub(super) fn jail_silent(
    execution: &mut Execution<'_>,
    ends: &Epoch,
    held: &[Seat],
) -> Result<(), Fault> {
    if !is_judged(ends, held, &execution.params) {
        return Ok(());
    }
    // All are found before any is jailed: else whose turn comes first would count for those that are silent beside it.
    let mut found = Vec::new();
    for seat in held {
        let state = &execution.overlay;
        if let Some((account, record)) = silent(state, &seat.validator, ends)? {
            let before = last_jail(state, (account, &record))?;
            found.push((seat.validator, account, before));
        }
    }
    for (validator, account, before) in found {
        let found = candidate(&execution.overlay, account)?;
        let mut record = present(found, "candidate that is silent")?;
        let jail = Jail::after(ends.number, before, execution.params.jail_epochs)?;
        record.jail = Some(jail);
        pot::keep(execution, account, &record);
        if let Some(lead) = lead_of(&execution.overlay, &record)? {
            note_jailed(execution, lead, (account, ends.number))?;
        }
        execution.emit(Event::CandidateJailed(CandidateJailed {
            candidate: account,
            validator,
            epoch: ends.number,
            until: jail.last,
        }));
    }
    Ok(())
}

/// The lead and its further nodes that are noted as jailed, with their records.
fn noted(
    state: &dyn State,
    (account, lead): (Address, &Candidate),
) -> Result<Vec<(Address, Candidate)>, Fault> {
    let mut found = vec![(account, lead.clone())];
    for node in &lead.jailed_nodes {
        let record = present(candidate(state, *node)?, "further node that is jailed")?;
        found.push((*node, record));
    }
    Ok(found)
}

/// The nodes of an operator that are jailed in the epoch behind that one, whether they stand or not.
pub(super) fn jailed_nodes(
    state: &dyn State,
    lead: (Address, &Candidate),
    epoch: u64,
) -> Result<Vec<Address>, Fault> {
    let noted = noted(state, lead)?.into_iter();
    let jailed = noted.filter(|(_, record)| record.is_jailed_after(epoch));
    Ok(jailed.map(|(account, _)| account).collect())
}

/// Notes with its lead that a further node is jailed: the seat that it had is nobody's else of that operator until it is over.
fn note_jailed(
    execution: &mut Execution<'_>,
    (account, mut lead): (Address, Candidate),
    (node, epoch): (Address, u64),
) -> Result<(), Fault> {
    let mut jailed = jailed_nodes(&execution.overlay, (account, &lead), epoch)?;
    jailed.retain(|other| *other != account && *other != node);
    jailed.push(node);
    // As many as there can be seats: the oldest are forgotten.
    let more = jailed.len().saturating_sub(VALIDATORS_MAX);
    let noted = BoundedVec::new(jailed.split_off(more));
    lead.jailed_nodes = counted(noted.ok(), "nodes that are jailed")?;
    pot::keep(execution, account, &lead);
    Ok(())
}

/// The last jail of a candidate, or of another node of the same operator.
fn last_jail(
    state: &dyn State,
    (account, record): (Address, &Candidate),
) -> Result<Option<Jail>, Fault> {
    let lead = lead_of(state, record)?;
    let (lead, of_lead) = lead
        .as_ref()
        .map_or((account, record), |(account, lead)| (*account, lead));
    let of_others = noted(state, (lead, of_lead))?
        .into_iter()
        .map(|(_, other)| other.jail);
    let all = of_others.chain([record.jail]).flatten();
    Ok(all.max_by_key(|jail| jail.last))
}

/// Checks that there is somebody to let out, of that jail.
pub(crate) fn check_release(
    execution: &Execution<'_>,
    release: &Release,
) -> Result<(), GovernanceError> {
    let epoch = epochs::epoch(&execution.overlay)?.number;
    let found = candidate(&execution.overlay, release.candidate)?;
    if found.and_then(|found| found.jailed_until(epoch)) == Some(release.until) {
        return Ok(());
    }
    Err(GovernanceError::NotJailed {
        candidate: release.candidate,
        until: release.until,
    })
}

/// Lets a candidate have a seat again, as if it had not been jailed: it has to say that it is there like everybody else.
pub(crate) fn release(
    execution: &mut Execution<'_>,
    proposal: ProposalId,
    release: Release,
) -> Result<(), Fault> {
    let Some(mut record) = candidate(&execution.overlay, release.candidate)? else {
        return Ok(());
    };
    record.jail = None;
    pot::keep(execution, release.candidate, &record);
    execution.emit(Event::CandidateReleased(CandidateReleased {
        proposal,
        candidate: release.candidate,
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jail(first: u64, last: u64) -> Jail {
        Jail { first, last }
    }

    #[test]
    fn a_jail_is_twice_as_long_when_it_comes_soon_after_one() {
        let cases = [
            (7, None, 3, jail(8, 10)),
            // It has been out for as long as it was in.
            (6, Some(jail(1, 3)), 3, jail(7, 12)),
            // And longer.
            (7, Some(jail(1, 3)), 3, jail(8, 10)),
            // Never for longer than it may, by the values in force; nor for less.
            (2_000, Some(jail(1, 512)), 4, jail(2_001, 2_004)),
            (1_024, Some(jail(1, 512)), 4, jail(1_025, 2_048)),
            (1_100, Some(jail(1, 1_024)), 4, jail(1_101, 2_124)),
            (1_024, Some(jail(1_021, 1_023)), 1_000, jail(1_025, 2_024)),
        ];
        for (epoch, before, epochs, expected) in cases {
            let found = Jail::after(epoch, before, epochs).unwrap();
            assert_eq!(found, expected, "{epoch}, {before:?}, {epochs}");
        }
        assert!(Jail::after(u64::MAX, None, 1).is_err());
    }
}
