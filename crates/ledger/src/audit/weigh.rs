//! What one record says: the money in it, and what it contributes to each sum.

use super::Imbalances;
use crate::{
    bank::{Account, Supply},
    candidates::{Candidate, Delegation, Entry},
    delegates::Grant,
    fault::{Fault, OrFault, present},
    governance::{Governance, Proposal, VoteRecord},
    keys::{self, Kind},
    market::{self, Order, Slot},
    registry::{Counters, OfferRecord, VerifierRecord},
    secured::Secured,
    stake::Stake,
    state::Mark,
};
use commonware_codec::Read;
use fairweir_types::{Amount, Millis, Rounding, decode, governance::ProposalPhase};

/// Money: in balances, bonded, on its way back, in escrow.
type Held = [Amount; 4];

/// What a record says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weighed {
    /// The money in it.
    pub(crate) held: Held,
    /// What it contributes to each sum.
    pub(crate) sums: Imbalances,
}

impl Weighed {
    fn held([balance, bonded, unbonding, escrow]: Held, sums: Imbalances) -> Self {
        let held = [balance, bonded, unbonding, escrow];
        let money = held
            .iter()
            .fold(0i128, |sum, part| sum.saturating_add(units(*part)));
        Self {
            held,
            sums: Imbalances { money, ..sums },
        }
    }

    fn escrow(escrow: Amount, sums: Imbalances) -> Self {
        Self::held([Amount::ZERO, Amount::ZERO, Amount::ZERO, escrow], sums)
    }

    fn sums(sums: Imbalances) -> Self {
        Self {
            sums,
            ..Self::default()
        }
    }
}

fn units(amount: Amount) -> i128 {
    i128::from(amount.base_units())
}

/// The same, owed.
fn minus(value: impl Into<i128>) -> i128 {
    0i128.saturating_sub(value.into())
}

fn read<T: Read<Cfg = ()>>(key: &[u8], record: &[u8]) -> Result<T, Fault> {
    decode(record).map_err(|source| Fault::Record {
        key: key.to_vec(),
        source,
    })
}

/// What the record under a key says.
///
/// # Errors
/// [`Fault`] when it does not read, or says what cannot be.
pub(crate) fn weigh(key: &[u8], record: &[u8]) -> Result<Weighed, Fault> {
    let Some(kind) = keys::kind(key) else {
        return Ok(Weighed::default());
    };
    let none = Imbalances::default();
    match kind {
        Kind::Account => {
            let account: Account = read(key, record)?;
            let held = [account.balance, Amount::ZERO, Amount::ZERO, Amount::ZERO];
            Ok(Weighed::held(held, none))
        }
        Kind::Supply => supply(&read(key, record)?),
        Kind::Stake => stake(&read(key, record)?),
        Kind::Counters => Ok(counters(&read(key, record)?)),
        Kind::Offer => Ok(offer(&read(key, record)?)),
        Kind::Verifier => {
            let verifier: VerifierRecord = read(key, record)?;
            let sums = Imbalances {
                verifiers: 1,
                roles: -1,
                ..none
            };
            Ok(Weighed::escrow(verifier.deposit, sums))
        }
        Kind::Order => order(&read(key, record)?),
        Kind::Slot => slot(&read(key, record)?),
        Kind::Timer => {
            read::<Mark>(key, record).map(|_| Weighed::sums(Imbalances { timers: -1, ..none }))
        }
        Kind::Secured => {
            let secured: Secured = read(key, record)?;
            let secured = minus(secured.locked.base_units());
            Ok(Weighed::sums(Imbalances { secured, ..none }))
        }
        Kind::Grant => {
            let grant: Grant = read(key, record)?;
            let overdrawn = i128::from(grant.left > grant.cap);
            let sums = Imbalances { overdrawn, ..none };
            Ok(Weighed::escrow(grant.deposit, sums))
        }
        Kind::Candidate => candidate(&read(key, record)?),
        Kind::StandingCandidate => read::<Mark>(key, record).map(|_| {
            Weighed::sums(Imbalances {
                standing: -1,
                ..none
            })
        }),
        Kind::Delegation => delegation(key, &read(key, record)?),
        Kind::DelegationDue => Ok(delegation_due(&read(key, record)?)),
        Kind::Governance => {
            let numbers: Governance = read(key, record)?;
            Ok(Weighed::sums(Imbalances {
                bonded: minus(numbers.bonded.base_units()),
                waiting: minus(numbers.waiting),
                ..none
            }))
        }
        Kind::Proposal => proposal(&read(key, record)?),
        Kind::ProposalDue => read::<Mark>(key, record).map(|_| {
            Weighed::sums(Imbalances {
                proposals: -1,
                ..none
            })
        }),
        Kind::Vote => {
            let vote: VoteRecord = read(key, record)?;
            Ok(Weighed::escrow(vote.deposit, none))
        }
    }
}

fn supply(supply: &Supply) -> Result<Weighed, Fault> {
    let made = supply.genesis.checked_add(supply.minted).or_fault()?;
    let there = made.checked_sub(supply.burned).or_fault()?;
    Ok(Weighed::sums(Imbalances {
        money: minus(there.base_units()),
        ..Imbalances::default()
    }))
}

fn stake(stake: &Stake) -> Result<Weighed, Fault> {
    let held = [Amount::ZERO, stake.bonded, stake.unbonding, Amount::ZERO];
    let sums = Imbalances {
        exposure: units(stake.exposure),
        roles: i128::from(stake.roles),
        bonded: units(stake.weight()?),
        charged: minus(stake.charged.base_units()),
        delegated: units(stake.delegated),
        ..Imbalances::default()
    };
    Ok(Weighed::held(held, sums))
}

fn counters(counters: &Counters) -> Weighed {
    Weighed::sums(Imbalances {
        offers: minus(counters.offers),
        verifiers: minus(counters.verifiers),
        orders: minus(counters.open_orders),
        ..Imbalances::default()
    })
}

fn offer(record: &OfferRecord) -> Weighed {
    let sums = Imbalances {
        offered: units(record.exposure),
        assigned: i128::from(record.open),
        offers: i128::from(record.listed),
        roles: minus(record.listed),
        ..Imbalances::default()
    };
    Weighed::escrow(record.deposit, sums)
}

fn order(order: &Order) -> Result<Weighed, Fault> {
    let held = market::held(order).or_fault()?;
    // What a session still has to pay stands in its lanes; a batch of one is an order that nothing has to match.
    let is_session = order.header.open_rounds().is_some() && order.match_until > Millis::ZERO;
    let needed = order
        .slot_budget
        .checked_mul_ratio(u64::from(order.slots_open), 1, Rounding::Up)
        .or_fault()?;
    let sums = Imbalances {
        orders: 1,
        slots: i128::from(order.slots_open),
        secured: units(held),
        uncovered: i128::from(!is_session && held < needed),
        ..Imbalances::default()
    };
    let escrow = held.checked_add(order.deposit).or_fault()?;
    Ok(Weighed::escrow(escrow, sums))
}

fn slot(slot: &Slot) -> Result<Weighed, Fault> {
    let of_worker = slot.worker.map_or(Amount::ZERO, |_| slot.exposure);
    // A batch holds no place of its worker's: its lane does.
    let is_assigned = slot.worker.is_some() && slot.batch.is_none();
    let is_short = slot.lane.is_some_and(|lane| lane.left < lane.reserve);
    let sums = Imbalances {
        exposure: minus(of_worker.base_units()),
        offered: minus(of_worker.base_units()),
        assigned: minus(is_assigned),
        timers: 1,
        slots: -1,
        uncovered: i128::from(is_short),
        ..Imbalances::default()
    };
    let escrow = Amount::sum([slot.challenge_deposit, slot.appeal_deposit()]).or_fault()?;
    Ok(Weighed::escrow(escrow, sums))
}

fn candidate(record: &Candidate) -> Result<Weighed, Fault> {
    let is_whole = record.stake == record.shares;
    let is_slashed = record.is_tombstoned() && record.stake <= record.shares;
    let sums = Imbalances {
        shares: units(record.counting()?),
        leaving: units(record.leaving),
        backing: units(record.backing),
        standing: i128::from(record.stands),
        pots: i128::from(!is_whole && !is_slashed),
        ..Imbalances::default()
    };
    Ok(Weighed::held(record.money()?, sums))
}

fn delegation(key: &[u8], record: &Delegation) -> Result<Weighed, Fault> {
    let (delegator, candidate) = present(keys::delegation_of(key), "accounts of a delegation")?;
    let of_others = if delegator == candidate {
        Amount::ZERO
    } else {
        record.shares
    };
    let sums = Imbalances {
        shares: minus(record.shares.base_units()),
        moved: units(record.moved),
        delegated: minus(record.shares.base_units()),
        backing: minus(of_others.base_units()),
        ..Imbalances::default()
    };
    Ok(Weighed::escrow(record.deposit, sums))
}

fn delegation_due(entry: &Entry) -> Weighed {
    let shares = minus(entry.shares.base_units());
    let none = Imbalances::default();
    Weighed::sums(match entry.left {
        None => Imbalances {
            leaving: shares,
            ..none
        },
        Some(_) => Imbalances {
            moved: shares,
            ..none
        },
    })
}

fn proposal(proposal: &Proposal) -> Result<Weighed, Fault> {
    let charged = proposal
        .accused()
        .map_or(Amount::ZERO, |_| proposal.charged);
    let sums = Imbalances {
        proposals: i128::from(proposal.phase != ProposalPhase::Ended),
        waiting: i128::from(proposal.phase == ProposalPhase::Deposit),
        charged: units(charged),
        ..Imbalances::default()
    };
    Ok(Weighed::escrow(proposal.deposit()?, sums))
}
