//! Stories of faults that did not hold once.

use fairweir_sim::faults::{Faults, tell};

/// Seeds whose stories found something.
///
/// - 3092: a validator was asked for a transaction before it had the block, and its height was looked at after.
const KEPT: [u64; 1] = [3092];

#[test]
fn what_did_not_hold_once_holds() {
    for seed in KEPT {
        if let Err(broken) = tell(&Faults::of_seed(seed)) {
            panic!("seed {seed}: {broken}");
        }
    }
}
