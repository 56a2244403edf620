#[test]
fn a_worker_that_is_cut_off_is_replaced_and_comes_back() {
    crate::tell("cut-worker", 1);
}
