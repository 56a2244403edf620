//! What a proposal does when its time has come. Once: the same step ends it.

use super::{
    Proposal,
    check::{possible, to_cancel},
    pauses,
    records::end,
};
use crate::{
    audit, bank, candidates, catalogue,
    execution::Execution,
    fault::{Fault, present},
    keys,
    params::Params,
    refusal::Refusal,
    stake, upgrades,
};
use fairweir_types::{
    Event, ProposalId, TxCode,
    event::{ParamChanged, Penalised, TreasurySpent, UpgradePlanned},
    governance::{Cancel, Message, Penalty, ProposalOutcome, SetParam, TREASURY, TreasurySpend},
};

/// Does what a proposal is for and ends it; what is not possible any more fails, with its code.
pub(super) fn execute(
    execution: &mut Execution<'_>,
    id: ProposalId,
    proposal: Proposal,
) -> Result<(), Fault> {
    let done = match perform(execution, id, &proposal) {
        Ok(()) => (ProposalOutcome::Executed, TxCode::OK),
        Err(Refusal::Fault(fault)) => return Err(fault),
        Err(refusal) => (ProposalOutcome::Failed, refusal.code()),
    };
    end(execution, id, proposal, done)
}

/// Checks all, then writes: a refusal leaves nothing half done.
fn perform(
    execution: &mut Execution<'_>,
    id: ProposalId,
    proposal: &Proposal,
) -> Result<(), Refusal> {
    possible(execution, &proposal.message)?;
    match &proposal.message {
        Message::SetParam(set) => set_param(execution, id, *set)?,
        Message::TreasurySpend(spend) => pay(execution, id, *spend)?,
        &Message::Penalty(Penalty { accused, .. }) => {
            let burned = stake::confiscate(execution, accused, proposal.charged)?;
            execution.emit(Event::Penalised(Penalised {
                proposal: id,
                accused,
                burned,
            }));
        }
        Message::Pause(pause) => pauses::pause(execution, id, *pause)?,
        Message::Resume(message) => audit::resume(execution, id, *message)?,
        Message::Upgrade(upgrade) => {
            upgrades::plan_upgrade(execution, *upgrade)?;
            execution.emit(Event::UpgradePlanned(UpgradePlanned {
                proposal: id,
                height: upgrade.height,
                plan: upgrade.plan,
            }));
        }
        Message::SetService(set) => catalogue::set(execution, id, set)?,
        Message::Release(release) => candidates::release(execution, id, *release)?,
        &Message::Cancel(Cancel { proposal: target }) => {
            let other = to_cancel(execution, target)?;
            end(
                execution,
                target,
                other,
                (ProposalOutcome::Cancelled, TxCode::OK),
            )?;
        }
    }
    Ok(())
}

/// Later blocks load it; this one goes on with what it began with.
fn set_param(
    execution: &mut Execution<'_>,
    id: ProposalId,
    SetParam { param, value }: SetParam,
) -> Result<(), Fault> {
    let before = Params::load(&execution.overlay)?.get(param);
    let before = present(before, "parameter that was checked")?;
    execution.overlay.store(keys::param(param), &value);
    execution.emit(Event::ParamChanged(ParamChanged {
        proposal: id,
        param,
        before,
        value,
    }));
    Ok(())
}

fn pay(
    execution: &mut Execution<'_>,
    id: ProposalId,
    TreasurySpend { to, amount }: TreasurySpend,
) -> Result<(), Fault> {
    bank::debit(execution, TREASURY, amount)?;
    bank::credit(execution, to, amount)?;
    execution.emit(Event::TreasurySpent(TreasurySpent {
        proposal: id,
        to,
        amount,
    }));
    Ok(())
}
