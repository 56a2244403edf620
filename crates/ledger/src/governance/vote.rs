use super::{
    GovernanceError, VoteRecord,
    power::power_in,
    records::{keep, known},
    tally,
};
use crate::{execution::Execution, keys, refusal::Refusal, registry};
use fairweir_types::{Address, Amount, Bps, Event, event::Voted, tx::Vote};

/// Counts a vote, in place of the voter's earlier one.
pub(crate) fn vote(
    execution: &mut Execution<'_>,
    sender: Address,
    vote: &Vote,
) -> Result<(), Refusal> {
    let Vote {
        proposal: id,
        weights,
    } = *vote;
    let mut proposal = known(execution, id)?;
    if !proposal.phase.takes_votes() {
        return Err(GovernanceError::NotInThatPhase {
            found: proposal.phase,
        }
        .into());
    }
    if weights.sum() != Bps::WHOLE {
        return Err(GovernanceError::WeightsNotWhole {
            found: weights.sum(),
        }
        .into());
    }
    let voting = proposal.voting.number;
    let power = power_in(&execution.overlay, sender, voting)?;
    if power == Amount::ZERO {
        return Err(GovernanceError::NoVotingPower.into());
    }
    let key = keys::vote(voting, sender);
    let earlier: Option<VoteRecord> = execution.overlay.load(&key)?;
    let mut votes = proposal.voting.tally;
    if let Some(earlier) = &earlier {
        votes = tally::without(&votes, (&earlier.weights, earlier.power))?;
    }
    proposal.voting.tally = tally::with(&votes, (&weights, power))?;
    let held = earlier.map_or(Amount::ZERO, |earlier| earlier.deposit);
    let mut record = VoteRecord {
        weights,
        power,
        deposit: held,
    };
    record.deposit = registry::adjust_deposit(execution, sender, held, (&key, &record))?;
    execution.overlay.store(key, &record);
    keep(execution, id, &proposal);
    execution.emit(Event::Voted(Voted {
        proposal: id,
        voter: sender,
        weights,
        power,
    }));
    Ok(())
}
