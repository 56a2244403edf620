//! What a third of the seats costs, in whole numbers.

use fairweir_types::{Amount, AmountError, Rounding, event::Seat};

/// The stake behind the cheapest f + 1 of n seats, f being the whole part of (n − 1) ÷ 3: so many that the others cannot agree without one of
/// them. Each seat of a holder costs the same part of its stake. Who has several may sell only all of them, so the true price may be
/// higher, and is never lower. Rounded down; the same in whatever order holders are listed.
///
/// Costs O(n log n).
///
/// # Errors
/// [`AmountError`] when the stakes together are more than all money.
pub fn cost_of_a_third(seats: &[Seat]) -> Result<Amount, AmountError> {
    let mut held: Vec<&Seat> = seats.iter().filter(|seat| seat.seats > 0).collect();
    let all: u32 = held.iter().map(|seat| u32::from(seat.seats)).sum();
    let third = all.saturating_sub(1).checked_div(3).unwrap_or(0);
    let mut left = third.saturating_add(1);
    // Stake per seat, compared by cross multiplication: a stake has 64 bits, seats 16.
    let weighed = |one: &Seat, other: &Seat| {
        u128::from(one.stake.base_units()).saturating_mul(u128::from(other.seats))
    };
    held.sort_by(|one, other| weighed(one, other).cmp(&weighed(other, one)));
    let mut cost = Amount::ZERO;
    for seat in held {
        let taken = left.min(u32::from(seat.seats));
        let part = seat.stake.checked_mul_ratio(
            u64::from(taken),
            u64::from(seat.seats),
            Rounding::Down,
        )?;
        cost = cost.checked_add(part)?;
        left = left.saturating_sub(taken);
        if left == 0 {
            break;
        }
    }
    Ok(cost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seats(holders: &[(u16, u64)]) -> Vec<Seat> {
        let seat = |(seats, stake): &(u16, u64)| Seat {
            validator: [0; 32],
            seats: *seats,
            stake: Amount::from_base_units(*stake).unwrap(),
        };
        holders.iter().map(seat).collect()
    }

    #[test]
    fn the_cheapest_seats_are_counted_up_to_a_third() {
        let most = Amount::MAX.base_units();
        // holders by seats and stake, what a third costs
        let table: &[(&[(u16, u64)], u64)] = &[
            (&[], 0),
            (&[(0, 5)], 0),
            // One of one, of two, of three: f is zero.
            (&[(1, 100)], 100),
            (&[(1, 100), (1, 90)], 90),
            (&[(1, 100), (1, 90), (1, 80)], 80),
            // Two of four, of six; three of seven; six of sixteen; twenty-two of sixty-four.
            (&[(1, 100), (1, 90), (1, 80), (1, 70)], 150),
            (&[(2, 100), (2, 90), (2, 80)], 80),
            (&[(7, 700)], 300),
            (&[(16, 1_600)], 600),
            (&[(64, 64)], 22),
            (&[(64, most)], most / 64 * 22),
            // Ties, in one and another order.
            (&[(1, 10), (1, 10), (1, 10), (1, 10)], 20),
            (&[(3, 30), (1, 10)], 20),
            (&[(1, 10), (3, 30)], 20),
            // Who has more stake for each seat is dearer, however many it has.
            (&[(3, 45), (1, 10)], 25),
            (&[(3, 27), (1, 10)], 18),
            // Parts of a base unit are not counted, once.
            (&[(3, 10), (1, 4)], 6),
            (&[(6, 10), (1, 2)], 5),
            // Seats without stake cost nothing: their stake has left.
            (&[(2, 0), (2, 100)], 0),
            (&[(1, 0), (3, 300)], 100),
        ];
        for (holders, expected) in table {
            assert_eq!(
                cost_of_a_third(&seats(holders)).unwrap().base_units(),
                *expected,
                "{holders:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_third_costs_a_third_at_most_the_same_in_any_order_and_more_stake_is_never_cheaper(
            holders in proptest::collection::vec((1u16..16, 0u64..1 << 40), 1..16),
            turn in 0usize..16,
            more in 0u64..1 << 40,
        ) {
            let cost = |holders: &[(u16, u64)]| cost_of_a_third(&seats(holders)).unwrap().base_units();
            let found = cost(&holders);
            let all: u64 = holders.iter().map(|(seats, _)| u64::from(*seats)).sum();
            let stake: u64 = holders.iter().map(|(_, stake)| stake).sum();
            let bought = (all - 1) / 3 + 1;
            prop_assert!(u128::from(found) * u128::from(all) <= u128::from(stake) * u128::from(bought));
            let mut others = holders.clone();
            others.rotate_left(turn % holders.len());
            prop_assert_eq!(cost(&others), found);
            others[0].1 += more;
            prop_assert!(cost(&others) >= found);
            // Of single seats it is the sum of the least.
            let mut single: Vec<u64> = holders.iter().map(|(_, stake)| *stake).collect();
            let lone: Vec<(u16, u64)> = single.iter().map(|stake| (1, *stake)).collect();
            single.sort_unstable();
            let least: u64 = single.iter().take((single.len() - 1) / 3 + 1).sum();
            prop_assert_eq!(cost(&lone), least);
        }
    }
}
