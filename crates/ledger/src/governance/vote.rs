use super::{
    GovernanceError, VoteRecord, lent,
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
    let key = keys::vote(voting, sender);
    let known: Option<VoteRecord> = execution.overlay.load(&key)?;
    let earlier = known.unwrap_or_default();
    let lent = lent::lent_to(execution, sender, (voting, earlier.overridden))?;
    if power == Amount::ZERO && lent == Amount::ZERO {
        return Err(GovernanceError::NoVotingPower.into());
    }
    if !earlier.is_cast() {
        lent::take_back(execution, sender, (id, &mut proposal))?;
    }
    let rest = tally::without(
        &proposal.voting.tally,
        (&earlier.weights, earlier.weight()?),
    )?;
    let held = earlier.deposit;
    let mut record = VoteRecord {
        weights,
        power,
        lent,
        overridden: earlier.overridden,
        deposit: held,
    };
    proposal.voting.tally = tally::with(&rest, (&weights, record.weight()?))?;
    record.deposit = registry::adjust_deposit(execution, sender, held, (&key, &record))?;
    execution.overlay.store(key, &record);
    keep(execution, id, &proposal);
    execution.emit(Event::Voted(Voted {
        proposal: id,
        voter: sender,
        weights,
        power,
        lent,
    }));
    Ok(())
}
