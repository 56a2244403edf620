//! Blocks in which each of some accounts does one thing or nothing, for properties.

use crate::world::World;
use fairweir_ledger::{report, stake};
use fairweir_types::{Amount, Digest, digest::Domain};
use proptest::prelude::*;

/// What an account does in a block; the test says what that means.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) verb: u8,
    pub(crate) which: usize,
    pub(crate) amount: u64,
}

/// Up to forty blocks of so many accounts, with verbs below a number.
pub(crate) fn blocks(
    accounts: usize,
    verbs: u8,
    amount: impl Strategy<Value = u64>,
) -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = (0..verbs, 0usize..64, amount).prop_map(|(verb, which, amount)| Step {
        verb,
        which,
        amount,
    });
    let block = proptest::collection::vec(step, 0..=accounts);
    proptest::collection::vec(block, 1..40)
}

/// One block of so many steps from a number, always the same, with verbs below a number.
pub(crate) fn fixed(seed: u64, count: u64, verbs: u8) -> Vec<Vec<Step>> {
    let number = |step: u64, part: u64| {
        let parts = [seed, step, part].map(u64::to_be_bytes).concat();
        Digest::of(Domain::Draw, &[&parts]).leading_u64()
    };
    let step = |step: u64| Step {
        verb: u8::try_from(number(step, 0) % u64::from(verbs)).unwrap(),
        which: usize::try_from(number(step, 1) % 64).unwrap(),
        amount: number(step, 2),
    };
    vec![(0..count).map(step).collect()]
}

/// No order is open, and nobody has stake or a duty in one.
pub(crate) fn assert_nothing_is_open(world: &World) {
    assert_eq!(report::counts(&world.state).unwrap().2, 0, "open orders");
    for (name, key) in &world.keys {
        let account = key.address();
        let staked = stake::stake(&world.state, account).unwrap();
        assert_eq!(staked.exposure, Amount::ZERO, "exposure of {name}");
        let duty = report::duty_since(&world.state, account).unwrap();
        assert_eq!(duty, None, "duty of {name}");
    }
}
