//! A candidate with the pot of stake behind it.

use super::{Jail, Lead, operator};
use crate::{
    bank,
    execution::Execution,
    fault::{Fault, OrFault, counted},
    governance::Notes,
    keys,
    params::Params,
    state::{State, load, state_record},
};
use fairweir_types::{
    Address, Amount, BoundedVec, Bps, PeerAddress, Rounding, limits::VALIDATORS_MAX,
};

/// Binary places of the index of rewards. A delegation never counts more shares than all that counted while the index grew, so its shares times that growth are
/// at most all fees with these places: 128 bits hold all money there is, paid as fees half a million times over.
const INDEX_PLACES: u32 = 48;

/// A candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its identity.
    pub validator: [u8; 32],
    /// What it keeps of the fees of its blocks, until `commission_from`.
    pub commission: Bps,
    /// What it keeps from then on.
    pub next_commission: Bps,
    /// The epoch in which that begins.
    pub commission_from: u64,
    /// Where its node is reached.
    pub peer: PeerAddress,
    /// Whether it stands for a seat.
    pub stands: bool,
    /// The last epoch in which it said that its node is there.
    pub ready: Option<u64>,
    /// The last time that it was jailed, unless a vote lifted that.
    pub jail: Option<Jail>,
    /// The candidate of which it is a further node, if it is one.
    pub lead: Option<Lead>,
    /// Its further nodes that were jailed when one of them last was.
    pub jailed_nodes: BoundedVec<Address, VALIDATORS_MAX>,
    /// What a double vote, its own or a further node's, took of each share's worth; zero without one.
    pub slashed: Bps,
    /// The money of all shares.
    pub stake: Amount,
    /// All shares, those on their way back included.
    pub shares: Amount,
    /// Shares on their way back.
    pub leaving: Amount,
    /// Shares of others that count: the candidate votes with them on proposals.
    pub backing: Amount,
    /// What they were when votings began.
    pub notes: Notes,
    /// Fees for delegations that have not been paid to them.
    pub rewards: Amount,
    /// What a share has earned since the beginning, in parts of a base unit.
    pub index: u128,
    /// What of the fees did not divide, in the same parts.
    pub rest: u128,
    /// Entries begun, for their keys.
    pub entries: u64,
    /// The refundable deposit for this record.
    pub deposit: Amount,
}
state_record!(Candidate {
    validator,
    commission,
    next_commission,
    commission_from,
    peer,
    stands,
    ready,
    jail,
    lead,
    jailed_nodes,
    slashed,
    stake,
    shares,
    leaving,
    backing,
    notes,
    rewards,
    index,
    rest,
    entries,
    deposit,
});

/// The candidate that an account is.
///
/// # Errors
/// [`Fault::Record`].
pub fn candidate(state: &dyn State, account: Address) -> Result<Option<Candidate>, Fault> {
    load(state, &keys::candidate(account))
}

pub(super) fn keep(execution: &mut Execution<'_>, account: Address, record: &Candidate) {
    execution.overlay.store(keys::candidate(account), record);
}

impl Candidate {
    /// Whether it, or a further node of it, voted twice.
    #[must_use]
    pub fn is_tombstoned(&self) -> bool {
        self.slashed > Bps::ZERO
    }

    /// Shares that count: for seats, and for rewards.
    pub(crate) fn counting(&self) -> Result<Amount, Fault> {
        self.shares.checked_sub(self.leaving).or_fault()
    }

    /// What it keeps of fees in an epoch.
    #[must_use]
    pub fn commission_in(&self, epoch: u64) -> Bps {
        if epoch >= self.commission_from {
            self.next_commission
        } else {
            self.commission
        }
    }

    /// What shares are worth; a rest stays in the pot.
    pub(crate) fn worth(&self, shares: Amount) -> Result<Amount, Fault> {
        if shares == Amount::ZERO {
            return Ok(Amount::ZERO);
        }
        self.stake
            .checked_mul_ratio(
                shares.base_units(),
                self.shares.base_units(),
                Rounding::Down,
            )
            .or_fault()
    }

    /// Its money: in balances, bonded, on its way back, in escrow.
    pub(crate) fn money(&self) -> Result<[Amount; 4], Fault> {
        let leaving = self.worth(self.leaving)?;
        let bonded = self.stake.checked_sub(leaving).or_fault()?;
        let escrow = self.rewards.checked_add(self.deposit).or_fault()?;
        Ok([Amount::ZERO, bonded, leaving, escrow])
    }

    /// Puts money in; each coin is a share, because it has not been slashed.
    pub(super) fn put(&mut self, amount: Amount) -> Result<(), Fault> {
        self.stake = self.stake.checked_add(amount).or_fault()?;
        self.shares = self.shares.checked_add(amount).or_fault()?;
        Ok(())
    }

    /// Takes shares out; returns what they were worth.
    pub(super) fn take(&mut self, shares: Amount) -> Result<Amount, Fault> {
        let worth = self.worth(shares)?;
        self.stake = self.stake.checked_sub(worth).or_fault()?;
        self.shares = self.shares.checked_sub(shares).or_fault()?;
        Ok(worth)
    }

    /// What shares earned since the index was `since`.
    pub(crate) fn earned(&self, shares: Amount, since: u128) -> Result<Amount, Fault> {
        let parts = self.index.checked_sub(since);
        let parts = parts.and_then(|parts| parts.checked_mul(u128::from(shares.base_units())));
        let whole = parts.and_then(|parts| parts.checked_shr(INDEX_PLACES));
        let whole = whole.and_then(|whole| u64::try_from(whole).ok());
        counted(whole.and_then(Amount::from_base_units), "rewards")
    }

    /// Adds fees to the index; false when they cannot be, and nothing changed: nothing counts, or the sums would not fit.
    fn credit(&mut self, fees: Amount) -> Result<bool, Fault> {
        let shares = u128::from(self.counting()?.base_units());
        let parts = u128::from(fees.base_units()).checked_shl(INDEX_PLACES);
        let parts = parts.and_then(|parts| parts.checked_add(self.rest));
        let per_share = parts.and_then(|parts| parts.checked_div(shares));
        let rest = parts.and_then(|parts| parts.checked_rem(shares));
        let index = per_share.and_then(|more| self.index.checked_add(more));
        let (Some(index), Some(rest)) = (index, rest) else {
            return Ok(false);
        };
        self.index = index;
        self.rest = rest;
        self.rewards = self.rewards.checked_add(fees).or_fault()?;
        Ok(true)
    }
}

/// What was delegated by others to an account when an open voting began; nothing if it is no candidate, or one that voted twice.
pub(crate) fn backing_in(
    state: &dyn State,
    account: Address,
    voting: u64,
) -> Result<Amount, Fault> {
    let found = candidate(state, account)?.filter(|record| !record.is_tombstoned());
    Ok(found.map_or(Amount::ZERO, |record| {
        record.notes.at(voting, record.backing)
    }))
}

/// Pays the fees of a block to a candidate's account and to the delegations behind it; those of a further node's block to its lead's. False when the account is no candidate with this
/// identity.
pub(crate) fn reward(
    execution: &mut Execution<'_>,
    (account, proposer): (Address, &[u8; 32]),
    fees: Amount,
) -> Result<bool, Fault> {
    let found = candidate(&execution.overlay, account)?;
    let Some(node) = found.filter(|record| record.validator == *proposer) else {
        return Ok(false);
    };
    let lead = operator::lead_of(&execution.overlay, &node)?;
    let (account, mut record) = lead.unwrap_or((account, node));
    let epoch = super::epochs::epoch(&execution.overlay)?.number;
    let kept = Params::share_down(fees, record.commission_in(epoch).get()).or_fault()?;
    let shared = fees.checked_sub(kept).or_fault()?;
    if shared > Amount::ZERO && record.credit(shared)? {
        keep(execution, account, &record);
        bank::credit(execution, account, kept)?;
    } else {
        bank::credit(execution, account, fees)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn amount(base_units: u64) -> Amount {
        Amount::from_base_units(base_units).unwrap()
    }

    fn of(shares: u64) -> Candidate {
        Candidate {
            validator: [0; 32],
            commission: Bps::ZERO,
            next_commission: Bps::ZERO,
            commission_from: 0,
            peer: std::net::SocketAddr::from(([127, 0, 0, 1], 9_000)).into(),
            ready: None,
            jail: None,
            lead: None,
            jailed_nodes: BoundedVec::default(),
            stands: true,
            slashed: Bps::ZERO,
            stake: amount(shares),
            shares: amount(shares),
            leaving: Amount::ZERO,
            backing: Amount::ZERO,
            notes: Notes::default(),
            rewards: Amount::ZERO,
            index: 0,
            rest: 0,
            entries: 0,
            deposit: Amount::ZERO,
        }
    }

    #[test]
    fn fees_that_nobody_can_earn_or_that_do_not_fit_are_not_taken() {
        assert!(!of(0).credit(amount(1)).unwrap());
        // One share, and all the money there is, again and again: in the end the account gets it, and nothing breaks.
        let mut lone = of(1);
        let mut taken = 0u64;
        while {
            lone.rewards = Amount::ZERO;
            lone.credit(Amount::MAX).unwrap()
        } {
            taken += 1;
        }
        assert!(taken > 500_000, "{taken}");
    }

    proptest! {
        #[test]
        fn what_is_claimed_is_never_more_than_was_paid_and_little_less(
            shares in proptest::collection::vec(1u64..1_000_000_000_000_000, 1..8),
            fees in proptest::collection::vec(1u64..1_000_000_000_000, 1..20),
        ) {
            let mut pot = of(shares.iter().sum());
            for fee in &fees {
                prop_assert!(pot.credit(amount(*fee)).unwrap());
            }
            let earned = shares.iter().map(|shares| pot.earned(amount(*shares), 0).unwrap().base_units());
            let earned: u64 = earned.sum();
            let paid: u64 = fees.iter().sum();
            prop_assert!(earned <= paid);
            // A step of the index is all shares over 2^48 base units, and each claim loses less than one unit besides.
            let step = (pot.shares.base_units() >> INDEX_PLACES) + 1;
            prop_assert!(paid - earned <= step + u64::try_from(shares.len()).unwrap());
        }

        #[test]
        fn a_slash_reaches_every_share_alike(
            shares in proptest::collection::vec(1u64..1_000_000_000_000_000, 1..8),
            bps in 1u64..=10_000,
        ) {
            let mut pot = of(shares.iter().sum());
            let lost = Params::share_up(pot.stake, bps).unwrap();
            pot.stake = pot.stake.checked_sub(lost).unwrap();
            let left = pot.stake;
            let mut paid = Amount::ZERO;
            for shares in &shares {
                let worth = pot.take(amount(*shares)).unwrap();
                let fair = Params::share_down(amount(*shares), 10_000 - bps).unwrap();
                // Rounding takes a unit or two at most, and gives the last one the rests of the others.
                prop_assert!(worth.base_units().abs_diff(fair.base_units()) <= 10);
                paid = paid.checked_add(worth).unwrap();
            }
            prop_assert_eq!(paid, left);
            prop_assert_eq!(pot.stake, Amount::ZERO);
        }
    }
}
