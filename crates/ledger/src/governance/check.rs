//! What a message may be: checked when it is proposed, and again when it is done.

use super::{GovernanceError, Proposal, proposal};
use crate::{
    audit, bank, candidates, catalogue,
    execution::Execution,
    params::{PARAMS, Params},
    relations::first_broken,
    stake, upgrades,
};
use fairweir_types::{
    Amount, Bps, Millis,
    governance::{
        Cancel, Message, Pause, Penalty, ProposalPhase, SetParam, TREASURY, TreasurySpend, Upgrade,
    },
};

/// Checks what is proposed.
pub(super) fn proposed(
    execution: &Execution<'_>,
    message: &Message,
    expedited: bool,
) -> Result<(), GovernanceError> {
    match message {
        Message::Penalty(penalty) => check_penalty(execution, penalty, expedited),
        Message::Cancel(Cancel { proposal: id }) => {
            let target = proposal(&execution.overlay, *id)?;
            match target {
                Some(target) if target.phase != ProposalPhase::Ended => Ok(()),
                _ => Err(GovernanceError::NothingToCancel { proposal: *id }),
            }
        }
        other => possible(execution, other),
    }
}

/// Checks what is about to be done. A penalty is taken as it was voted on: a change of its bounds does not reach back.
pub(super) fn possible(
    execution: &Execution<'_>,
    message: &Message,
) -> Result<(), GovernanceError> {
    match message {
        Message::SetParam(set) => check_param(execution, set),
        Message::TreasurySpend(spend) => check_spend(execution, spend),
        Message::Pause(pause) => check_pause(execution, pause),
        Message::Cancel(Cancel { proposal: id }) => to_cancel(execution, *id).map(|_: Proposal| ()),
        Message::Upgrade(upgrade) => check_upgrade(execution, upgrade),
        Message::Penalty(_) => Ok(()),
        Message::Resume(resume) => audit::check_resume(execution, resume),
        Message::SetService(set) => Ok(catalogue::check_change(execution, set)?),
        Message::Release(release) => candidates::check_release(execution, release),
    }
}

/// The locked proposal that a cancelling one takes back.
pub(super) fn to_cancel(
    execution: &Execution<'_>,
    id: fairweir_types::ProposalId,
) -> Result<Proposal, GovernanceError> {
    proposal(&execution.overlay, id)?
        .filter(|target| target.phase == ProposalPhase::Locked)
        .ok_or(GovernanceError::NothingToCancel { proposal: id })
}

fn check_param(
    execution: &Execution<'_>,
    &SetParam { param, value }: &SetParam,
) -> Result<(), GovernanceError> {
    let Some(spec) = PARAMS.iter().find(|spec| spec.number == param) else {
        return Err(GovernanceError::UnknownParam { param });
    };
    let min = spec.min_on(&execution.context.chain_id);
    if value < min || value > spec.max {
        return Err(GovernanceError::ParamOutOfRange {
            name: spec.name,
            min,
            max: spec.max,
            value,
        });
    }
    // Those of the state, not of the block: another proposal may have changed one just now.
    let mut params = Params::load(&execution.overlay)?;
    params.set(param, value);
    if let Some(broken) = first_broken(&params) {
        return Err(GovernanceError::ParamsDisagree {
            name: broken.name,
            rule: broken.rule,
        });
    }
    if spec.is_fixed() {
        return Err(GovernanceError::ParamFixed { name: spec.name });
    }
    Ok(())
}

fn check_spend(
    execution: &Execution<'_>,
    &TreasurySpend { to, amount }: &TreasurySpend,
) -> Result<(), GovernanceError> {
    if amount == Amount::ZERO || to == TREASURY {
        return Err(GovernanceError::SpendsNothing);
    }
    let balance = bank::account(&execution.overlay, TREASURY)?.balance;
    if balance < amount {
        return Err(GovernanceError::TreasuryTooSmall { balance, amount });
    }
    Ok(())
}

fn check_penalty(
    execution: &Execution<'_>,
    penalty: &Penalty,
    expedited: bool,
) -> Result<(), GovernanceError> {
    let max = Bps(execution.params.penalty_bps_max);
    if penalty.share == Bps::ZERO || penalty.share > max {
        return Err(GovernanceError::PenaltyOutOfRange {
            max,
            share: penalty.share,
        });
    }
    let staked = stake::stake(&execution.overlay, penalty.accused)?;
    if staked.slashable()? == Amount::ZERO {
        return Err(GovernanceError::NothingToPenalise);
    }
    if expedited {
        return Err(GovernanceError::PenaltyNotExpedited);
    }
    Ok(())
}

fn check_upgrade(execution: &Execution<'_>, upgrade: &Upgrade) -> Result<(), GovernanceError> {
    let now = execution.context.height;
    if upgrade.height <= now {
        return Err(GovernanceError::UpgradeInThePast {
            height: upgrade.height,
            now,
        });
    }
    upgrades::check_plan(execution, &upgrade.plan)
}

fn check_pause(execution: &Execution<'_>, pause: &Pause) -> Result<(), GovernanceError> {
    let max = Millis(execution.params.pause_max);
    if pause.duration == Millis::ZERO || pause.duration > max {
        return Err(GovernanceError::PauseOutOfRange {
            max,
            duration: pause.duration,
        });
    }
    Ok(())
}
