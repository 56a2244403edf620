//! The halt of withdrawals.

use crate::{
    execution::Execution, fault::Fault, governance::GovernanceError, keys, state::state_record,
};
use fairweir_types::{
    Action, Event, Height, ProposalId, event::WithdrawalsResumed, governance::Resume,
    invariant::Invariant, node_api::Halt,
};

/// Withdrawals are halted: what did not hold, and the newest block that found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Halted {
    pub(crate) invariant: Invariant,
    pub(crate) height: Height,
}
state_record!(Halted { invariant, height });

impl From<Halted> for Halt {
    fn from(Halted { invariant, height }: Halted) -> Self {
        Self {
            invariant,
            halted: height,
        }
    }
}

/// Whether an action takes money out: to another account, or out of stake or a pot; or makes votes or seats of it, by which money that should not be
/// there could lift the halt on itself. What locks money, works for it, settles, cancels, closes, or gives back a deposit does not; nor does a vote.
const fn withdraws(action: &Action) -> bool {
    matches!(
        action,
        Action::Transfer(_)
            | Action::Bond(_)
            | Action::Unbond(_)
            | Action::RegisterCandidate(_)
            // These pay what the delegation earned.
            | Action::DelegateStake(_)
            | Action::UndelegateStake(_)
            | Action::RedelegateStake(_)
            | Action::ClaimRewards(_)
    )
}

/// Refuses what takes money out while withdrawals are halted.
pub(crate) fn check_halted(
    execution: &Execution<'_>,
    action: &Action,
) -> Result<(), GovernanceError> {
    match execution.halted {
        Some(Halted { invariant, height }) if withdraws(action) => {
            Err(GovernanceError::WithdrawalsHalted { invariant, height })
        }
        _ => Ok(()),
    }
}

/// Refuses to lift a halt that is not there.
pub(crate) fn check_resume(
    execution: &Execution<'_>,
    &Resume { halted }: &Resume,
) -> Result<(), GovernanceError> {
    let known: Option<Halted> = execution.overlay.load(&keys::halt())?;
    match known {
        Some(known) if known.height == halted => Ok(()),
        _ => Err(GovernanceError::NotHalted { height: halted }),
    }
}

/// Lets withdrawals go on from the next block on.
pub(crate) fn resume(
    execution: &mut Execution<'_>,
    proposal: ProposalId,
    Resume { halted }: Resume,
) -> Result<(), Fault> {
    execution.overlay.delete(keys::halt());
    execution.emit(Event::WithdrawalsResumed(WithdrawalsResumed {
        proposal,
        halted,
    }));
    Ok(())
}
