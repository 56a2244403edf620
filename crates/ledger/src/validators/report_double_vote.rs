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

/// Takes evidence that a validator voted twice, and tombstones it; with it the candidate of which it is a further node.
pub(crate) fn report_double_vote(
    execution: &mut Execution<'_>,
    sender: Address,
    report: &ReportDoubleVote,
) -> Result<(), ValidatorError> {
    let evidence = &report.evidence;
    let Some(record) = validator(&execution.overlay, &evidence.validator)? else {
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
    let lead = answers(execution, record.account, &evidence.validator)?;
    tombstone(execution, evidence.validator, sender, report)?;
    if let Some(lead) = lead {
        tombstone(execution, lead, sender, report)?;
    }
    Ok(())
}

/// The validator of the lead, if this is a further node of one: the stake that gave it its seat answers for its votes.
fn answers(
    execution: &Execution<'_>,
    account: Address,
    identity: &[u8; 32],
) -> Result<Option<[u8; 32]>, Fault> {
    let state = &execution.overlay;
    let found = candidates::candidate(state, account)?;
    let Some(node) = found.filter(|found| found.validator == *identity) else {
        return Ok(None);
    };
    let lead = candidates::lead_of(state, &node)?;
    Ok(lead.map(|(_, lead)| lead.validator))
}

/// Tombstones a validator for votes of its own, or of a further node of it.
fn tombstone(
    execution: &mut Execution<'_>,
    identity: [u8; 32],
    reporter: Address,
    report: &ReportDoubleVote,
) -> Result<(), Fault> {
    let mut record = present(
        validator(&execution.overlay, &identity)?,
        "validator that answers for votes",
    )?;
    record.tombstoned = true;
    execution.overlay.store(keys::validator(&identity), &record);
    let event = slash(execution, (record.account, identity), reporter, report)?;
    execution.emit(Event::ValidatorTombstoned(Boxed::new(event)));
    Ok(())
}

fn slash(
    execution: &mut Execution<'_>,
    (account, validator): (Address, [u8; 32]),
    reporter: Address,
    report: &ReportDoubleVote,
) -> Result<ValidatorTombstoned, Fault> {
    let slashable = stake::stake(&execution.overlay, account)?.slashable()?;
    let owed = Params::share_up(slashable, execution.params.double_vote_bps).or_fault()?;
    let (amount, of_stake) = stake::forfeit(execution, account, owed, reporter)?;
    // Of what others lose the reporter gets nothing: else a candidate that votes twice and shows itself would earn by them.
    let Taken { all, own } = candidates::slash(execution, account, &validator)?;
    let share = execution.params.reporter_share_bps;
    let of_own = Params::share_down(own, share).or_fault()?;
    bank::credit(execution, reporter, of_own)?;
    bank::burn(execution, all.checked_sub(of_own).or_fault()?)?;
    let to_reporter = of_stake.checked_add(of_own).or_fault()?;
    let taken = amount.checked_add(all).or_fault()?;
    Ok(ValidatorTombstoned {
        validator,
        voter: report.evidence.validator,
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
