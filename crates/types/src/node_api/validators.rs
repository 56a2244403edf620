//! What a node says about validators.

use crate::{
    amount::Amount,
    bounded::BoundedVec,
    codec::record,
    double_vote::DoubleVote,
    event::Seat,
    keys::Address,
    limits::{CANDIDATES_MAX, DELEGATIONS_MAX, VALIDATORS_LISTED_MAX, VALIDATORS_MAX},
    peer_address::PeerAddress,
    quantity::{Bps, Height},
};

/// Asks for the validators, and for evidence against them that nobody showed the ledger yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskValidators {}
record!(AskValidators {});

/// One validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidatorReport {
    /// Its identity.
    pub identity: [u8; 32],
    /// The account that its fees go to, and whose stake answers for its votes.
    pub account: Address,
    /// What that account has bonded.
    pub bonded: Amount,
    /// Whether it has a seat in this epoch.
    pub seated: bool,
    /// Whether it, or a further node of it, was shown to have voted twice.
    pub tombstoned: bool,
}
record!(ValidatorReport {
    identity,
    account,
    bonded,
    seated,
    tombstoned
});

/// The validators of the genesis, and those with seats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidatorsReport {
    /// The validators, in ascending order of identity.
    pub validators: BoundedVec<ValidatorReport, VALIDATORS_LISTED_MAX>,
    /// Double votes that the node met since it started and that the ledger would take, one pair of each validator.
    pub evidence: BoundedVec<DoubleVote, VALIDATORS_MAX>,
}
record!(ValidatorsReport {
    validators,
    evidence
});

/// Asks for the candidates that stand, and for the seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskCandidates {}
record!(AskCandidates {});

/// One candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandidateReport {
    /// Its account.
    pub candidate: Address,
    /// Its identity.
    pub validator: [u8; 32],
    /// What it keeps of the fees of its blocks.
    pub commission: Bps,
    /// What it keeps from the next epoch on.
    pub next_commission: Bps,
    /// What it has put behind itself.
    pub own: Amount,
    /// All stake behind it that counts.
    pub stake: Amount,
    /// Stake on its way back, which answers for it still.
    pub leaving: Amount,
    /// Where its node is reached by those of other validators.
    pub peer: PeerAddress,
    /// Whether it has said in this epoch that it is there.
    pub is_ready: bool,
    /// Whether it would have a seat if the epoch ended now, by the jails that there are.
    pub seat_next: bool,
    /// The last epoch for which it is jailed, because it made no block in one; none if it is not in the next.
    pub jailed_until: Option<u64>,
    /// The candidate of which it is a further node, if it is one.
    pub lead: Option<Address>,
    /// Whether that one confirmed it: before, stake gives it no seat.
    pub is_confirmed: bool,
}
record!(CandidateReport {
    candidate,
    validator,
    commission,
    next_commission,
    own,
    stake,
    leaving,
    peer,
    is_ready,
    seat_next,
    jailed_until,
    lead,
    is_confirmed
});

/// The candidates that stand, and the seats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CandidatesReport {
    /// The number of the epoch.
    pub epoch: u64,
    /// Its last block.
    pub ends: Height,
    /// Whether stake gave the seats of the epoch.
    pub by_stake: bool,
    /// The epoch since which the same validators have them.
    pub since: u64,
    /// Who has seats in it.
    pub seats: BoundedVec<Seat, VALIDATORS_MAX>,
    /// The stake behind candidates that have enough of their own and said in this epoch that they are ready.
    pub stake: Amount,
    /// The same of those that did not say so, yet.
    pub absent: Amount,
    /// How much the first must be at least for seats to follow stake; it must be more than two thirds of both besides.
    pub stake_min: Amount,
    /// How many candidates must be ready for that.
    pub seats_min: u16,
    /// The candidates, in ascending order of account.
    pub candidates: BoundedVec<CandidateReport, CANDIDATES_MAX>,
}
record!(CandidatesReport {
    epoch,
    ends,
    by_stake,
    since,
    seats,
    stake,
    absent,
    stake_min,
    seats_min,
    candidates
});

/// What buyers have locked in orders, against what a third of the seats costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecuredReport {
    /// What orders hold.
    pub locked: Amount,
    /// The stake behind the cheapest third of the seats; none while seats are not given by stake.
    pub third: Option<Amount>,
    /// The governed share of it that orders may hold.
    pub share: Bps,
    /// What that is; none while seats are not given by stake.
    pub limit: Option<Amount>,
}
record!(SecuredReport {
    locked,
    third,
    share,
    limit
});

impl SecuredReport {
    /// How much more may be locked; none while that is not bounded.
    #[must_use]
    pub fn room(&self) -> Option<Amount> {
        let left = |limit: Amount| limit.checked_sub(self.locked).unwrap_or(Amount::ZERO);
        self.limit.map(left)
    }
}

/// Asks for what an account has delegated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskDelegations {
    /// The account.
    pub delegator: Address,
}
record!(AskDelegations { delegator });

/// What an account has behind one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelegationReport {
    /// The candidate's account.
    pub candidate: Address,
    /// Its shares.
    pub shares: Amount,
    /// What they are worth.
    pub worth: Amount,
    /// How many of them came by redelegation, and stay.
    pub moved: Amount,
    /// What it earned and has not been paid.
    pub rewards: Amount,
    /// Whether the candidate, or a further node of it, voted twice.
    pub tombstoned: bool,
}
record!(DelegationReport {
    candidate,
    shares,
    worth,
    moved,
    rewards,
    tombstoned
});

/// What an account has delegated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DelegationsReport {
    /// Its delegations, in ascending order of the candidates' accounts.
    pub delegations: BoundedVec<DelegationReport, DELEGATIONS_MAX>,
}
record!(DelegationsReport { delegations });
