#[test]
fn a_worker_with_another_template_loses_stake_and_its_buyer_nothing() {
    crate::tell("other-template", 1);
}
