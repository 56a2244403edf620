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
