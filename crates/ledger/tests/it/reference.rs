//! The pages of `docs/reference` that are made of the ledger's code. A stale page fails; with `FAIRWEIR_WRITE_REFERENCE=1`
//! the test writes it instead.

use fairweir_ledger::{params::PARAMS, refusal::CODES, relations::RELATIONS};
use std::{collections::BTreeMap, fmt::Write as _, path::Path};

const SOURCES: [&str; 14] = [
    include_str!("../../src/envelope.rs"),
    include_str!("../../src/refusal.rs"),
    include_str!("../../src/bank/error.rs"),
    include_str!("../../src/stake/error.rs"),
    include_str!("../../src/registry/error.rs"),
    include_str!("../../src/market/error.rs"),
    include_str!("../../src/verification/error.rs"),
    include_str!("../../src/sessions/error.rs"),
    include_str!("../../src/delegates/error.rs"),
    include_str!("../../src/appeals/error.rs"),
    include_str!("../../src/governance/error.rs"),
    include_str!("../../src/validators/error.rs"),
    include_str!("../../src/candidates/error.rs"),
    include_str!("../../src/catalogue/error.rs"),
];

#[expect(
    clippy::disallowed_methods,
    reason = "the test reads the page, and writes it when asked to"
)]
fn assert_page(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/reference")
        .join(name);
    if std::env::var_os("FAIRWEIR_WRITE_REFERENCE").is_some() {
        std::fs::write(path, found).unwrap();
        return;
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == found,
        "docs/reference/{name} is stale: run this test with FAIRWEIR_WRITE_REFERENCE=1"
    );
}

#[test]
fn the_page_of_parameters_is_as_the_code() {
    let mut page = String::from(
        "# Governed values\n\nMade of `crates/ledger/src/params.rs` and `relations.rs`; a test fails when this page is stale.\nA genesis may set each within its range, and a proposal that passes changes one for the blocks after it. On chains whose name does not\nbegin with `dev-`, windows and locks of votes are at least as long as `PUBLIC_MIN` says.\n\n| number | name | unit | range | default | why |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for param in PARAMS {
        writeln!(
            page,
            "| {} | `{}` | {} | {} to {} | {} | {} |",
            param.number, param.name, param.unit, param.min, param.max, param.default, param.source
        )
        .unwrap();
    }
    page.push_str("\n## What they must be to each other\n\n| name | rule |\n| --- | --- |\n");
    for relation in RELATIONS {
        writeln!(page, "| `{}` | {} |", relation.name, relation.rule).unwrap();
    }
    assert_page("parameters.md", &page);
}

/// What each code means, from the first line of documentation of its variant.
fn meanings() -> BTreeMap<u16, String> {
    let mut meanings = BTreeMap::new();
    for source in SOURCES {
        let mut documented: BTreeMap<&str, &str> = BTreeMap::new();
        let mut doc = None;
        for line in source.lines() {
            let text = line.trim();
            let is_variant = line.starts_with("    ") && !line.starts_with("     ");
            if let Some(said) = text.strip_prefix("/// ").filter(|_| is_variant) {
                doc = doc.or(Some(said));
            } else if let Some((variant, code)) = code_of(text) {
                if let Some(said) = documented.get(variant) {
                    meanings.insert(code, (*said).to_owned());
                }
            } else if is_variant && text.starts_with(|first: char| first.is_ascii_uppercase()) {
                let end = text.find(|part: char| !part.is_ascii_alphanumeric());
                let variant = end.map_or(text, |end| &text[..end]);
                if let Some(said) = doc.take() {
                    documented.insert(variant, said);
                }
            } else if is_variant && !text.starts_with(['#', '/', '}', '"', ')']) {
                doc = None;
            }
        }
    }
    meanings
}

/// The variant and the code of a line such as `Self::NoSlots => 400,`.
fn code_of(line: &str) -> Option<(&str, u16)> {
    let (pattern, code) = line.strip_prefix("Self::")?.split_once(" => ")?;
    let end = pattern.find(|part: char| !part.is_ascii_alphanumeric());
    let variant = end.map_or(pattern, |end| &pattern[..end]);
    Some((variant, code.trim_end_matches(',').parse().ok()?))
}

#[test]
fn the_page_of_codes_is_as_the_code() {
    let mut page = String::from(
        "# Codes of transactions\n\nMade of the errors in `crates/ledger/src`; a test fails when this page is stale. Codes are append-only.\nUp to 7 the transaction is in no block; from 8 on it is, has no effect, and pays its fee.\n\n| code | name | meaning |\n| --- | --- | --- |\n",
    );
    let meanings = meanings();
    for (code, name) in CODES {
        let meaning = match code {
            0 => "It was done.",
            _ => meanings
                .get(code)
                .unwrap_or_else(|| panic!("{name} has no meaning")),
        };
        writeln!(page, "| {code} | `{name}` | {meaning} |").unwrap();
    }
    assert_page("codes.md", &page);
}
