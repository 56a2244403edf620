#[test]
fn crashes_at_random_moments_lose_nothing_that_was_acknowledged() {
    crate::tell("crashes", 1);
}
