//! Random transactions, good and bad, in random blocks: every invariant holds after every block, and the same seed
//! makes the same state.

use crate::world::{World, coins, key_of};
use fairweir_types::{Action, Address, Amount, BoundedVec, tx};
use proptest::prelude::*;

pub(crate) const NAMES: [&str; 4] = ["A", "B", "C", "D"];

#[derive(Clone, Debug)]
pub(crate) struct Step {
    who: usize,
    verb: u8,
    other: usize,
    amount: u64,
    gap_ms: u64,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    (
        0..NAMES.len(),
        0u8..7,
        0..NAMES.len(),
        0u64..=20_000_000_000_000,
        1u64..100_000,
    )
        .prop_map(|(who, verb, other, amount, gap_ms)| Step {
            who,
            verb,
            other,
            amount,
            gap_ms,
        })
}

fn action(step: &Step) -> Action {
    let amount = Amount::from_base_units(step.amount).unwrap_or(Amount::MAX);
    let to: Address = key_of(NAMES[step.other]).address();
    match step.verb {
        0..=2 => Action::Transfer(tx::Transfer { to, amount }),
        3 => Action::Bond(tx::Bond { amount }),
        4 => Action::Unbond(tx::Unbond { amount }),
        5 => Action::EnrolVerifier(tx::EnrolVerifier {
            owner: to,
            kinds: BoundedVec::truncating([crate::world::known(1)]),
            seal_key: [0; 32],
            hash_chain: crate::world::chain_of(key_of(NAMES[step.who]).address(), 0, 64),
        }),
        _ => Action::LeaveVerifiers(tx::LeaveVerifiers {}),
    }
}

pub(crate) fn walk(steps: &[Step]) -> World {
    let mut world = World::new(&NAMES, &[]);
    for step in steps {
        let key = key_of(NAMES[step.who]);
        if world.balance(NAMES[step.who]) < coins("1") {
            continue;
        }
        world.act(&key, action(step));
        world.block(step.gap_ms, &[]);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn money_is_conserved_and_the_walk_is_deterministic(steps in proptest::collection::vec(step(), 1..40)) {
        let (first, second) = (walk(&steps), walk(&steps));
        prop_assert_eq!(first.state, second.state);
    }
}
