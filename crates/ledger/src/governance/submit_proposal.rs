use super::{
    GovernanceError, Proposal, check, governance,
    records::{Due, Voting, keep, start_voting, wait},
};
use crate::{
    bank,
    execution::Execution,
    fault::{Fault, OrFault, counted},
    keys,
    params::{Params, money},
    stake,
};
use fairweir_types::{
    Address, Amount, BoundedVec, Boxed, Event, ProposalId,
    event::ProposalSubmitted,
    governance::{Deposited, Message, ProposalPhase},
    limits::{PROPOSALS_WAITING_MAX, VOTINGS_MAX, VOTINGS_ORDINARY_MAX},
    tx::SubmitProposal,
};

/// Takes a proposal; with its whole deposit it is voted on at once.
pub(crate) fn submit_proposal(
    execution: &mut Execution<'_>,
    sender: Address,
    submit: &SubmitProposal,
) -> Result<(), GovernanceError> {
    let expedited =
        submit.expedited || matches!(submit.message, Message::Pause(_) | Message::Resume(_));
    let needed = money(execution.params.proposal_deposit);
    let deposit = submit.deposit.at_most(needed);
    check(execution, (sender, submit), (needed, deposit), expedited)?;
    bank::debit(execution, sender, deposit)?;
    let mut numbers = governance(&execution.overlay)?;
    numbers.proposals = counted(numbers.proposals.checked_add(1), "proposals")?;
    numbers.waiting = counted(numbers.waiting.checked_add(1), "waiting proposals")?;
    execution.overlay.store(keys::governance(), &numbers);
    let id = ProposalId(numbers.proposals);
    let mut proposal = Proposal {
        proposer: sender,
        title: submit.title.clone(),
        message: submit.message.clone(),
        expedited,
        submitted: execution.context.height,
        needed,
        deposits: BoundedVec::truncating([Deposited {
            from: sender,
            amount: deposit,
        }]),
        phase: ProposalPhase::Deposit,
        due: Due::default(),
        voting: Voting::default(),
        charged: Amount::ZERO,
        answer: None,
        grounds: None,
        ended: None,
    };
    let window = execution.params.deposit_window;
    wait(
        execution,
        id,
        &mut proposal,
        (ProposalPhase::Deposit, window),
    )?;
    execution.emit(Event::ProposalSubmitted(Boxed::new(ProposalSubmitted {
        proposal: id,
        proposer: sender,
        title: submit.title.clone(),
        message: submit.message.clone(),
        expedited,
        deposit,
        needed,
        due: proposal.due.time,
    })));
    if deposit == needed {
        begin(execution, id, proposal)?;
    }
    Ok(())
}

fn check(
    execution: &Execution<'_>,
    (sender, submit): (Address, &SubmitProposal),
    (needed, deposit): (Amount, Amount),
    expedited: bool,
) -> Result<(), GovernanceError> {
    if submit.title.as_str().trim().is_empty() {
        return Err(GovernanceError::NoTitle);
    }
    check::proposed(execution, &submit.message, expedited)?;
    let min = Params::share_up(needed, execution.params.proposal_first_bps).or_fault()?;
    if deposit < min {
        return Err(GovernanceError::DepositTooSmall {
            min,
            found: deposit,
        });
    }
    let balance = bank::account(&execution.overlay, sender)?.balance;
    if balance < deposit {
        return Err(GovernanceError::CannotPayDeposit {
            balance,
            amount: deposit,
        });
    }
    if deposit == needed {
        return check_room(execution, &submit.message);
    }
    let waiting = governance(&execution.overlay)?.waiting;
    if usize::try_from(waiting).unwrap_or(usize::MAX) >= PROPOSALS_WAITING_MAX {
        return Err(GovernanceError::TooManyProposals {
            max: PROPOSALS_WAITING_MAX,
            doing: "wait for their deposit",
        });
    }
    Ok(())
}

/// Whether another voting can begin. What stops harm has places of its own.
pub(super) fn check_room(
    execution: &Execution<'_>,
    message: &Message,
) -> Result<(), GovernanceError> {
    let max = match message {
        Message::Pause(_) | Message::Cancel(_) | Message::Resume(_) => VOTINGS_MAX,
        Message::SetParam(_)
        | Message::TreasurySpend(_)
        | Message::Penalty(_)
        | Message::Upgrade(_)
        | Message::SetService(_)
        | Message::Release(_) => VOTINGS_ORDINARY_MAX,
    };
    if governance(&execution.overlay)?.open.len() >= max {
        return Err(GovernanceError::TooManyProposals {
            max,
            doing: "are voted on",
        });
    }
    Ok(())
}

/// The deposit is whole: the voting begins, and a penalty's share of the stake must stay.
pub(super) fn begin(
    execution: &mut Execution<'_>,
    id: ProposalId,
    mut proposal: Proposal,
) -> Result<(), Fault> {
    let mut numbers = governance(&execution.overlay)?;
    numbers.waiting = counted(numbers.waiting.checked_sub(1), "waiting proposals")?;
    execution.overlay.store(keys::governance(), &numbers);
    if let Message::Penalty(penalty) = &proposal.message {
        proposal.charged = stake::charge(execution, penalty.accused, penalty.share)?;
    }
    let window = if proposal.expedited {
        execution.params.expedited_window
    } else {
        execution.params.voting_window
    };
    start_voting(
        execution,
        id,
        &mut proposal,
        (ProposalPhase::Voting, window),
    )?;
    keep(execution, id, &proposal);
    Ok(())
}
