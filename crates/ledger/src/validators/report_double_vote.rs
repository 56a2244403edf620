use super::{ValidatorError, validator};
use crate::{
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
    let (amount, to_reporter) = stake::forfeit(execution, account, owed, reporter)?;
    Ok(ValidatorTombstoned {
        validator: report.evidence.validator,
        account,
        epoch: report.evidence.epoch,
        view: report.evidence.view,
        reporter,
        amount,
        to_reporter,
        burned: amount.checked_sub(to_reporter).or_fault()?,
    })
}
