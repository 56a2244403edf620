use super::{ValidatorError, validator};
use crate::{
    bank,
    candidates::{self, Taken},
    execution::Execution,
    fault::{Fault, OrFault, counted, present},
    genesis::ChainRecord,
    keys,
    params::Params,
    stake,
};
use fairweir_types::{
    Address, Boxed, Event, event::ValidatorTombstoned, limits::REPORTS_CHECKED_MAX,
    tx::ReportDoubleVote,
};

/// Takes evidence that a validator voted twice, and tombstones it.
pub(crate) fn report_double_vote(
    execution: &mut Execution<'_>,
    sender: Address,
    report: &ReportDoubleVote,
) -> Result<(), ValidatorError> {
    let evidence = &report.evidence;
    let Some(mut record) = validator(&execution.overlay, &evidence.validator)? else {
        return Err(ValidatorError::NoSuchValidator);
    };
    if record.tombstoned {
        return Err(ValidatorError::AlreadyTombstoned);
    }
    if !evidence.conflicts() {
        return Err(ValidatorError::NoConflict);
    }
    // What the signatures take of every validator's time is bounded for a block.
    if execution.reports >= REPORTS_CHECKED_MAX {
        return Err(ValidatorError::TooManyReports {
            max: REPORTS_CHECKED_MAX,
        });
    }
    execution.reports = counted(execution.reports.checked_add(1), "reports of a block")?;
    let chain: Option<ChainRecord> = execution.overlay.load(&keys::chain())?;
    let chain = present(chain, "chain")?;
    if !evidence.is_signed(&chain.genesis, &record.vote_key) {
        return Err(ValidatorError::NotItsVotes);
    }
    record.tombstoned = true;
    let account = record.account;
    let key = keys::validator(&evidence.validator);
    execution.overlay.store(key, &record);
    let event = slash(execution, account, sender, report)?;
    execution.emit(Event::ValidatorTombstoned(Boxed::new(event)));
    Ok(())
}

fn slash(
    execution: &mut Execution<'_>,
    account: Address,
    reporter: Address,
    report: &ReportDoubleVote,
) -> Result<ValidatorTombstoned, Fault> {
    let slashable = stake::stake(&execution.overlay, account)?.slashable()?;
    let owed = Params::share_up(slashable, execution.params.double_vote_bps).or_fault()?;
    let (amount, of_stake) = stake::forfeit(execution, account, owed, reporter)?;
    // Of what others lose the reporter gets nothing: else a candidate that votes twice and shows itself would earn by them.
    let validator = report.evidence.validator;
    let Taken { all, own } = candidates::slash(execution, account, &validator)?;
    let share = execution.params.reporter_share_bps;
    let of_own = Params::share_down(own, share).or_fault()?;
    bank::credit(execution, reporter, of_own)?;
    bank::burn(execution, all.checked_sub(of_own).or_fault()?)?;
    let to_reporter = of_stake.checked_add(of_own).or_fault()?;
    let taken = amount.checked_add(all).or_fault()?;
    Ok(ValidatorTombstoned {
        validator,
        account,
        epoch: report.evidence.epoch,
        view: report.evidence.view,
        reporter,
        amount,
        delegated: all,
        to_reporter,
        burned: taken.checked_sub(to_reporter).or_fault()?,
    })
}
