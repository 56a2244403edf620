//! Proposals: what the holders of bonded stake decide together, and how they vote.

use crate::{
    amount::Amount,
    catalogue::SetService,
    codec::{Boxed, choice, record, tag},
    digest::Digest,
    keys::Address,
    quantity::{Bps, Height, Millis, ProposalId},
};

/// The account of the community. It is the digest of no key, so that only a proposal spends from it; a transfer to it is a gift.
pub const TREASURY: Address = Address(*b"fairweir/1/treasury/");

/// A part of the ledger whose new actions can be refused for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Module {
    /// Transfers between accounts, and grants to delegates.
    Transfers,
    /// Bonding and unbonding.
    Stake,
    /// Offers and enrolments.
    Registry,
    /// New orders of one round, and money for open ones.
    Orders,
    /// New sessions, and higher caps of open lanes.
    Sessions,
}
tag!(Module { 1 => Transfers, 2 => Stake, 3 => Registry, 4 => Orders, 5 => Sessions });

impl Module {
    /// Every module, in the order of their tags.
    pub const ALL: [Self; 5] = [
        Self::Transfers,
        Self::Stake,
        Self::Registry,
        Self::Orders,
        Self::Sessions,
    ];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transfers => "transfers",
            Self::Stake => "stake",
            Self::Registry => "registry",
            Self::Orders => "orders",
            Self::Sessions => "sessions",
        }
    }
}

/// Sets a governed value, from the next block on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetParam {
    /// The parameter's stable number.
    pub param: u16,
    /// Its new value.
    pub value: u64,
}
record!(SetParam { param, value });

/// Pays from the treasury.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreasurySpend {
    /// To whom.
    pub to: Address,
    /// How much.
    pub amount: Amount,
}
record!(TreasurySpend { to, amount });

/// Takes a part of an account's stake, for an offence that no rule of the ledger sees: a provider that withholds its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Penalty {
    /// Whose stake.
    pub accused: Address,
    /// The blob digest of the evidence.
    pub evidence: Digest,
    /// How much of the stake that is bonded when the voting starts.
    pub share: Bps,
}
record!(Penalty {
    accused,
    evidence,
    share
});

/// Refuses a module's new actions for a while; what is open goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The module.
    pub module: Module,
    /// For how long, in milliseconds of chain time.
    pub duration: Millis,
}
record!(Pause { module, duration });

/// Takes back what another proposal would do when its lock is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// The other proposal.
    pub proposal: ProposalId,
}
record!(Cancel { proposal });

/// Has every node stop before a block, unless its program knows the rules from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The first block of the new rules.
    pub height: Height,
    /// The blob digest of their description: which release, from where, what changes.
    pub plan: Digest,
}
record!(Upgrade { height, plan });

/// Lets withdrawals go on that the ledger halted because an invariant did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The block that halted them: a vote about one halt lifts no later one.
    pub halted: Height,
}
record!(Resume { halted });

/// Lifts a candidate's jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// The candidate.
    pub candidate: Address,
    /// The last epoch of that jail: a vote about one lifts no later one, but for one that ends with the same epoch.
    pub until: u64,
}
record!(Release { candidate, until });

/// What a proposal does when it passes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is named for its payload, which is documented"
)]
pub enum Message {
    SetParam(SetParam),
    TreasurySpend(TreasurySpend),
    Penalty(Penalty),
    Pause(Pause),
    Cancel(Cancel),
    Upgrade(Upgrade),
    Resume(Resume),
    SetService(Boxed<SetService>),
    Release(Release),
}
choice!(Message {
    1 => SetParam(SetParam),
    2 => TreasurySpend(TreasurySpend),
    3 => Penalty(Penalty),
    4 => Pause(Pause),
    5 => Cancel(Cancel),
    6 => Upgrade(Upgrade),
    7 => Resume(Resume),
    8 => SetService(Boxed<SetService>),
    9 => Release(Release),
});

impl Message {
    /// The stable name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SetParam(_) => "set_param",
            Self::TreasurySpend(_) => "treasury_spend",
            Self::Penalty(_) => "penalty",
            Self::Pause(_) => "pause",
            Self::Cancel(_) => "cancel",
            Self::Upgrade(_) => "upgrade",
            Self::Resume(_) => "resume",
            Self::SetService(_) => "set_service",
            Self::Release(_) => "release",
        }
    }
}

/// How a vote is split, in basis points that are 10,000 together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// For it.
    pub yes: u16,
    /// Against it.
    pub no: u16,
    /// For the quorum alone.
    pub abstain: u16,
    /// Against it, and against its having been asked: enough of them take the deposit.
    pub veto: u16,
}
record!(Weights {
    yes,
    no,
    abstain,
    veto
});

impl Weights {
    /// The sum, in basis points.
    #[must_use]
    pub fn sum(&self) -> u64 {
        [self.yes, self.no, self.abstain, self.veto]
            .into_iter()
            .fold(0, |sum: u64, part| sum.saturating_add(u64::from(part)))
    }
}

/// The votes of a voting, exactly: of each option the sum of stake in base units times basis points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// For it.
    pub yes: u128,
    /// Against it.
    pub no: u128,
    /// For the quorum alone.
    pub abstain: u128,
    /// Against it and its having been asked.
    pub veto: u128,
}
record!(Tally {
    yes,
    no,
    abstain,
    veto
});

/// Where a proposal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProposalPhase {
    /// It waits for the rest of its deposit.
    #[default]
    Deposit,
    /// It is voted on.
    Voting,
    /// It has passed, and has to pass again when this time is over; votes still count.
    Confirming,
    /// A penalty has passed, and the accused may appeal.
    Appealable,
    /// An appealed penalty is voted on again.
    AppealVoting,
    /// It has passed, and its lock is not over.
    Locked,
    /// It is over.
    Ended,
}
tag!(ProposalPhase {
    1 => Deposit,
    2 => Voting,
    3 => Confirming,
    4 => Appealable,
    5 => AppealVoting,
    6 => Locked,
    7 => Ended
});

impl ProposalPhase {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Voting => "voting",
            Self::Confirming => "confirming",
            Self::Appealable => "appealable",
            Self::AppealVoting => "appeal_voting",
            Self::Locked => "locked",
            Self::Ended => "ended",
        }
    }

    /// Whether votes are taken.
    #[must_use]
    pub const fn takes_votes(self) -> bool {
        matches!(self, Self::Voting | Self::Confirming | Self::AppealVoting)
    }
}

/// How a proposal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProposalOutcome {
    /// It passed and was done.
    Executed,
    /// It passed, and could not be done any more.
    Failed,
    /// Not enough were for it.
    Rejected,
    /// Too few voted.
    NoQuorum,
    /// Enough vetoed it: the deposit is gone.
    Vetoed,
    /// Its deposit did not come together in time.
    Unfunded,
    /// Another proposal took it back.
    Cancelled,
    /// The accused appealed, and not enough were for it the second time.
    Overturned,
}
tag!(ProposalOutcome {
    1 => Executed,
    2 => Failed,
    3 => Rejected,
    4 => NoQuorum,
    5 => Vetoed,
    6 => Unfunded,
    7 => Cancelled,
    8 => Overturned
});

impl ProposalOutcome {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::NoQuorum => "no_quorum",
            Self::Vetoed => "vetoed",
            Self::Unfunded => "unfunded",
            Self::Cancelled => "cancelled",
            Self::Overturned => "overturned",
        }
    }
}

/// What one account paid for a proposal's deposit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deposited {
    /// Who.
    pub from: Address,
    /// How much.
    pub amount: Amount,
}
record!(Deposited { from, amount });
