//! A referee for scripts: a cell is a word, and an exhibit says which one is right.

use fairweir_ledger::referee::{self, BadExhibit, Difference, Finding};
use fairweir_types::{Digest, digest::Domain, order::KindId};

/// Knows every kind, or none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Referee {
    pub(crate) knows: bool,
}

/// The digest of a run, a node or a cell as a script writes it; `-` is nothing.
pub(crate) fn digest(text: &str) -> Digest {
    match text {
        "-" => Digest::ZERO,
        text if text.starts_with('^') => match below(text) {
            Some(child) => node(&[digest(&child)]),
            None => digest(text.split(':').nth(1).unwrap()),
        },
        text if text.contains(['/', '.']) => node(&children(text)),
        text => Digest::of(Domain::MerkleLeaf, &[text.as_bytes()]),
    }
}

/// What is below the top of a deep node.
fn below(text: &str) -> Option<String> {
    let (levels, cell) = text.strip_prefix('^')?.split_once(':')?;
    let levels: u8 = levels.parse().ok()?;
    Some(format!("^{}:{cell}", levels.checked_sub(1)?))
}

/// The children of a node as a script writes it.
pub(crate) fn children(text: &str) -> Vec<Digest> {
    if let Some(child) = below(text) {
        return vec![digest(&child)];
    }
    let separator = if text.contains('/') { '/' } else { '.' };
    text.split(separator).map(digest).collect()
}

fn node(children: &[Digest]) -> Digest {
    let last = children.iter().rposition(|child| *child != Digest::ZERO);
    let parts: Vec<&[u8]> = children
        .iter()
        .take(last.map_or(0, |last| last + 1))
        .map(|child| child.0.as_slice())
        .collect();
    if parts.is_empty() {
        return Digest::ZERO;
    }
    Digest::of(Domain::MerkleNode, &parts)
}

impl referee::Referee for Referee {
    fn knows(&self, _: KindId) -> bool {
        self.knows
    }

    fn node(&self, children: &[Digest]) -> Digest {
        node(children)
    }

    fn find(&self, _: &Difference<'_>, shown: &[u8]) -> Result<Finding, BadExhibit> {
        match core::str::from_utf8(shown) {
            Ok("undecided") => Ok(Finding::Undecided),
            Ok(cell) if cell != "nonsense" => Ok(Finding::Is(digest(cell))),
            _ => Err(BadExhibit("no cell".to_owned())),
        }
    }
}
