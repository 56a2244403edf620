//! What the state holds of proposals.

use super::GovernanceError;
use crate::{
    bank,
    execution::Execution,
    fault::{Fault, OrFault, counted, present},
    keys,
    state::{Mark, State, load, state_record},
};
use fairweir_types::{
    Address, Amount, BoundedText, BoundedVec, Boxed, Digest, Event, Height, Millis, ProposalId,
    TxCode,
    event::{ProposalEnded, VotingStarted},
    governance::{Deposited, Message, ProposalOutcome, ProposalPhase, TREASURY, Tally, Weights},
    limits::{PROPOSAL_DEPOSITORS_MAX, PROPOSALS_ENDED_MAX, TITLE_BYTES_MAX, VOTINGS_MAX},
    node_api::ProposalEnd,
};

/// The running numbers of governance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Governance {
    /// Proposals submitted so far: the number of the newest.
    pub proposals: u64,
    /// Votings begun so far: the number of the newest.
    pub votings: u64,
    /// The numbers of the votings that stakes are remembered for, ascending.
    pub open: BoundedVec<u64, VOTINGS_MAX>,
    /// Proposals that wait for their deposit.
    pub waiting: u32,
    /// Proposals that are over.
    pub ended: u64,
    /// All stake that is bonded or delegated.
    pub bonded: Amount,
}
state_record!(Governance {
    proposals,
    votings,
    open,
    waiting,
    ended,
    bonded
});

/// A voting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Voting {
    /// Its number; 0 while there is none.
    pub number: u64,
    /// All stake that was bonded when it began.
    pub bonded: Amount,
    /// The votes.
    pub tally: Tally,
}
state_record!(Voting {
    number,
    bonded,
    tally
});

/// When a phase ends: both must be reached (protocol rule 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Chain time.
    pub time: Millis,
    /// The block.
    pub height: Height,
}
state_record!(Due { time, height });

/// A proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Who proposed it.
    pub proposer: Address,
    /// What it is about, in a line.
    pub title: BoundedText<TITLE_BYTES_MAX>,
    /// What it does when it passes.
    pub message: Message,
    /// Whether it takes the fast track with the higher threshold.
    pub expedited: bool,
    /// The block that it was submitted in.
    pub submitted: Height,
    /// The deposit that it needs to be voted on.
    pub needed: Amount,
    /// Who paid how much of it.
    pub deposits: BoundedVec<Deposited, PROPOSAL_DEPOSITORS_MAX>,
    /// Where it is.
    pub phase: ProposalPhase,
    /// When that ends.
    pub due: Due,
    /// Its last voting.
    pub voting: Voting,
    /// What of the accused's stake must stay, bonded or on its way back.
    pub charged: Amount,
    /// The blob digest of the accused's answer.
    pub answer: Option<Digest>,
    /// The blob digest of the grounds of the accused's appeal.
    pub grounds: Option<Digest>,
    /// How it ended.
    pub ended: Option<ProposalEnd>,
}
state_record!(Proposal {
    proposer,
    title,
    message,
    expedited,
    submitted,
    needed,
    deposits,
    phase,
    due,
    voting,
    charged,
    answer,
    grounds,
    ended
});

impl Proposal {
    /// What was paid of its deposit, and is still held.
    pub(crate) fn deposit(&self) -> Result<Amount, Fault> {
        Amount::sum(self.deposits.iter().map(|part| part.amount)).or_fault()
    }

    /// Whom it accuses, if it is a penalty motion.
    pub(crate) const fn accused(&self) -> Option<Address> {
        match &self.message {
            Message::Penalty(penalty) => Some(penalty.accused),
            _ => None,
        }
    }
}

/// A vote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VoteRecord {
    /// How.
    pub weights: Weights,
    /// The voter's own stake that it weighs.
    pub power: Amount,
    /// What is delegated to the voter and votes with it.
    pub lent: Amount,
    /// What was delegated to it and votes by itself.
    pub overridden: Amount,
    /// The refundable deposit for this record.
    pub deposit: Amount,
}
state_record!(VoteRecord {
    weights,
    power,
    lent,
    overridden,
    deposit
});

impl VoteRecord {
    /// Whether the account voted; else others alone voted with what they had delegated to it.
    pub(super) fn is_cast(&self) -> bool {
        self.weights != Weights::default()
    }

    /// All that it weighs.
    pub(super) fn weight(&self) -> Result<Amount, Fault> {
        self.power.checked_add(self.lent).or_fault()
    }
}

/// The running numbers.
///
/// # Errors
/// [`Fault::Record`].
pub fn governance(state: &dyn State) -> Result<Governance, Fault> {
    Ok(load(state, &keys::governance())?.unwrap_or_default())
}

/// A proposal that is open, or has not been over for long.
///
/// # Errors
/// [`Fault::Record`].
pub fn proposal(state: &dyn State, id: ProposalId) -> Result<Option<Proposal>, Fault> {
    load(state, &keys::proposal(id))
}

/// A proposal that an action is about.
pub(super) fn known(
    execution: &Execution<'_>,
    id: ProposalId,
) -> Result<Proposal, GovernanceError> {
    proposal(&execution.overlay, id)?.ok_or(GovernanceError::NoSuchProposal { proposal: id })
}

pub(super) fn keep(execution: &mut Execution<'_>, id: ProposalId, proposal: &Proposal) {
    execution.overlay.store(keys::proposal(id), proposal);
}

/// Writes a proposal whose phase lasts for a window, so that it always has exactly one timer.
pub(super) fn wait(
    execution: &mut Execution<'_>,
    id: ProposalId,
    proposal: &mut Proposal,
    (phase, window): (ProposalPhase, u64),
) -> Result<(), Fault> {
    let due = Due {
        time: execution.window_end(window)?,
        height: execution.window_height()?,
    };
    proposal.phase = phase;
    move_timer(execution, id, proposal, due);
    Ok(())
}

pub(super) fn move_timer(
    execution: &mut Execution<'_>,
    id: ProposalId,
    proposal: &mut Proposal,
    due: Due,
) {
    execution
        .overlay
        .delete(keys::proposal_due(proposal.due.time, id));
    proposal.due = due;
    execution
        .overlay
        .store(keys::proposal_due(due.time, id), &Mark {});
    keep(execution, id, proposal);
}

/// Begins a voting: what is bonded now is what votes weigh.
pub(super) fn start_voting(
    execution: &mut Execution<'_>,
    id: ProposalId,
    proposal: &mut Proposal,
    (phase, window): (ProposalPhase, u64),
) -> Result<(), Fault> {
    close_voting(execution, proposal)?;
    let mut numbers = governance(&execution.overlay)?;
    numbers.votings = counted(numbers.votings.checked_add(1), "votings")?;
    numbers
        .open
        .push(numbers.votings)
        .map_err(|_| Fault::Counter {
            what: "open votings",
        })?;
    execution.overlay.store(keys::governance(), &numbers);
    proposal.voting = Voting {
        number: numbers.votings,
        bonded: numbers.bonded,
        tally: Tally::default(),
    };
    wait(execution, id, proposal, (phase, window))?;
    execution.emit(Event::VotingStarted(VotingStarted {
        proposal: id,
        is_appeal: phase == ProposalPhase::AppealVoting,
        bonded: numbers.bonded,
        charged: proposal.charged,
        until: proposal.due.time,
    }));
    Ok(())
}

/// Stakes need not be remembered for a proposal's voting any more; its votes are removed bit by bit.
pub(super) fn close_voting(
    execution: &mut Execution<'_>,
    proposal: &Proposal,
) -> Result<(), Fault> {
    let number = proposal.voting.number;
    let mut numbers = governance(&execution.overlay)?;
    if !numbers.open.iter().any(|open| *open == number) {
        return Ok(());
    }
    numbers.open = BoundedVec::truncating(
        numbers
            .open
            .into_vec()
            .into_iter()
            .filter(|open| *open != number),
    );
    execution.overlay.store(keys::governance(), &numbers);
    execution.overlay.store(keys::stale_votes(number), &Mark {});
    Ok(())
}

/// Ends a proposal: its deposit is paid out, and its record stays for a while.
pub(super) fn end(
    execution: &mut Execution<'_>,
    id: ProposalId,
    mut proposal: Proposal,
    (outcome, code): (ProposalOutcome, TxCode),
) -> Result<(), Fault> {
    close_voting(execution, &proposal)?;
    let mut numbers = governance(&execution.overlay)?;
    if proposal.phase == ProposalPhase::Deposit {
        numbers.waiting = counted(numbers.waiting.checked_sub(1), "waiting proposals")?;
    }
    forget_oldest(execution, numbers.ended)?;
    execution
        .overlay
        .store(keys::ended_proposal(numbers.ended), &id);
    numbers.ended = counted(numbers.ended.checked_add(1), "ended proposals")?;
    execution.overlay.store(keys::governance(), &numbers);
    if let Some(accused) = proposal.accused() {
        crate::stake::discharge(execution, accused, proposal.charged)?;
        proposal.charged = Amount::ZERO;
    }
    let (returned, forfeited) = pay_out(execution, &mut proposal, outcome)?;
    execution
        .overlay
        .delete(keys::proposal_due(proposal.due.time, id));
    proposal.phase = ProposalPhase::Ended;
    proposal.ended = Some(ProposalEnd {
        outcome,
        code,
        height: execution.context.height,
    });
    keep(execution, id, &proposal);
    execution.emit(Event::ProposalEnded(Boxed::new(ProposalEnded {
        proposal: id,
        outcome,
        code,
        tally: proposal.voting.tally,
        returned,
        forfeited,
    })));
    Ok(())
}

/// Makes room for one more proposal that is over.
fn forget_oldest(execution: &mut Execution<'_>, ended: u64) -> Result<(), Fault> {
    let kept = u64::try_from(PROPOSALS_ENDED_MAX).unwrap_or(u64::MAX);
    let Some(oldest) = ended.checked_sub(kept) else {
        return Ok(());
    };
    let key = keys::ended_proposal(oldest);
    let id: ProposalId = present(execution.overlay.load(&key)?, "number of an ended proposal")?;
    execution.overlay.delete(keys::proposal(id));
    execution.overlay.delete(key);
    Ok(())
}

/// Pays a deposit back, or, when it was vetoed, to the treasury or to the accused; returns both sums.
fn pay_out(
    execution: &mut Execution<'_>,
    proposal: &mut Proposal,
    outcome: ProposalOutcome,
) -> Result<(Amount, Amount), Fault> {
    let whole = proposal.deposit()?;
    let parts = std::mem::take(&mut proposal.deposits);
    if outcome == ProposalOutcome::Vetoed {
        let to = proposal.accused().unwrap_or(TREASURY);
        bank::credit(execution, to, whole)?;
        return Ok((Amount::ZERO, whole));
    }
    for part in &parts {
        bank::credit(execution, part.from, part.amount)?;
    }
    Ok((whole, Amount::ZERO))
}
