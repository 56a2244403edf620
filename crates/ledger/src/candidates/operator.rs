//! Operators: a candidate with its further nodes.
//!
//! A node has one vote at most. Who has stake for several seats behind it runs several nodes: each has an account and keys of its own, and is a candidate that names
//! another one as its lead, which confirms it. The stake behind the lead gives the operator as many seats as its part of all stake, as far as it
//! has nodes that are there: a machine that is gone costs the seat that it had. The lead earns what all its nodes earn, and answers for all their votes; what a
//! further node put behind itself binds its place, and counts for nothing.
//!
//! A further node stays one for good: else it could vote twice, and leave what answers for that.

use super::{Candidate, CandidateError, candidate, pot};
use crate::{
    execution::Execution,
    fault::{Fault, OrFault, counted, present},
    state::{State, state_record},
};
use fairweir_types::{Address, Amount, Event, Rounding, event::NodeConfirmed, tx::ConfirmNode};
use std::{cmp::Reverse, collections::BTreeMap};

/// The candidate of which another one is a further node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// Its account.
    pub account: Address,
    /// Whether it said so itself.
    pub is_confirmed: bool,
}
state_record!(Lead {
    account,
    is_confirmed
});

impl Candidate {
    /// Whether it is a further node that nobody confirmed: stake gives it no seat.
    #[must_use]
    pub fn waits_for_lead(&self) -> bool {
        self.lead.is_some_and(|lead| !lead.is_confirmed)
    }
}

/// Whether stake may give a candidate seats: it is no further node, or its lead confirmed it and answers for it.
///
/// # Errors
/// [`Fault`].
pub fn may_have_seats(state: &dyn State, record: &Candidate) -> Result<bool, Fault> {
    Ok(record.lead.is_none() || lead_of(state, record)?.is_some())
}

/// The lead of a further node, if it confirmed it and was not tombstoned.
pub(crate) fn lead_of(
    state: &dyn State,
    node: &Candidate,
) -> Result<Option<(Address, Candidate)>, Fault> {
    let Some(lead) = node.lead.filter(|lead| lead.is_confirmed) else {
        return Ok(None);
    };
    let record = present(candidate(state, lead.account)?, "lead of a further node")?;
    Ok((!record.is_tombstoned()).then_some((lead.account, record)))
}

/// Whether it is a further node whose lead answers for nothing any more: it has no seat.
pub(super) fn lost_its_lead(state: &dyn State, node: &Candidate) -> Result<bool, Fault> {
    let is_further = node.lead.is_some_and(|lead| lead.is_confirmed);
    Ok(is_further && lead_of(state, node)?.is_none())
}

/// Checks that an account may lead: it is a candidate, and no further node itself.
pub(super) fn check_lead(state: &dyn State, lead: Address) -> Result<(), CandidateError> {
    let found = candidate(state, lead)?;
    if found.is_some_and(|found| !found.is_tombstoned() && found.lead.is_none()) {
        return Ok(());
    }
    Err(CandidateError::NoLead { lead })
}

/// Checks that stake of others is put behind a candidate itself, not behind a further node of one.
pub(super) fn check_behind(
    record: &Candidate,
    (account, delegator): (Address, Address),
) -> Result<(), CandidateError> {
    match record.lead {
        Some(Lead { account: lead, .. }) if account != delegator => {
            Err(CandidateError::BehindLead { lead })
        }
        _ => Ok(()),
    }
}

/// Makes a candidate that names the sender as its lead a further node of it.
pub(crate) fn confirm_node(
    execution: &mut Execution<'_>,
    sender: Address,
    confirm: &ConfirmNode,
) -> Result<(), CandidateError> {
    let state = &execution.overlay;
    let (Some(lead), Some(mut node)) = (candidate(state, sender)?, candidate(state, confirm.node)?)
    else {
        return Err(CandidateError::NoSuchCandidate);
    };
    if lead.is_tombstoned() || node.is_tombstoned() {
        return Err(CandidateError::Tombstoned);
    }
    let Some(named) = node.lead.filter(|named| named.account == sender) else {
        return Err(CandidateError::NotItsNode);
    };
    if named.is_confirmed {
        return Err(CandidateError::ConfirmedBefore);
    }
    // What it said before was not said as a node of this operator.
    node.ready = None;
    node.lead = Some(Lead {
        is_confirmed: true,
        ..named
    });
    pot::keep(execution, confirm.node, &node);
    execution.emit(Event::NodeConfirmed(NodeConfirmed {
        lead: sender,
        node: confirm.node,
    }));
    Ok(())
}

/// What an operator has while seats are given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// What counts behind its lead.
    pub(super) stake: Amount,
    /// The accounts of its nodes that may have seats.
    pub(super) nodes: Vec<Address>,
    /// How many seats it may have: no more than nodes.
    pub(super) seats_max: usize,
}

impl Share {
    pub(super) const fn new(stake: Amount, nodes: Vec<Address>) -> Self {
        Self {
            stake,
            seats_max: nodes.len(),
            nodes,
        }
    }
}

/// The whole seats in a part of all stake, rounded down.
fn quota(stake: Amount, all: Amount, seats: usize) -> Result<usize, Fault> {
    let whole = times(stake, seats)?.checked_div(all.base_units().into());
    counted(
        usize::try_from(whole.unwrap_or(0)).ok(),
        "seats of an operator",
    )
}

fn times(amount: Amount, by: usize) -> Result<u128, Fault> {
    let by = u128::try_from(by).ok();
    let product = by.and_then(|by| by.checked_mul(amount.base_units().into()));
    counted(product, "stake of seats")
}

/// How many seats each operator has, by largest remainder (Hamilton's method).
///
/// With S all stake and N seats, a seat is worth S ÷ N. Who has stake for as many seats as it may have, or more, has these, and they are taken out with its stake; again until nobody is left
/// of whom that is true, for what such a one cannot use belongs to the others. Each of these then has its part in whole seats, and the rest goes by what remains of the parts; ties go to the
/// lower address. Where everybody has one node those with the most stake have the seats.
///
/// Costs O(operators²).
pub(super) fn divide(
    operators: &BTreeMap<Address, Share>,
    seats: usize,
) -> Result<BTreeMap<Address, usize>, Fault> {
    let mut open: Vec<(&Address, &Share)> = operators.iter().collect();
    let possible = open.iter().map(|(_, share)| share.seats_max);
    let mut left = seats.min(possible.sum());
    let mut got = BTreeMap::new();
    loop {
        let all = Amount::sum(open.iter().map(|(_, share)| share.stake)).or_fault()?;
        let mut parts = Vec::with_capacity(open.len());
        for (operator, share) in open {
            parts.push((operator, share, quota(share.stake, all, left)?));
        }
        let is_full = |(_, share, whole): &(&Address, &Share, usize)| *whole >= share.seats_max;
        let (full, rest): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_full);
        if all == Amount::ZERO || full.is_empty() {
            let parts = [full, rest].concat();
            give(&parts, (all, left), &mut got)?;
            return Ok(got);
        }
        for (operator, share, _) in full {
            got.insert(*operator, share.seats_max);
            left = left.saturating_sub(share.seats_max);
        }
        open = rest
            .into_iter()
            .map(|(operator, share, _)| (operator, share))
            .collect();
    }
}

/// Gives operators the whole seats of their parts, and what is left of the seats by what remains of these.
fn give(
    parts: &[(&Address, &Share, usize)],
    (all, seats): (Amount, usize),
    got: &mut BTreeMap<Address, usize>,
) -> Result<(), Fault> {
    let mut left = seats;
    let mut remainders = Vec::with_capacity(parts.len());
    for (operator, share, whole) in parts {
        let remains = times(share.stake, seats)?.checked_sub(times(all, *whole)?);
        let whole = *whole;
        remainders.push((
            Reverse(counted(remains, "stake of seats")?),
            **operator,
            *share,
        ));
        got.insert(**operator, whole);
        left = left.saturating_sub(whole);
    }
    remainders.sort_unstable_by_key(|(remains, operator, _)| (*remains, *operator));
    for (_, operator, share) in remainders {
        let seats = got.entry(operator).or_default();
        if left > 0 && *seats < share.seats_max {
            *seats = seats.saturating_add(1);
            left = left.saturating_sub(1);
        }
    }
    Ok(())
}

/// The seats that operators have: for each, whose it is and the stake behind it, which those of one operator share alike. Of its nodes its own comes first, then the lower address.
pub(super) fn apportion(
    operators: &BTreeMap<Address, Share>,
    seats: usize,
) -> Result<Vec<(Address, Amount)>, Fault> {
    let mut given = Vec::new();
    for (operator, got) in divide(operators, seats)? {
        let share = present(operators.get(&operator), "operator with seats")?;
        let stake = part(share.stake, (1, got.max(1)))?;
        let mut nodes = share.nodes.clone();
        nodes.sort_unstable_by_key(|node| (*node != operator, *node));
        given.extend(nodes.into_iter().take(got).map(|node| (node, stake)));
    }
    Ok(given)
}

/// So many of equal parts of an amount, rounded down.
pub(super) fn part(amount: Amount, (parts, of): (usize, usize)) -> Result<Amount, Fault> {
    let number = |count: usize| counted(u64::try_from(count).ok(), "nodes of an operator");
    amount
        .checked_mul_ratio(number(parts)?, number(of)?, Rounding::Down)
        .or_fault()
}

/// The stake behind candidates that have seats: what is behind their leads, which those of one operator share alike.
pub(super) fn stake_of_seats(
    state: &dyn State,
    seated: &[(Address, Candidate)],
) -> Result<Vec<Amount>, Fault> {
    let mut behind = Vec::with_capacity(seated.len());
    let mut seats: BTreeMap<Address, usize> = BTreeMap::new();
    for (account, record) in seated {
        let lead = lead_of(state, record)?;
        let (operator, stake) = match &lead {
            Some((lead, record)) => (*lead, record.counting()?),
            None => (*account, record.counting()?),
        };
        behind.push((operator, stake));
        let seats = seats.entry(operator).or_default();
        *seats = seats.saturating_add(1);
    }
    let alike = |(operator, stake): (Address, Amount)| {
        let seats = seats.get(&operator).copied().unwrap_or(1);
        part(stake, (1, seats))
    };
    behind.into_iter().map(alike).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn amount(base_units: u64) -> Amount {
        Amount::from_base_units(base_units).unwrap()
    }

    fn share(nodes: impl IntoIterator<Item = u8>, stake: u64) -> Share {
        let nodes: Vec<Address> = nodes.into_iter().map(|node| Address([node; 20])).collect();
        Share::new(amount(stake), nodes)
    }

    /// What operators get, each with so many nodes and so much stake: how many seats, and the stake behind each.
    fn given(operators: &[(u8, u64)], seats: usize) -> Vec<(usize, u64)> {
        let all: BTreeMap<Address, Share> = (0u8..)
            .zip(operators)
            .map(|(number, (nodes, stake))| {
                let first = number * 16;
                (Address([first; 20]), share(first..first + nodes, *stake))
            })
            .collect();
        let given = apportion(&all, seats).unwrap();
        let of = |operator: u8| {
            let mut found = given
                .iter()
                .filter(|(account, _)| account.0[0] / 16 == operator);
            let stake = found
                .clone()
                .next()
                .map_or(0, |(_, stake)| stake.base_units());
            assert!(found.all(|(_, each)| each.base_units() == stake));
            let count = given
                .iter()
                .filter(|(account, _)| account.0[0] / 16 == operator);
            (count.count(), stake)
        };
        (0u8..)
            .zip(operators)
            .map(|(number, _)| of(number))
            .collect()
    }

    #[test]
    fn seats_go_by_largest_remainder() {
        // nodes and stake of each operator; the seats; how many each gets, and the stake behind each of them
        type Case<'a> = (&'a [(u8, u64)], usize, &'a [(usize, u64)]);
        let table: &[Case<'_>] = &[
            (&[], 4, &[]),
            // One node each: the most stake first, then the lower address.
            (
                &[(1, 5), (1, 9), (1, 5), (1, 7)],
                3,
                &[(1, 5), (1, 9), (0, 0), (1, 7)],
            ),
            // k times the stake, k seats.
            (
                &[(3, 300), (1, 100), (2, 200), (1, 100)],
                7,
                &[(3, 100), (1, 100), (2, 100), (1, 100)],
            ),
            (
                &[(4, 300), (1, 100), (1, 100)],
                5,
                &[(3, 100), (1, 100), (1, 100)],
            ),
            // Hamilton's own kind of example: quotas 4.7, 1.6, 1.58, 1.2, 0.6, 0.32 of ten.
            (
                &[
                    (9, 47_000),
                    (9, 16_000),
                    (9, 15_800),
                    (9, 12_000),
                    (9, 6_000),
                    (9, 3_200),
                ],
                10,
                &[
                    (5, 9_400),
                    (2, 8_000),
                    (1, 15_800),
                    (1, 12_000),
                    (1, 6_000),
                    (0, 0),
                ],
            ),
            // Who lacks nodes leaves the rest to the others.
            (
                &[(1, 900), (3, 60), (1, 40)],
                4,
                &[(1, 900), (2, 30), (1, 40)],
            ),
            // No more seats than nodes.
            (&[(1, 10), (2, 10)], 64, &[(1, 10), (2, 5)]),
            (&[(2, 0), (1, 0)], 2, &[(1, 0), (1, 0)]),
        ];
        for (operators, seats, expected) in table {
            assert_eq!(
                &given(operators, *seats),
                expected,
                "{operators:?}, {seats}"
            );
        }
    }

    #[test]
    fn its_own_node_comes_first() {
        let operators = [(3, share([3], 5)), (7, share([1, 7, 2], 15))];
        let operators = operators.map(|(operator, share)| (Address([operator; 20]), share));
        let given = apportion(&operators.into(), 3).unwrap();
        let accounts: Vec<u8> = given.iter().map(|(account, _)| account.0[0]).collect();
        assert_eq!(accounts, [3, 7, 1]);
        assert_eq!(given[1].1.base_units(), 7);
    }

    proptest! {
        #[test]
        fn quotas_are_kept_and_stake_is_never_made(
            operators in proptest::collection::vec((1u8..6, 1u64..1 << 50), 1..12),
            seats in 1usize..40,
        ) {
            let given = given(&operators, seats);
            let nodes: usize = operators.iter().map(|(nodes, _)| usize::from(*nodes)).sum();
            let count = seats.min(nodes);
            prop_assert_eq!(given.iter().map(|(seats, _)| seats).sum::<usize>(), count);
            let all: u128 = operators.iter().map(|(_, stake)| u128::from(*stake)).sum();
            for ((nodes, stake), (seats, each)) in operators.iter().zip(&given) {
                prop_assert!(u64::try_from(*seats).unwrap() * each <= *stake);
                // Whole quotas, as far as there are nodes.
                let quota = u128::from(*stake) * u128::try_from(count).unwrap();
                let whole = usize::try_from(quota.checked_div(all).unwrap_or(0)).unwrap();
                prop_assert!(*seats >= whole.min(usize::from(*nodes)));
            }
            // Who could have more has not fewer, for its stake, than anybody else, but for a seat that either got by what remained.
            for ((_, stake), (seats, _)) in operators.iter().zip(&given) {
                for ((nodes, other), (lacks, _)) in operators.iter().zip(&given) {
                    let seats = u128::try_from(seats.saturating_sub(1)).unwrap();
                    let next = u128::try_from(lacks + 1).unwrap();
                    prop_assert!(*lacks == usize::from(*nodes) || seats * u128::from(*other) <= next * u128::from(*stake));
                }
            }
        }

        #[test]
        fn where_everybody_has_one_node_the_most_stake_comes_first(
            stakes in proptest::collection::vec(0u64..100, 1..16),
            seats in 1usize..16,
        ) {
            let operators: BTreeMap<Address, Share> = (1u8..)
                .zip(&stakes)
                .map(|(number, stake)| (Address([number; 20]), share([number], *stake)))
                .collect();
            let mut expected: Vec<(Address, Amount)> = operators.iter().map(|(account, share)| (*account, share.stake)).collect();
            expected.sort_by_key(|(_, stake)| Reverse(*stake));
            expected.truncate(seats);
            expected.sort_unstable();
            let mut found = apportion(&operators, seats).unwrap();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
