//! Events of proposals.

use crate::{
    amount::Amount,
    bounded::BoundedText,
    catalogue::ServiceEntry,
    codec::record,
    digest::Digest,
    governance::{Message, Module, ProposalOutcome, ProposalPhase, Tally, Weights},
    invariant::Invariant,
    keys::Address,
    limits::TITLE_BYTES_MAX,
    order::KindId,
    outcome::TxCode,
    quantity::{Height, Millis, ProposalId},
};

/// A proposal was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalSubmitted {
    /// Its number.
    pub proposal: ProposalId,
    /// Who proposes it.
    pub proposer: Address,
    /// What it is about, in a line.
    pub title: BoundedText<TITLE_BYTES_MAX>,
    /// What it does when it passes.
    pub message: Message,
    /// Whether it takes the fast track with the higher threshold.
    pub expedited: bool,
    /// What was paid of its deposit.
    pub deposit: Amount,
    /// The deposit that it needs to be voted on.
    pub needed: Amount,
    /// The chain time by which it must be there.
    pub due: Millis,
}
record!(ProposalSubmitted {
    proposal,
    proposer,
    title,
    message,
    expedited,
    deposit,
    needed,
    due
});

/// More of a proposal's deposit was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepositAdded {
    /// The proposal.
    pub proposal: ProposalId,
    /// Who paid.
    pub from: Address,
    /// How much.
    pub amount: Amount,
    /// What is there now.
    pub deposit: Amount,
}
record!(DepositAdded {
    proposal,
    from,
    amount,
    deposit
});

/// A voting began: what is bonded now is what votes weigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VotingStarted {
    /// The proposal.
    pub proposal: ProposalId,
    /// Whether it is the second, after an appeal.
    pub is_appeal: bool,
    /// All stake that is bonded.
    pub bonded: Amount,
    /// What of the accused's stake must stay meanwhile, bonded or on its way back.
    pub charged: Amount,
    /// The chain time at which it ends.
    pub until: Millis,
}
record!(VotingStarted {
    proposal,
    is_appeal,
    bonded,
    charged,
    until
});

/// An account voted, or changed its vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voted {
    /// The proposal.
    pub proposal: ProposalId,
    /// Who.
    pub voter: Address,
    /// How.
    pub weights: Weights,
    /// The stake that the vote weighs.
    pub power: Amount,
    /// What was delegated to the voter by others, who did not vote themselves.
    pub lent: Amount,
}
record!(Voted {
    proposal,
    voter,
    weights,
    power,
    lent
});

/// Somebody voted with what it had delegated to a candidate, whose vote weighs that much less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteOverridden {
    /// The proposal.
    pub proposal: ProposalId,
    /// Whose vote weighs less.
    pub candidate: Address,
    /// Who voted itself.
    pub voter: Address,
    /// By how much.
    pub power: Amount,
}
record!(VoteOverridden {
    proposal,
    candidate,
    voter,
    power
});

/// A voting is over, and one of its votes left the state: the deposit for its record is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteReturned {
    /// The number of the voting; an appeal of a motion has another one than the motion.
    pub voting: u64,
    /// Who voted, and has the deposit back.
    pub voter: Address,
    /// The deposit.
    pub amount: Amount,
}
record!(VoteReturned {
    voting,
    voter,
    amount
});

/// A proposal passed, and waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProposalPassed {
    /// The proposal.
    pub proposal: ProposalId,
    /// For what it waits.
    pub phase: ProposalPhase,
    /// The votes.
    pub tally: Tally,
    /// The chain time until which it waits.
    pub until: Millis,
}
record!(ProposalPassed {
    proposal,
    phase,
    tally,
    until
});

/// The accused answered a penalty motion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MotionAnswered {
    /// The proposal.
    pub proposal: ProposalId,
    /// Who.
    pub accused: Address,
    /// The blob digest of the answer.
    pub answer: Digest,
}
record!(MotionAnswered {
    proposal,
    accused,
    answer
});

/// The accused appealed a penalty: it is voted on again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MotionAppealed {
    /// The proposal.
    pub proposal: ProposalId,
    /// Who.
    pub accused: Address,
    /// The blob digest of the grounds.
    pub grounds: Digest,
}
record!(MotionAppealed {
    proposal,
    accused,
    grounds
});

/// A proposal is over, and its deposit is paid out: deposit = returned + forfeited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProposalEnded {
    /// The proposal.
    pub proposal: ProposalId,
    /// How.
    pub outcome: ProposalOutcome,
    /// Why it could not be done; 0 unless it failed.
    pub code: TxCode,
    /// The votes of its last voting.
    pub tally: Tally,
    /// To those who paid the deposit.
    pub returned: Amount,
    /// To the treasury, or to the accused.
    pub forfeited: Amount,
}
record!(ProposalEnded {
    proposal,
    outcome,
    code,
    tally,
    returned,
    forfeited
});

/// A governed value was changed; it holds from the next block on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamChanged {
    /// By which proposal.
    pub proposal: ProposalId,
    /// The parameter's stable number.
    pub param: u16,
    /// What it was.
    pub before: u64,
    /// What it is.
    pub value: u64,
}
record!(ParamChanged {
    proposal,
    param,
    before,
    value
});

/// The treasury paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreasurySpent {
    /// By which proposal.
    pub proposal: ProposalId,
    /// To whom.
    pub to: Address,
    /// How much.
    pub amount: Amount,
}
record!(TreasurySpent {
    proposal,
    to,
    amount
});

/// Stake was taken by a penalty motion, and burned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Penalised {
    /// By which proposal.
    pub proposal: ProposalId,
    /// Whose stake.
    pub accused: Address,
    /// How much.
    pub burned: Amount,
}
record!(Penalised {
    proposal,
    accused,
    burned
});

/// A module takes no new actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModulePaused {
    /// By which proposal.
    pub proposal: ProposalId,
    /// The module.
    pub module: Module,
    /// The chain time until which.
    pub until: Millis,
}
record!(ModulePaused {
    proposal,
    module,
    until
});

/// Every node stops before a block, unless its program knows the rules from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradePlanned {
    /// By which proposal.
    pub proposal: ProposalId,
    /// The first block of the new rules.
    pub height: Height,
    /// The blob digest of their description.
    pub plan: Digest,
}
record!(UpgradePlanned {
    proposal,
    height,
    plan
});

/// The catalogue of services was changed: from its block on the entry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSet {
    /// By which proposal.
    pub proposal: ProposalId,
    /// The kind.
    pub kind: KindId,
    /// What holds for it, and from which block on.
    pub entry: ServiceEntry,
}
record!(ServiceSet {
    proposal,
    kind,
    entry
});

/// New rules begin, first of all in this block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeBegan {
    /// The block.
    pub height: Height,
    /// The blob digest of their description.
    pub plan: Digest,
    /// How many records its migration wrote or deleted.
    pub records: u64,
}
record!(UpgradeBegan {
    height,
    plan,
    records
});

/// A pause is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleResumed {
    /// The module.
    pub module: Module,
}
record!(ModuleResumed { module });

/// An invariant does not hold, so nobody takes money out until a proposal lets withdrawals go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithdrawalsHalted {
    /// The first one that does not.
    pub invariant: Invariant,
    /// The block that found it, by which a proposal names the halt.
    pub halted: Height,
}
record!(WithdrawalsHalted { invariant, halted });

/// Withdrawals go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithdrawalsResumed {
    /// By which proposal.
    pub proposal: ProposalId,
    /// The block that halted them.
    pub halted: Height,
}
record!(WithdrawalsResumed { proposal, halted });
