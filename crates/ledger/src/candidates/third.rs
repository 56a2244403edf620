//! What a third of the seats costs, in whole numbers.

use fairweir_types::{Amount, AmountError, event::Seat};

/// The stake behind the cheapest f + 1 of n seats, f being the whole part of (n − 1) ÷ 3: so many that the others cannot agree without one of
/// them. The same in whatever order seats are listed.
///
/// Costs O(n log n).
///
/// # Errors
/// [`AmountError`] when the stakes together are more than all money.
pub fn cost_of_a_third(seats: &[Seat]) -> Result<Amount, AmountError> {
    let mut stakes: Vec<Amount> = seats.iter().map(|seat| seat.stake).collect();
    stakes.sort_unstable();
    let third = seats.len().saturating_sub(1).checked_div(3).unwrap_or(0);
    Amount::sum(stakes.into_iter().take(third.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cost(stakes: &[u64]) -> u64 {
        let seat = |stake: &u64| Seat {
            validator: [0; 32],
            vote_key: [0; 48],
            stake: Amount::from_base_units(*stake).unwrap(),
        };
        let seats: Vec<Seat> = stakes.iter().map(seat).collect();
        cost_of_a_third(&seats).unwrap().base_units()
    }

    #[test]
    fn the_cheapest_seats_are_counted_up_to_a_third() {
        // stakes behind the seats, what a third of these costs
        let table: &[(&[u64], u64)] = &[
            (&[], 0),
            // One of one, of two, of three: f is zero.
            (&[100], 100),
            (&[100, 90], 90),
            (&[80, 100, 90], 80),
            // Two of four, of five, of six; three of seven.
            (&[100, 90, 80, 70], 150),
            (&[100, 90, 80, 70, 60], 130),
            (&[100, 90, 80, 70, 60, 50], 110),
            (&[100, 90, 80, 70, 60, 50, 40], 150),
            (&[1; 16], 6),
            (&[1; 64], 22),
            // Seats without stake cost nothing: their stake has left.
            (&[0, 100, 100, 0], 0),
            (&[0, 100, 100, 100], 100),
        ];
        for (stakes, expected) in table {
            assert_eq!(cost(stakes), *expected, "{stakes:?}");
        }
    }

    proptest! {
        #[test]
        fn a_third_costs_a_third_at_most_the_same_in_any_order_and_more_stake_is_never_cheaper(
            stakes in proptest::collection::vec(0u64..1 << 40, 1..64),
            turn in 0usize..64,
            more in 0u64..1 << 40,
        ) {
            let found = u128::from(cost(&stakes));
            let all: u128 = stakes.iter().map(|stake| u128::from(*stake)).sum();
            let bought = u128::try_from((stakes.len() - 1) / 3 + 1).unwrap();
            prop_assert!(found * u128::try_from(stakes.len()).unwrap() <= all * bought);
            let mut others = stakes.clone();
            others.rotate_left(turn % stakes.len());
            prop_assert_eq!(u128::from(cost(&others)), found);
            others[0] += more;
            prop_assert!(u128::from(cost(&others)) >= found);
        }
    }
}
