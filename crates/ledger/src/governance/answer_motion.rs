use super::{
    GovernanceError,
    records::{keep, known},
};
use crate::execution::Execution;
use fairweir_types::{
    Address, Event, event::MotionAnswered, governance::ProposalPhase, tx::AnswerMotion,
};

/// Puts the accused's answer beside the motion; a later one replaces it.
pub(crate) fn answer_motion(
    execution: &mut Execution<'_>,
    sender: Address,
    action: &AnswerMotion,
) -> Result<(), GovernanceError> {
    let AnswerMotion {
        proposal: id,
        answer,
    } = *action;
    let mut proposal = known(execution, id)?;
    if proposal.accused() != Some(sender) {
        return Err(GovernanceError::NotTheAccused);
    }
    if proposal.phase == ProposalPhase::Ended {
        return Err(GovernanceError::NotInThatPhase {
            found: proposal.phase,
        });
    }
    proposal.answer = Some(answer);
    keep(execution, id, &proposal);
    execution.emit(Event::MotionAnswered(MotionAnswered {
        proposal: id,
        accused: sender,
        answer,
    }));
    Ok(())
}
