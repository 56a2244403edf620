//! Seats by largest remainder, in whole numbers.

/// Gives `seats` to weights: each gets the whole part of its share, and what is left goes to the largest remainders; ties go to the earlier one. All
/// are given, unless no weight is more than zero. None if a product leaves 128 bits, which money and numbers of seats never do.
///
/// Costs O(n log n).
#[must_use]
pub fn apportion(weights: &[u64], seats: u16) -> Option<Vec<u16>> {
    let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if total == 0 {
        return Some(vec![0; weights.len()]);
    }
    let mut given = Vec::with_capacity(weights.len());
    let mut remainders = Vec::with_capacity(weights.len());
    let mut left = seats;
    for (position, weight) in weights.iter().enumerate() {
        let product = u128::from(*weight).checked_mul(u128::from(seats))?;
        let whole = u16::try_from(product.checked_div(total)?).ok()?;
        given.push(whole);
        left = left.checked_sub(whole)?;
        remainders.push((product.checked_rem(total)?, position));
    }
    // A stable sort: of equal remainders the earlier one stays first.
    remainders.sort_by(|(one, _), (other, _)| other.cmp(one));
    for (_, position) in remainders.into_iter().take(usize::from(left)) {
        let seat = given.get_mut(position)?;
        *seat = seat.checked_add(1)?;
    }
    Some(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_types::Amount;
    use proptest::prelude::*;

    #[test]
    fn seats_go_to_whole_shares_and_then_to_the_largest_remainders() {
        let most = Amount::MAX.base_units();
        // weights, seats, who gets how many
        let table: &[(&[u64], u16, &[u16])] = &[
            (&[], 16, &[]),
            (&[0, 0], 16, &[0, 0]),
            (&[7], 16, &[16]),
            (&[1, 1, 1, 1], 16, &[4, 4, 4, 4]),
            // k × stake is k seats.
            (&[10, 20, 30, 40], 10, &[1, 2, 3, 4]),
            // 5.3, 3.2, 1.5 of ten: the last has the largest remainder.
            (&[53, 32, 15], 10, &[5, 3, 2]),
            // Of equal remainders the earlier.
            (&[1, 1, 1], 4, &[2, 1, 1]),
            (&[1, 1, 1], 2, &[1, 1, 0]),
            (&[0, 5, 0], 3, &[0, 3, 0]),
            (&[most, 1], 64, &[64, 0]),
            // Halves below a seat beside crumbs: what the ADR names.
            (&[50, 50, 1, 1, 1, 1], 2, &[1, 1, 0, 0, 0, 0]),
        ];
        for (weights, seats, expected) in table {
            assert_eq!(
                apportion(weights, *seats).unwrap(),
                *expected,
                "{weights:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn all_seats_are_given_and_nobody_is_a_seat_away_from_its_share(
            weights in proptest::collection::vec(0u64..=Amount::MAX.base_units() / 128, 1..128),
            seats in 4u16..=64,
        ) {
            let given = apportion(&weights, seats).unwrap();
            let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
            prop_assume!(total > 0);
            prop_assert_eq!(given.iter().sum::<u16>(), seats);
            for (weight, given) in weights.iter().zip(&given) {
                let fair = u128::from(*weight) * u128::from(seats);
                let given = u128::from(*given) * total;
                prop_assert!(given.abs_diff(fair) < total);
            }
            // More stake is never fewer seats.
            for (one, seats_of_one) in weights.iter().zip(&given) {
                for (other, seats_of_other) in weights.iter().zip(&given) {
                    prop_assert!(one <= other || seats_of_one >= seats_of_other);
                }
            }
        }

        #[test]
        fn k_times_a_stake_of_whole_seats_is_k_seats(
            parts in proptest::collection::vec(1u16..8, 1..8), unit in 1u64..1_000_000_000,
        ) {
            let weights: Vec<u64> = parts.iter().map(|part| u64::from(*part) * unit).collect();
            let seats = parts.iter().sum();
            prop_assert_eq!(apportion(&weights, seats).unwrap(), parts);
        }
    }
}
