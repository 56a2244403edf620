//! Votes with stake of others: a candidate votes with what is delegated to it, and whoever delegated takes its part back by voting itself.
//!
//! Both sides are read as they were when the voting began, so no stake is counted twice, wherever it moved since.

use super::{Proposal, VoteRecord, tally};
use crate::{
    candidates,
    execution::Execution,
    fault::{Fault, OrFault},
    keys,
};
use fairweir_types::{Address, Amount, Event, ProposalId, event::VoteOverridden};

/// What an account votes with besides its own, if it is a candidate: all that was delegated to it, without what voted by itself.
pub(super) fn lent_to(
    execution: &Execution<'_>,
    account: Address,
    (voting, overridden): (u64, Amount),
) -> Result<Amount, Fault> {
    let backing = candidates::backing_in(&execution.overlay, account, voting)?;
    Ok(backing.checked_sub(overridden).unwrap_or(Amount::ZERO))
}

/// Takes what an account had delegated off the votes of its candidates, when it votes for the first time.
pub(super) fn take_back(
    execution: &mut Execution<'_>,
    voter: Address,
    (id, proposal): (ProposalId, &mut Proposal),
) -> Result<(), Fault> {
    let voting = proposal.voting.number;
    for (candidate, part) in candidates::delegated_in(&execution.overlay, voter, voting)? {
        let key = keys::vote(voting, candidate);
        let known: Option<VoteRecord> = execution.overlay.load(&key)?;
        let mut record = known.unwrap_or_default();
        record.overridden = record.overridden.checked_add(part).or_fault()?;
        // One that was tombstoned before it voted was lent nothing.
        let taken = part.at_most(record.lent);
        record.lent = record.lent.checked_sub(taken).or_fault()?;
        proposal.voting.tally = tally::without(&proposal.voting.tally, (&record.weights, taken))?;
        execution.overlay.store(key, &record);
        if taken > Amount::ZERO {
            execution.emit(Event::VoteOverridden(VoteOverridden {
                proposal: id,
                candidate,
                voter,
                power: taken,
            }));
        }
    }
    Ok(())
}
