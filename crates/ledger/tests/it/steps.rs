//! Blocks in which each of some accounts does one thing or nothing, for properties.

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
