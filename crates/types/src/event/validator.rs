//! Events of validators.

use crate::{
    amount::Amount,
    bounded::BoundedVec,
    codec::record,
    keys::{Address, VOTE_KEY_BYTES},
    limits::VALIDATORS_MAX,
    quantity::{Bps, Height, Millis, ProposalId},
};

/// A validator, or a further node of it, was shown to have voted twice. It earns no fees any more, and its account's stake was slashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidatorTombstoned {
    /// Its identity.
    pub validator: [u8; 32],
    /// The identity that voted: its own, or its further node's.
    pub voter: [u8; 32],
    /// The account whose stake answers for it: the one that its fees went to.
    pub account: Address,
    /// The epoch of the two votes.
    pub epoch: u64,
    /// The view of the two votes.
    pub view: u64,
    /// Who showed them.
    pub reporter: Address,
    /// What was taken of the account's stake.
    pub amount: Amount,
    /// What was taken of the stake behind it as a candidate, its own included.
    pub delegated: Amount,
    /// What of both the reporter got.
    pub to_reporter: Amount,
    /// What of both burned.
    pub burned: Amount,
}
record!(ValidatorTombstoned {
    validator,
    voter,
    account,
    epoch,
    view,
    reporter,
    amount,
    delegated,
    to_reporter,
    burned
});

/// An account became a candidate for seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandidateRegistered {
    /// The account.
    pub candidate: Address,
    /// Its identity.
    pub validator: [u8; 32],
    /// What it keeps of the fees of its blocks.
    pub commission: Bps,
}
record!(CandidateRegistered {
    candidate,
    validator,
    commission
});

/// A candidate changed what it asks, or whether it stands; or one with more stake took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandidateUpdated {
    /// The candidate.
    pub candidate: Address,
    /// What it keeps of the fees of its blocks from the next epoch on.
    pub commission: Bps,
    /// Whether it stands for seats.
    pub stands: bool,
}
record!(CandidateUpdated {
    candidate,
    commission,
    stands
});

/// A candidate had a seat for a whole epoch, because it had said that its node is there, and made no block in it. It is jailed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandidateJailed {
    /// The candidate.
    pub candidate: Address,
    /// Its identity.
    pub validator: [u8; 32],
    /// The epoch in which it made none.
    pub epoch: u64,
    /// The last epoch for which it is jailed.
    pub until: u64,
}
record!(CandidateJailed {
    candidate,
    validator,
    epoch,
    until
});

/// A vote lifted a candidate's jail before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandidateReleased {
    /// The proposal.
    pub proposal: ProposalId,
    /// The candidate.
    pub candidate: Address,
}
record!(CandidateReleased {
    proposal,
    candidate
});

/// A candidate confirmed that another one is a further node of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeConfirmed {
    /// The candidate behind which the stake is.
    pub lead: Address,
    /// The further node's account.
    pub node: Address,
}
record!(NodeConfirmed { lead, node });

/// An account put stake behind a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StakeDelegated {
    /// The candidate.
    pub candidate: Address,
    /// Whose stake.
    pub delegator: Address,
    /// How much.
    pub amount: Amount,
}
record!(StakeDelegated {
    candidate,
    delegator,
    amount
});

/// Stake behind a candidate is on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StakeUndelegated {
    /// The candidate.
    pub candidate: Address,
    /// Whose stake.
    pub delegator: Address,
    /// How many shares.
    pub shares: Amount,
    /// The chain time at which it is free.
    pub free_at: Millis,
}
record!(StakeUndelegated {
    candidate,
    delegator,
    shares,
    free_at
});

/// Stake behind a candidate became balance again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StakeReturned {
    /// The candidate.
    pub candidate: Address,
    /// Whose stake.
    pub delegator: Address,
    /// How much; less than was delegated if the candidate was slashed.
    pub amount: Amount,
}
record!(StakeReturned {
    candidate,
    delegator,
    amount
});

/// Stake moved from behind one candidate behind another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redelegated {
    /// The candidate that it left.
    pub from: Address,
    /// The other.
    pub to: Address,
    /// Whose stake.
    pub delegator: Address,
    /// How much.
    pub amount: Amount,
    /// The chain time until which it answers for the first, and stays.
    pub until: Millis,
}
record!(Redelegated {
    from,
    to,
    delegator,
    amount,
    until
});

/// Stake that had moved was slashed for the candidate that it came from, and burned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedelegationSlashed {
    /// The candidate that voted twice, or with a further node.
    pub from: Address,
    /// The one that the stake is behind now.
    pub to: Address,
    /// Whose stake.
    pub delegator: Address,
    /// How much.
    pub burned: Amount,
}
record!(RedelegationSlashed {
    from,
    to,
    delegator,
    burned
});

/// A delegation was paid what it had earned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RewardsClaimed {
    /// The candidate.
    pub candidate: Address,
    /// Who was paid.
    pub delegator: Address,
    /// How much.
    pub amount: Amount,
}
record!(RewardsClaimed {
    candidate,
    delegator,
    amount
});

/// A validator's seat: one vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The validator's identity.
    pub validator: [u8; 32],
    /// What its votes are checked with, as it came: it becomes a point of the curve only where votes are checked.
    pub vote_key: [u8; VOTE_KEY_BYTES],
    /// The stake that it was given for; zero of one that has its seat from the genesis.
    pub stake: Amount,
}
record!(Seat {
    validator,
    vote_key,
    stake
});

/// An epoch began, with the seats that stake gave at the end of the one before, or those of that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochBegan {
    /// Its number.
    pub epoch: u64,
    /// Its last block.
    pub ends: Height,
    /// Whether stake gave the seats; else too little stood for any, and who had seats keeps them.
    pub by_stake: bool,
    /// The epoch since which the same validators have the seats.
    pub since: u64,
    /// Who has seats, in ascending order of identity: who makes blocks in this epoch.
    pub seats: BoundedVec<Seat, VALIDATORS_MAX>,
}
record!(EpochBegan {
    epoch,
    ends,
    by_stake,
    since,
    seats
});
