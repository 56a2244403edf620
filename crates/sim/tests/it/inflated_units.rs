#[test]
fn a_worker_that_charges_too_much_loses_stake_and_its_buyer_nothing() {
    crate::tell("inflated-units", 1);
}
