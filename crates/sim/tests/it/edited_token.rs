#[test]
fn a_worker_that_edits_one_token_loses_stake_and_its_buyer_nothing() {
    crate::tell("edited-token", 1);
}
