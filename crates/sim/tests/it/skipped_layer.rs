#[test]
fn a_worker_that_skips_a_layer_loses_stake_and_its_buyer_nothing() {
    crate::tell("skipped-layer", 1);
}
