#[test]
fn a_worker_that_does_not_open_loses_stake_and_its_buyer_nothing() {
    crate::tell("withheld-opening", 1);
}
