#[test]
fn on_an_honest_day_every_order_is_settled_and_checked() {
    crate::tell("honest-day", 1);
}
