#[test]
fn a_verifier_that_keeps_silent_is_slashed_and_the_worker_is_paid() {
    crate::tell("silent-verifier", 1);
}
