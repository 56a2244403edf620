#[test]
fn a_worker_with_another_seed_loses_stake_and_its_buyer_nothing() {
    crate::tell("other-seed", 1);
}
