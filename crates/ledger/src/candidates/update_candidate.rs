use super::{Candidate, CandidateError, candidate, delegation, epochs, pot, standing};
use crate::{
    execution::Execution,
    fault::{Fault, counted},
    params::money,
    refusal::Refusal,
};
use fairweir_types::{Address, Amount, Bps, Event, event::CandidateUpdated, tx::UpdateCandidate};

/// Changes what a candidate asks from the next epoch on, where it is, and whether it stands: who says so is ready in this epoch.
pub(crate) fn update_candidate(
    execution: &mut Execution<'_>,
    sender: Address,
    update: &UpdateCandidate,
) -> Result<(), Refusal> {
    let Some(mut record) = candidate(&execution.overlay, sender)? else {
        return Err(CandidateError::NoSuchCandidate.into());
    };
    let epoch = epochs::epoch(&execution.overlay)?.number;
    let now = record.commission_in(epoch);
    check(execution, sender, &record, (now, update))?;
    standing::check_peer(execution, update.peer)?;
    let stands_up = update.stands && !record.stands;
    let displaced = if stands_up {
        standing::displaced(&execution.overlay, |standing| {
            standing::worth(standing, &record)
        })?
    } else {
        None
    };
    record.commission = now;
    record.next_commission = update.commission;
    record.commission_from = counted(epoch.checked_add(1), "epochs")?;
    record.peer = update.peer;
    if update.stands {
        record.ready = Some(epoch);
    }
    if stands_up {
        record.stands = true;
        standing::stand_up(execution, sender, displaced);
    } else if record.stands && !update.stands {
        standing::stand_down(execution, sender, &mut record);
    }
    pot::keep(execution, sender, &record);
    execution.emit(Event::CandidateUpdated(CandidateUpdated {
        candidate: sender,
        commission: update.commission,
        stands: update.stands,
    }));
    Ok(())
}

fn check(
    execution: &Execution<'_>,
    sender: Address,
    record: &Candidate,
    (now, update): (Bps, &UpdateCandidate),
) -> Result<(), CandidateError> {
    if record.is_tombstoned() {
        return Err(CandidateError::Tombstoned);
    }
    // What it asks already it may go on asking when the bounds change: else it could not say that it is ready.
    if update.commission != record.next_commission {
        check_commission(execution, now, update.commission)?;
    }
    let min = money(execution.params.candidate_stake_min);
    let own = own(execution, sender)?;
    if update.stands && !record.stands && own < min {
        return Err(CandidateError::OwnStakeTooLow { own, min });
    }
    Ok(())
}

fn check_commission(
    execution: &Execution<'_>,
    now: Bps,
    commission: Bps,
) -> Result<(), CandidateError> {
    let max = Bps(execution.params.commission_max_bps);
    if commission > max {
        return Err(CandidateError::CommissionOutOfRange { commission, max });
    }
    let step = Bps(execution.params.commission_step_bps);
    let max = counted(now.checked_add(step), "basis points")?;
    if commission > max {
        return Err(CandidateError::CommissionRisesTooFast { commission, max });
    }
    Ok(())
}

fn own(execution: &Execution<'_>, account: Address) -> Result<Amount, Fault> {
    let found = delegation(&execution.overlay, account, account)?;
    Ok(found.map_or(Amount::ZERO, |found| found.shares))
}
