use super::{
    GovernanceError,
    records::{known, start_voting},
};
use crate::execution::Execution;
use fairweir_types::{
    Address, Event, event::MotionAppealed, governance::ProposalPhase, tx::AppealMotion,
};

/// Has a penalty voted on again: it needs the higher threshold then, of the stake that is bonded now.
pub(crate) fn appeal_motion(
    execution: &mut Execution<'_>,
    sender: Address,
    action: &AppealMotion,
) -> Result<(), GovernanceError> {
    let AppealMotion {
        proposal: id,
        grounds,
    } = *action;
    let mut proposal = known(execution, id)?;
    if proposal.accused() != Some(sender) {
        return Err(GovernanceError::NotTheAccused);
    }
    if proposal.phase != ProposalPhase::Appealable {
        return Err(GovernanceError::NotInThatPhase {
            found: proposal.phase,
        });
    }
    proposal.grounds = Some(grounds);
    execution.emit(Event::MotionAppealed(MotionAppealed {
        proposal: id,
        accused: sender,
        grounds,
    }));
    // Its place among the votings was kept for this.
    let window = execution.params.voting_window;
    start_voting(
        execution,
        id,
        &mut proposal,
        (ProposalPhase::AppealVoting, window),
    )?;
    Ok(())
}
