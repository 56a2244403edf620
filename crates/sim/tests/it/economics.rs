//! `docs/economics.md`: made of the code, and every inequality in it holds. With `FAIRWEIR_WRITE_REFERENCE=1` the test writes the page.

use fairweir_sim::{
    Plan,
    economics::{Sheet, page},
};
use std::path::Path;

fn sheet() -> Sheet {
    let plan = Plan {
        params: &[],
        ..Plan::honest(0)
    };
    Sheet::of(&plan.genesis())
}

#[test]
fn every_inequality_of_the_parameter_sheet_holds_at_default_parameters() {
    for found in sheet().inequalities() {
        assert!(
            found.holds(),
            "{}: {} is below {}",
            found.says,
            found.left,
            found.right
        );
    }
}

#[test]
fn the_page_of_economics_is_as_the_code() {
    let found = page(&sheet());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/economics.md");
    if std::env::var_os("FAIRWEIR_WRITE_REFERENCE").is_some() {
        std::fs::write(path, found).expect("the page is written");
        return;
    }
    assert!(
        std::fs::read_to_string(path).expect("the page is there") == found,
        "docs/economics.md is stale: run this test with FAIRWEIR_WRITE_REFERENCE=1"
    );
}
