//! What must hold after every block: ten properties by name. Tests and simulation check them after every block; each reads the whole state.
//!
//! What of them is a sum over records, the ledger checks itself as it runs (`audit`).

use crate::{
    audit::Imbalances,
    bank::{Account, Supply},
    candidates::{self, Candidate, Delegation},
    catalogue,
    delegates::Grant,
    fault::{Fault, OrFault, present},
    governance::{self, Proposal, VoteRecord},
    keys,
    market::{self, Order, Slot},
    registry::{OfferRecord, VerifierRecord, counters},
    secured,
    stake::Stake,
    state::{Mark, State, load, scan},
};
use commonware_codec::Read;
use fairweir_types::{
    Address, Amount,
    invariant::Invariant,
    node_api::SupplyReport,
    order::{KindId, OrderId, SlotId},
};
use std::collections::BTreeMap;
use thiserror::Error;

/// A broken invariant.
#[derive(Debug, Error)]
pub enum Violation {
    /// Money appeared or vanished.
    #[error("the supply is not conserved: {0:?}")]
    Supply(SupplyReport),
    /// An account's exposure is not that of its open slots.
    #[error("{account} has exposure {recorded}, its open slots have {computed}")]
    Exposure {
        /// The account.
        account: Address,
        /// What its stake says.
        recorded: Amount,
        /// What its slots say.
        computed: Amount,
    },
    /// A counter is not the number of its records.
    #[error("the counter of {what} is {recorded}, there are {found}")]
    Counter {
        /// What is counted.
        what: &'static str,
        /// What the counter says.
        recorded: u32,
        /// What there is.
        found: usize,
    },
    /// A slot has no timer, or more than one.
    #[error("there are {slots} open slots and {timers} timers")]
    Timers {
        /// Open slots.
        slots: usize,
        /// Timers.
        timers: usize,
    },
    /// A number of governance is not what its records say.
    #[error("{what} are not what the records say")]
    Governance {
        /// Which number.
        what: &'static str,
    },
    /// A number of candidates is not what delegations say.
    #[error("{what} are not what delegations say")]
    Candidates {
        /// Which number.
        what: &'static str,
    },
    /// A record of the catalogue is not as votes make them.
    #[error("the catalogue's record of kind {kind} is broken: {what}")]
    Catalogue {
        /// The kind.
        kind: KindId,
        /// What does not hold.
        what: &'static str,
    },
    /// The value secured is not what orders hold.
    #[error("{recorded} coins are said to be locked in orders, they hold {computed}")]
    Secured {
        /// What is said.
        recorded: Amount,
        /// What orders hold.
        computed: Amount,
    },
    /// An order does not hold what its slots may still draw.
    #[error("order {order} holds {held}, its slots may draw {needed}")]
    Escrow {
        /// The order.
        order: OrderId,
        /// What it holds.
        held: Amount,
        /// What its slots may draw.
        needed: Amount,
    },
    /// A sum over all records is not zero.
    #[error("{invariant}: the sum {sum} is {by} too much")]
    Sum {
        /// The invariant that it belongs to.
        invariant: Invariant,
        /// Which sum.
        sum: &'static str,
        /// How much it is.
        by: i128,
    },
    /// The state does not even read.
    #[error(transparent)]
    Fault(#[from] Fault),
}

fn all<T: Read<Cfg = ()>>(
    state: &dyn State,
    (from, to): (Vec<u8>, Vec<u8>),
) -> Result<Vec<(Vec<u8>, T)>, Fault> {
    scan(state, &from, &to, usize::MAX)
}

/// Where all money is.
///
/// # Errors
/// [`Fault`].
pub fn supply(state: &dyn State) -> Result<SupplyReport, Fault> {
    let supply: Supply = present(load(state, &keys::supply())?, "supply")?;
    let sum = |amounts: Vec<Amount>| Amount::sum(amounts).or_fault();
    let accounts = all::<Account>(state, keys::accounts())?;
    let stakes = all::<Stake>(state, keys::stakes())?;
    let orders = all::<Order>(state, keys::orders())?;
    let slots = all::<Slot>(state, keys::slots())?;
    let held = orders
        .iter()
        .flat_map(|(_, order)| order.streams.iter().map(|stream| stream.held));
    let deposits = orders.iter().map(|(_, order)| order.deposit);
    let offers = all::<OfferRecord>(state, keys::offers())?;
    let verifiers = all::<VerifierRecord>(state, keys::verifiers())?;
    let grants = all::<Grant>(state, keys::grants())?;
    let deposits = deposits
        .chain(grants.iter().map(|(_, grant)| grant.deposit))
        .chain(offers.iter().map(|(_, offer)| offer.deposit))
        .chain(verifiers.iter().map(|(_, verifier)| verifier.deposit));
    let proposals = all::<Proposal>(state, keys::proposals())?;
    let votes = all::<VoteRecord>(state, keys::votes())?;
    let asked = proposals
        .iter()
        .flat_map(|(_, proposal)| proposal.deposits.iter().map(|part| part.amount))
        .chain(votes.iter().map(|(_, vote)| vote.deposit));
    let challenges = slots
        .iter()
        .flat_map(|(_, slot)| [slot.challenge_deposit, slot.appeal_deposit()]);
    let pots: Result<Vec<[Amount; 4]>, Fault> = all::<Candidate>(state, keys::candidates())?
        .iter()
        .map(|(_, candidate)| candidate.money())
        .collect();
    let pots = pots?;
    let delegations = all::<Delegation>(state, keys::delegations())?;
    let delegated = delegations.iter().map(|(_, known)| known.deposit);
    Ok(SupplyReport {
        genesis: supply.genesis,
        minted: supply.minted,
        burned: supply.burned,
        balances: sum(accounts
            .iter()
            .map(|(_, account)| account.balance)
            .collect())?,
        bonded: sum(stakes
            .iter()
            .map(|(_, stake)| stake.bonded)
            .chain(pots.iter().map(|[_, bonded, _, _]| *bonded))
            .collect())?,
        unbonding: sum(stakes
            .iter()
            .map(|(_, stake)| stake.unbonding)
            .chain(pots.iter().map(|[_, _, leaving, _]| *leaving))
            .collect())?,
        escrow: sum(held
            .chain(deposits)
            .chain(asked)
            .chain(challenges)
            .chain(delegated)
            .chain(pots.iter().map(|[_, _, _, escrow]| *escrow))
            .collect())?,
    })
}

/// Checks every invariant.
///
/// # Errors
/// [`Violation`].
pub fn check(state: &dyn State) -> Result<(), Violation> {
    let sums = Imbalances::of_state(state);
    for invariant in Invariant::ALL {
        check_one(state, &sums, invariant)?;
    }
    Ok(())
}

/// Checks one.
///
/// # Errors
/// [`Violation`].
pub fn holds(state: &dyn State, invariant: Invariant) -> Result<(), Violation> {
    check_one(state, &Imbalances::of_state(state), invariant)
}

fn check_one(state: &dyn State, sums: &Imbalances, invariant: Invariant) -> Result<(), Violation> {
    if let Some((sum, by)) = sums.of(invariant) {
        return Err(Violation::Sum { invariant, sum, by });
    }
    match invariant {
        Invariant::Supply => {
            let report = supply(state)?;
            if report.is_conserved() {
                Ok(())
            } else {
                Err(Violation::Supply(report))
            }
        }
        Invariant::Exposure => check_exposure(state, &all::<Slot>(state, keys::slots())?),
        Invariant::Timers => check_timers(state),
        Invariant::Counters => check_counters(state),
        Invariant::Governance => {
            governance::check_invariants(state)?;
            catalogue::check_invariants(state)
        }
        Invariant::Delegations => candidates::check_invariants(state),
        Invariant::Secured => secured::check_invariants(state),
        Invariant::Escrow => check_escrow(state),
        // Sums say it all.
        Invariant::Records | Invariant::Grants => Ok(()),
    }
}

fn check_timers(state: &dyn State) -> Result<(), Violation> {
    let slots = all::<Slot>(state, keys::slots())?.len();
    let timers = all::<Mark>(state, keys::due_at_any_height())?.len();
    let timers = timers.saturating_add(all::<Mark>(state, keys::due_at_any_time())?.len());
    let timers = timers.saturating_add(all::<Mark>(state, keys::retry_at_any_time())?.len());
    if timers == slots {
        return Ok(());
    }
    Err(Violation::Timers { slots, timers })
}

fn check_counters(state: &dyn State) -> Result<(), Violation> {
    let counters = counters(state)?;
    let listed = all::<OfferRecord>(state, keys::offers())?
        .iter()
        .filter(|(_, offer)| offer.listed)
        .count();
    for (what, recorded, found) in [
        ("offers", counters.offers, listed),
        (
            "verifiers",
            counters.verifiers,
            all::<VerifierRecord>(state, keys::verifiers())?.len(),
        ),
        (
            "open orders",
            counters.open_orders,
            all::<Order>(state, keys::orders())?.len(),
        ),
    ] {
        if usize::try_from(recorded) != Ok(found) {
            return Err(Violation::Counter {
                what,
                recorded,
                found,
            });
        }
    }
    Ok(())
}

/// Each order holds what its slots may draw: a lane what is left of it, any other slot its budget.
fn check_escrow(state: &dyn State) -> Result<(), Violation> {
    for (key, record) in all::<Order>(state, keys::orders())? {
        let id = fairweir_types::decode(key.get(1..).unwrap_or_default());
        let order: OrderId = id.map_err(|source| Fault::Record { key, source })?;
        let mut needed = Amount::ZERO;
        for slot in 0..record.header.slots {
            let draws = match market::slot(state, SlotId { order, slot })? {
                Some(slot) => slot.lane.map_or(record.slot_budget, |lane| lane.left),
                None => Amount::ZERO,
            };
            needed = needed.checked_add(draws).or_fault()?;
        }
        let held = market::held(&record).or_fault()?;
        if held < needed {
            return Err(Violation::Escrow {
                order,
                held,
                needed,
            });
        }
    }
    Ok(())
}

fn check_exposure(state: &dyn State, slots: &[(Vec<u8>, Slot)]) -> Result<(), Violation> {
    let mut computed: BTreeMap<Address, Amount> = BTreeMap::new();
    for (_, slot) in slots {
        if let Some(worker) = slot.worker {
            let sum = computed.entry(worker).or_default();
            *sum = sum.checked_add(slot.exposure).or_fault()?;
        }
    }
    for (key, stake) in all::<Stake>(state, keys::stakes())? {
        let account = present(keys::address_of(&key), "address in a stake's key")?;
        let computed = computed.get(&account).copied().unwrap_or_default();
        if computed != stake.exposure {
            return Err(Violation::Exposure {
                account,
                recorded: stake.exposure,
                computed,
            });
        }
    }
    Ok(())
}

/// The open slots, for tools that look into a state.
///
/// # Errors
/// [`Fault`].
pub fn open_slots(state: &dyn State) -> Result<Vec<(SlotId, Slot)>, Fault> {
    all::<Slot>(state, keys::slots())?
        .into_iter()
        .map(|(key, slot)| {
            let id = fairweir_types::decode(key.get(1..).unwrap_or_default());
            Ok((id.map_err(|source| Fault::Record { key, source })?, slot))
        })
        .collect()
}
