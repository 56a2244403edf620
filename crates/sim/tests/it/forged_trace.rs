#[test]
fn a_forged_trace_loses_before_the_referee() {
    crate::tell("forged-trace", 1);
}

#[test]
fn a_forged_verdict_loses_before_the_referee() {
    crate::tell("forged-verdict", 1);
}

#[test]
fn an_honest_worker_turns_the_verdict_of_liars() {
    crate::tell("forged-verdicts", 1);
}

#[test]
fn liars_that_copy_the_run_of_an_honest_worker_have_nothing_to_show() {
    crate::tell("copied-runs", 1);
}

#[test]
fn a_decoy_does_not_take_the_turn_of_an_honest_worker() {
    crate::tell("decoy", 1);
}
