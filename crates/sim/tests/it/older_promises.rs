#[test]
fn what_a_program_cannot_keep_any_more_is_taken_back() {
    crate::tell("older-promises", 1);
}
