//! Operators: a candidate with its further nodes.
//!
//! A node has one vote at most. Who has stake for several seats behind it runs several nodes: each has an account and keys of its own, and is a candidate that names
//! another one as its lead, which confirms it. What is behind all of them is one sum: it gives the operator as many seats as its part of all stake, as far as it
//! has nodes that are there: a machine that is gone costs the seat that it had, no more. Stake is put behind the lead; it earns what all its nodes earn, and answers for all their votes.
//!
//! A further node stays one for good: else it could vote twice, and leave what answers for that.

use super::{Candidate, CandidateError, candidate, pot};
use crate::{
    execution::Execution,
    fault::{Fault, OrFault, counted, present},
    state::{State, state_record},
};
use fairweir_types::{Address, Amount, Event, Rounding, event::NodeConfirmed, tx::ConfirmNode};
use std::collections::BTreeMap;

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
    /// Whether it is a further node that nobody confirmed: it has no seat.
    #[must_use]
    pub fn waits_for_lead(&self) -> bool {
        self.lead.is_some_and(|lead| !lead.is_confirmed)
    }
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

/// The operator of a candidate: its lead's account or its own. None for a further node that nobody answers for: it has no seat.
pub(super) fn operator(
    state: &dyn State,
    (account, record): (Address, &Candidate),
) -> Result<Option<Address>, Fault> {
    if record.lead.is_none() {
        return Ok(Some(account));
    }
    Ok(lead_of(state, record)?.map(|(lead, _)| lead))
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
    /// What counts behind all its nodes that stand, whether they are there or not.
    pub(super) stake: Amount,
    /// The accounts of those that may have seats.
    pub(super) nodes: Vec<Address>,
}

/// Seats by largest remainder (Hamilton's method): for each, whose it is and the stake behind it, which an operator's seats share alike.
///
/// With S all stake and N seats, a seat is worth S ÷ N. Each goes to the operator of which the most stake is left when that is taken off for each of its seats; ties go to
/// the lower address. So whoever has k times S ÷ N has k seats at least, and the rest goes by what remains. An operator has no more seats than nodes: what it leaves goes on
/// to the others in the same order. Where everybody has one node those with the most stake have the seats. Of an operator's nodes its own comes first, then the lower address.
///
/// Costs O(N × operators).
pub(super) fn apportion(
    operators: &BTreeMap<Address, Share>,
    seats: usize,
) -> Result<Vec<(Address, Amount)>, Fault> {
    let all = Amount::sum(operators.values().map(|share| share.stake)).or_fault()?;
    let nodes = operators.values().map(|share| share.nodes.len());
    let count = seats.min(nodes.sum());
    // All money times the number of seats fits.
    let times = |amount: Amount, by: usize| {
        let by = i128::try_from(by).ok();
        let product = by.and_then(|by| by.checked_mul(amount.base_units().into()));
        counted(product, "stake of seats")
    };
    let mut got = vec![0usize; operators.len()];
    for _ in 0..count {
        let mut most: Option<(i128, &mut usize)> = None;
        for (share, got) in operators.values().zip(&mut got) {
            if *got >= share.nodes.len() {
                continue;
            }
            let left = times(share.stake, count)?.checked_sub(times(all, *got)?);
            let left = counted(left, "stake of seats")?;
            if most.as_ref().is_none_or(|(most, _)| left > *most) {
                most = Some((left, got));
            }
        }
        if let Some((_, got)) = most {
            *got = got.saturating_add(1);
        }
    }
    let mut given = Vec::with_capacity(count);
    for ((operator, share), got) in operators.iter().zip(got) {
        let stake = each(share.stake, got)?;
        let mut nodes = share.nodes.clone();
        nodes.sort_unstable_by_key(|node| (node != operator, *node));
        given.extend(nodes.into_iter().take(got).map(|node| (node, stake)));
    }
    Ok(given)
}

/// The stake behind each of an operator's seats, rounded down.
fn each(stake: Amount, seats: usize) -> Result<Amount, Fault> {
    part(stake, (1, seats.max(1)))
}

/// So many of equal parts of an amount, rounded down.
pub(super) fn part(amount: Amount, (parts, of): (usize, usize)) -> Result<Amount, Fault> {
    let number = |count: usize| counted(u64::try_from(count).ok(), "nodes of an operator");
    amount
        .checked_mul_ratio(number(parts)?, number(of)?, Rounding::Down)
        .or_fault()
}

/// The stake behind candidates that have seats: those of one operator share alike what is behind its lead and them.
pub(super) fn alike(
    state: &dyn State,
    seated: &[(Address, Candidate)],
) -> Result<Vec<Amount>, Fault> {
    let mut operators: BTreeMap<Address, Share> = BTreeMap::new();
    let mut of = Vec::with_capacity(seated.len());
    for (account, record) in seated {
        let lead = lead_of(state, record)?;
        let operator = lead.as_ref().map_or(*account, |(lead, _)| *lead);
        of.push(operator);
        let is_first = !operators.contains_key(&operator);
        let share = operators.entry(operator).or_default();
        share.nodes.push(*account);
        let further = if lead.is_some() {
            record.counting()?
        } else {
            Amount::ZERO
        };
        let behind = lead.map_or_else(|| record.counting(), |(_, lead)| lead.counting())?;
        share.stake = share.stake.checked_add(further).or_fault()?;
        if is_first {
            share.stake = share.stake.checked_add(behind).or_fault()?;
        }
    }
    let stake = |operator: &Address| match operators.get(operator) {
        Some(share) => each(share.stake, share.nodes.len()),
        None => Ok(Amount::ZERO),
    };
    of.iter().map(stake).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Reverse;

    fn amount(base_units: u64) -> Amount {
        Amount::from_base_units(base_units).unwrap()
    }

    fn share(nodes: impl IntoIterator<Item = u8>, stake: u64) -> Share {
        let nodes = nodes.into_iter().map(|node| Address([node; 20]));
        Share {
            stake: amount(stake),
            nodes: nodes.collect(),
        }
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
            (&[(2, 0), (1, 0)], 2, &[(2, 0), (0, 0)]),
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
            operators in proptest::collection::vec((1u8..6, 0u64..1 << 50), 1..12),
            seats in 1usize..40,
        ) {
            let given = given(&operators, seats);
            let nodes: usize = operators.iter().map(|(nodes, _)| usize::from(*nodes)).sum();
            let count = seats.min(nodes);
            prop_assert_eq!(given.iter().map(|(seats, _)| seats).sum::<usize>(), count);
            let all: u128 = operators.iter().map(|(_, stake)| u128::from(*stake)).sum();
            let mut is_capped = false;
            for ((nodes, stake), (seats, each)) in operators.iter().zip(&given) {
                prop_assert!(u64::try_from(*seats).unwrap() * each <= *stake);
                // Whole quotas, as far as there are nodes.
                let quota = u128::from(*stake) * u128::try_from(count).unwrap();
                let whole = usize::try_from(quota.checked_div(all).unwrap_or(0)).unwrap();
                prop_assert!(*seats >= whole.min(usize::from(*nodes)));
                is_capped |= *seats == usize::from(*nodes);
            }
            if !is_capped && all > 0 {
                // Nor more than the next whole number.
                for ((_, stake), (seats, _)) in operators.iter().zip(&given) {
                    let quota = u128::from(*stake) * u128::try_from(count).unwrap();
                    prop_assert!(u128::try_from(*seats).unwrap() <= quota / all + 1);
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
