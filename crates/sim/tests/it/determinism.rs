#[test]
fn the_same_seed_tells_the_same_story_and_another_seed_another() {
    crate::tell("determinism", 1);
}
