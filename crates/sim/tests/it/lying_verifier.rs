#[test]
fn a_verifier_that_lies_pays_for_the_dispute_and_the_worker_is_paid() {
    crate::tell("lying-verifier", 1);
}
