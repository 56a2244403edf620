#[test]
fn over_lossy_links_every_buyer_gets_its_work_or_its_money() {
    crate::tell("lossy", 1);
}
