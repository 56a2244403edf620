#[test]
fn a_worker_with_weights_of_three_bits_loses_stake_and_its_buyer_nothing() {
    crate::tell("three-bit-weights", 1);
}
