use crate::{fault::Fault, refusal::lift_faults};
use fairweir_types::{Address, Amount, Bps, PeerAddress};
use thiserror::Error;

/// Why an action about candidates is refused. The checks run in the order of the codes.
#[derive(Debug, Error)]
pub enum CandidateError {
    /// Nothing to move.
    #[error("the amount is zero")]
    ZeroAmount,
    /// From and to are one candidate.
    #[error("the stake is behind this candidate already")]
    SameCandidate,
    /// The account is no candidate.
    #[error("this account is no candidate")]
    NoSuchCandidate,
    /// The candidate was slashed for a double vote.
    #[error("the candidate was tombstoned: stake behind it can only leave")]
    Tombstoned,
    /// The candidate does not stand for seats.
    #[error("the candidate does not stand for seats")]
    DoesNotStand,
    /// The account has nothing behind the candidate.
    #[error("the account has nothing behind this candidate")]
    NoDelegation,
    /// An account is one candidate at most.
    #[error("the account is a candidate already")]
    AlreadyCandidate,
    /// Somebody has registered a key.
    #[error("the identity or the vote key is another validator's")]
    KeysInUse,
    /// The commission is too high.
    #[error("the commission is {commission} basis points, at most {max} are allowed")]
    CommissionOutOfRange {
        /// What is asked.
        commission: Bps,
        /// The most.
        max: Bps,
    },
    /// The commission rises too fast.
    #[error(
        "the commission would rise to {commission} basis points, to {max} at most in one epoch"
    )]
    CommissionRisesTooFast {
        /// What is asked.
        commission: Bps,
        /// The most.
        max: Bps,
    },
    /// The candidate puts too little behind itself.
    #[error("the candidate puts {own} coins behind itself, {min} are needed")]
    OwnStakeTooLow {
        /// What it puts.
        own: Amount,
        /// The least.
        min: Amount,
    },
    /// The balance does not suffice.
    #[error("the balance is {balance} coins, {amount} are to be delegated")]
    CannotPayDelegation {
        /// The balance after the fee.
        balance: Amount,
        /// What is to be delegated.
        amount: Amount,
    },
    /// More shares are to leave than may.
    #[error(
        "{free} shares may leave, {shares} are to: what came by redelegation stays for a while"
    )]
    AboveDelegation {
        /// What may leave.
        free: Amount,
        /// What is to.
        shares: Amount,
    },
    /// Stake that came by redelegation answers for the candidate that it left.
    #[error(
        "stake came to this delegation by redelegation, and still answers for the candidate that it left: wait until that is over"
    )]
    RedelegatedBefore,
    /// The account has as many delegations as it may.
    #[error("the account has delegated to {max} candidates, which is the most")]
    TooManyDelegations {
        /// How many it may have.
        max: usize,
    },
    /// As many candidates stand as may, and each has more stake.
    #[error(
        "{max} candidates stand, and the least of them has {least} coins behind it: bring more"
    )]
    TooManyCandidates {
        /// How many may stand.
        max: usize,
        /// What the least of them has.
        least: Amount,
    },
    /// The block has checked as many registrations as it may.
    #[error("{max} registrations were checked in this block: send it again")]
    TooManyRegistrations {
        /// How many it checks.
        max: usize,
    },
    /// A key did not sign that it belongs to the account.
    #[error("the identity and the vote key did not both sign for this account on this chain")]
    KeysNotProven,
    /// The delegation has earned nothing since it was last paid.
    #[error("nothing was earned since the last payment")]
    NothingToClaim,
    /// Nobody can reach the node there.
    #[error(
        "no other validator reaches a node at {peer}: give its address and port, on a development chain those of loopback"
    )]
    PeerUnreachable {
        /// Where it is said to be.
        peer: PeerAddress,
    },
    /// The account cannot lead further nodes.
    #[error(
        "{lead} leads no further nodes: it is no candidate, was tombstoned, or is a further node itself"
    )]
    NoLead {
        /// The account.
        lead: Address,
    },
    /// The candidate is no further node of the sender.
    #[error("this candidate was not registered as a further node of the sender")]
    NotItsNode,
    /// It was confirmed already.
    #[error("this further node was confirmed before")]
    ConfirmedBefore,
    /// Stake is put behind the lead.
    #[error(
        "this is a further node of {lead}: put stake behind that one, which has it count for all its nodes"
    )]
    BehindLead {
        /// The lead.
        lead: Address,
    },
    /// The ledger's own state is broken.
    #[error(transparent)]
    Fault(#[from] Fault),
}
lift_faults!(CandidateError => Candidate);

impl CandidateError {
    pub(crate) const fn code(&self) -> u16 {
        match self {
            Self::ZeroAmount => 1100,
            Self::SameCandidate => 1101,
            Self::NoSuchCandidate => 1102,
            Self::Tombstoned => 1103,
            Self::DoesNotStand => 1104,
            Self::NoDelegation => 1105,
            Self::AlreadyCandidate => 1106,
            Self::KeysInUse => 1107,
            Self::CommissionOutOfRange { .. } => 1108,
            Self::CommissionRisesTooFast { .. } => 1109,
            Self::OwnStakeTooLow { .. } => 1110,
            Self::CannotPayDelegation { .. } => 1111,
            Self::AboveDelegation { .. } => 1112,
            Self::RedelegatedBefore => 1113,
            Self::TooManyDelegations { .. } => 1114,
            Self::TooManyCandidates { .. } => 1115,
            Self::TooManyRegistrations { .. } => 1116,
            Self::KeysNotProven => 1117,
            Self::NothingToClaim => 1118,
            Self::PeerUnreachable { .. } => 1119,
            Self::NoLead { .. } => 1120,
            Self::NotItsNode => 1121,
            Self::ConfirmedBefore => 1122,
            Self::BehindLead { .. } => 1123,
            Self::Fault(_) => 99,
        }
    }
}
