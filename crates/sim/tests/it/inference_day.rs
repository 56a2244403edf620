#[test]
fn many_honest_answers_of_a_model_are_all_paid_and_nobody_is_flagged() {
    crate::tell("inference-day", 1);
}
