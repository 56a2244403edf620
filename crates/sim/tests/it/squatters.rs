#[test]
fn whoever_takes_all_places_of_a_node_keeps_nobody_out() {
    crate::tell("squatters", 1);
}
