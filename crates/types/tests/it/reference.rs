//! `docs/reference/limits.md`, made of `limits.rs`. A stale page fails; with `FAIRWEIR_WRITE_REFERENCE=1` the test writes
//! it instead.

use std::{fmt::Write as _, path::Path};

const SOURCE: &str = include_str!("../../src/limits.rs");

fn page() -> String {
    let mut page = String::from(
        "# Limits\n\nMade of `crates/types/src/limits.rs`; a test fails when this page is stale. They are part of the format: nodes with other\nlimits are another network.\n\n| limit | value | what it bounds |\n| --- | --- | --- |\n",
    );
    let mut documentation = Vec::new();
    let mut lines = SOURCE.lines();
    while let Some(line) = lines.next() {
        if let Some(said) = line.strip_prefix("/// ") {
            documentation.push(said);
        } else if let Some(constant) = line.strip_prefix("pub const ") {
            let mut constant = constant.to_owned();
            while !constant.ends_with(';') {
                constant.push_str(lines.next().unwrap().trim_start());
            }
            let (typed, value) = constant.split_once(" =").unwrap();
            let (name, _) = typed.split_once(": ").unwrap();
            let value = value.trim().trim_end_matches(';');
            // A number reads better without the underscores of code; names of other limits keep theirs.
            let value = if value.contains(|part: char| part.is_ascii_uppercase()) {
                value.to_owned()
            } else {
                value.replace('_', "")
            };
            writeln!(page, "| `{name}` | {value} | {} |", documentation.join(" ")).unwrap();
            documentation.clear();
        } else {
            documentation.clear();
        }
    }
    page
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test reads the page, and writes it when asked to"
)]
#[test]
fn the_page_of_limits_is_as_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/limits.md");
    let found = page();
    if std::env::var_os("FAIRWEIR_WRITE_REFERENCE").is_some() {
        std::fs::write(path, found).unwrap();
        return;
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == found,
        "docs/reference/limits.md is stale: run this test with FAIRWEIR_WRITE_REFERENCE=1"
    );
}
