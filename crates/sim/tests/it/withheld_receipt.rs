#[test]
fn a_worker_that_hands_in_nothing_is_replaced_and_pays_its_buyer() {
    crate::tell("withheld-receipt", 1);
}
