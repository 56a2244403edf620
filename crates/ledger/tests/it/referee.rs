//! A referee for scripts: a cell is a word, and an exhibit says which one is right.
//!
//! What is computed is the last cell of a run: `c` by whoever is right (and by who only tells something else of it, as `retold`), `b` by who
//! is `short`, and `x` by all others.

use fairweir_ledger::{
    MemoryState,
    referee::{self, BadExhibit, Difference, Finding, Standing},
};
use fairweir_types::{Digest, VerifiedTx, digest::Domain, order::KindId, receipt::trace};

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

/// The last cell of the run that an output is made of.
fn computed(output: &str) -> char {
    match output {
        "right" | "retold" => 'c',
        "short" => 'b',
        _ => 'x',
    }
}

/// The output that a run is bound to, unless a script says another.
pub(crate) fn output_of(run: &str) -> &'static str {
    match run.chars().last() {
        Some('c') => "right",
        Some('b') => "short",
        _ => "wrong",
    }
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
    fn knows(&self, _: KindId, _: u16) -> bool {
        self.knows
    }

    fn node(&self, children: &[Digest]) -> Digest {
        node(children)
    }

    fn bind(&self, standing: &Standing<'_>, bound: &[u8]) -> Result<(), BadExhibit> {
        let no = |what: &str| Err(BadExhibit(what.to_owned()));
        let text = core::str::from_utf8(bound).unwrap_or_default();
        let Some((run, output)) = text.split_once(' ') else {
            return no("nothing is shown");
        };
        if digest(run) != *standing.run {
            return no("another run");
        }
        if (run == "-") != (output == "nothing") {
            return no("a run of nothing, or nothing of a run");
        }
        if run != "-" && !run.ends_with(computed(output)) {
            return no("the output is not the run's");
        }
        let made = Digest::of_blob(output.as_bytes());
        if trace(standing.spec, &made, &standing.receipt.units) != *standing.trace {
            return no("the trace is not the output's");
        }
        Ok(())
    }

    fn find(&self, _: &Difference<'_>, shown: &[u8]) -> Result<Finding, BadExhibit> {
        match core::str::from_utf8(shown) {
            Ok("undecided") => Ok(Finding::Undecided),
            Ok(cell) if cell != "nonsense" => Ok(Finding::Is(digest(cell))),
            _ => Err(BadExhibit("no cell".to_owned())),
        }
    }
}

/// Room in blocks is kept for those who may make a move about which the referee is asked, and for no others.
pub(crate) fn assert_room_is_kept_for_players(
    state: &MemoryState,
    tx: &VerifiedTx,
    expected: &str,
) {
    let action = &tx.transaction().action;
    if !action.asks_referee() {
        return;
    }
    let may = fairweir_ledger::appeals::may_ask(state, tx.sender(), action).unwrap();
    let strangers = [
        "no_slot_to_appeal",
        "not_open_to_appeal",
        "not_a_loser",
        "not_disputed",
        "not_a_player",
        "not_your_move",
    ];
    assert!(may || !["ok", "bad_exhibit"].contains(&expected));
    assert!(!may || !strangers.contains(&expected));
}
