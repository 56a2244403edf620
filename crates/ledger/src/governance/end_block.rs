//! From one phase to the next, when its time is up.

use super::{
    Decision, Proposal, VoteRecord, decide,
    execute::execute,
    pauses,
    records::{Due, close_voting, end, move_timer, wait},
};
use crate::{
    bank,
    execution::Execution,
    fault::{Fault, counted, present},
    keys,
    state::{Mark, State as _, scan},
};
use fairweir_types::{
    Amount, Boxed, Event, ProposalId, TxCode,
    event::{ProposalPassed, VoteReturned},
    governance::{Message, ProposalOutcome, ProposalPhase},
    limits::{PROPOSALS_DUE_MAX, VOTES_SWEPT_MAX},
};

/// Ends pauses, takes due proposals on, and removes votes of votings that are over; a bounded number per block, the rest in the next.
/// Returns whether something is left that asks for the next block at once.
pub(crate) fn end_block(execution: &mut Execution<'_>) -> Result<bool, Fault> {
    pauses::resume(execution)?;
    let (from, to) = keys::proposal_due_until(execution.now);
    let due = scan::<Mark>(&execution.overlay, &from, &to, PROPOSALS_DUE_MAX)?;
    let is_full = due.len() >= PROPOSALS_DUE_MAX;
    for (timer, _) in due {
        // One that was taken on before may have cancelled this one.
        if execution.overlay.load::<Mark>(&timer)?.is_some() {
            let id = present(keys::proposal_of_timer(&timer), "proposal in a timer's key")?;
            take_on(execution, id)?;
        }
    }
    Ok(sweep_votes(execution)? || is_full)
}

fn take_on(execution: &mut Execution<'_>, id: ProposalId) -> Result<(), Fault> {
    let known: Option<Proposal> = execution.overlay.load(&keys::proposal(id))?;
    let mut proposal = present(known, "proposal of a timer")?;
    if execution.context.height < proposal.due.height {
        // Enough time, but too few blocks (protocol rule 2): look again in the next block.
        let due = Due {
            time: counted(execution.now.next(), "chain time")?,
            ..proposal.due
        };
        move_timer(execution, id, &mut proposal, due);
        return Ok(());
    }
    let ends = |outcome| (outcome, TxCode::OK);
    match proposal.phase {
        ProposalPhase::Deposit => end(execution, id, proposal, ends(ProposalOutcome::Unfunded)),
        ProposalPhase::Voting | ProposalPhase::Confirming | ProposalPhase::AppealVoting => {
            count(execution, id, proposal)
        }
        ProposalPhase::Appealable | ProposalPhase::Locked => execute(execution, id, proposal),
        ProposalPhase::Ended => Err(Fault::Missing {
            what: "timer of a proposal that is over",
        }),
    }
}

/// A voting, or the confirming time after it, is over.
fn count(execution: &mut Execution<'_>, id: ProposalId, proposal: Proposal) -> Result<(), Fault> {
    let is_appeal = proposal.phase == ProposalPhase::AppealVoting;
    let strict = proposal.expedited || is_appeal;
    let voting = proposal.voting;
    let decision = decide(&voting.tally, voting.bonded, &execution.params, strict)?;
    let outcome = match decision {
        Decision::Passed => return passed(execution, id, proposal),
        Decision::Vetoed => ProposalOutcome::Vetoed,
        Decision::Rejected | Decision::NoQuorum if is_appeal => ProposalOutcome::Overturned,
        Decision::Rejected => ProposalOutcome::Rejected,
        Decision::NoQuorum => ProposalOutcome::NoQuorum,
    };
    end(execution, id, proposal, (outcome, TxCode::OK))
}

/// What passed is confirmed, then waits for its lock, then is done.
fn passed(
    execution: &mut Execution<'_>,
    id: ProposalId,
    mut proposal: Proposal,
) -> Result<(), Fault> {
    let params = execution.params;
    let needs_confirming = proposal.phase == ProposalPhase::Voting && !proposal.expedited;
    let next = match &proposal.message {
        _ if proposal.phase == ProposalPhase::AppealVoting => None,
        _ if needs_confirming => Some((ProposalPhase::Confirming, params.confirm_window)),
        Message::Penalty(_) => Some((ProposalPhase::Appealable, params.penalty_appeal)),
        Message::SetParam(_) | Message::TreasurySpend(_) => {
            Some((ProposalPhase::Locked, params.param_lock))
        }
        // Who runs the kind may need another program first, as for an upgrade.
        Message::Upgrade(_) | Message::SetService(_) => {
            Some((ProposalPhase::Locked, params.upgrade_lock))
        }
        Message::Pause(_) | Message::Cancel(_) | Message::Resume(_) | Message::Release(_) => None,
    };
    let Some((phase, window)) = next else {
        return execute(execution, id, proposal);
    };
    // A penalty keeps its place among the votings: an appeal must not wait for one.
    if phase == ProposalPhase::Locked {
        close_voting(execution, &proposal)?;
    }
    wait(execution, id, &mut proposal, (phase, window))?;
    execution.emit(Event::ProposalPassed(Boxed::new(ProposalPassed {
        proposal: id,
        phase,
        tally: proposal.voting.tally,
        until: proposal.due.time,
    })));
    Ok(())
}

/// Removes some votes of a voting that is over, and gives their deposits back; returns whether there are more.
fn sweep_votes(execution: &mut Execution<'_>) -> Result<bool, Fault> {
    let (from, to) = keys::all_stale_votes();
    let Some((mark, _)) = execution.overlay.first_in(&from, &to) else {
        return Ok(false);
    };
    let voting = present(keys::voting_of_mark(&mark), "voting in a mark's key")?;
    let (from, to) = keys::votes_of(voting);
    let votes = scan::<VoteRecord>(&execution.overlay, &from, &to, VOTES_SWEPT_MAX)?;
    if votes.len() < VOTES_SWEPT_MAX {
        execution.overlay.delete(mark);
    }
    for (key, vote) in votes {
        let voter = present(keys::address_of(&key), "voter in a vote's key")?;
        bank::credit(execution, voter, vote.deposit)?;
        if vote.deposit > Amount::ZERO {
            execution.emit(Event::VoteReturned(VoteReturned {
                voting,
                voter,
                amount: vote.deposit,
            }));
        }
        execution.overlay.delete(key);
    }
    let (from, to) = keys::all_stale_votes();
    Ok(execution.overlay.first_in(&from, &to).is_some())
}
