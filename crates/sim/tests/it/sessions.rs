#[test]
fn requests_of_a_session_are_settled_once_and_samples_of_them_checked() {
    crate::tell("session-day", 1);
}

#[test]
fn wrong_answers_in_a_session_cost_more_than_its_lane_could_gain() {
    crate::tell("session-wrong-output", 2);
}

#[test]
fn claims_beyond_the_receipts_are_found() {
    crate::tell("session-inflated-claim", 3);
}

#[test]
fn drawn_requests_that_are_not_shown_cost_as_much_as_wrong_ones() {
    crate::tell("session-withheld-leaves", 4);
}

#[test]
fn a_lane_that_is_topped_up_serves_on() {
    crate::tell("session-top-up", 5);
}

#[test]
fn an_honest_worker_turns_the_verdict_of_liars_about_its_batch() {
    crate::tell("session-forged-verdicts", 6);
}

#[test]
fn an_honest_verifier_turns_the_verdict_of_a_forgers_friends_about_a_batch() {
    crate::tell("session-bribed-verifiers", 7);
}

#[test]
fn liars_about_a_batch_that_copy_the_run_of_its_worker_have_nothing_to_show() {
    crate::tell("session-copied-runs", 8);
}

#[test]
fn what_is_open_when_its_kind_is_retired_is_finished_and_paid() {
    crate::tell("retired-kind", 9);
}

#[test]
fn a_buyer_that_doubts_right_work_of_which_nothing_was_drawn_pays_its_check() {
    crate::tell("session-challenge-in-vain", 10);
}

#[test]
fn a_buyer_that_doubts_wrong_work_of_which_nothing_was_drawn_has_its_money_back() {
    crate::tell("session-challenged", 11);
}
