#[test]
fn a_verifier_that_copies_is_found_out_and_the_worker_is_paid() {
    crate::tell("copying-verifier", 1);
}
