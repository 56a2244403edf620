#[test]
fn a_worker_that_forges_its_output_loses_stake_and_its_buyer_nothing() {
    crate::tell("wrong-output", 1);
}
