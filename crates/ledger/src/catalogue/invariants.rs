//! What must hold of the catalogue after every block, for tests and simulation.

use super::services;
use crate::{
    invariants::Violation,
    keys,
    market::Order,
    state::{State, scan},
};
use std::collections::BTreeSet;

/// Checks that entries are in order, that versions never go back, that no name is of two kinds, and that every open order is of a kind that
/// there is.
pub(crate) fn check(state: &dyn State) -> Result<(), Violation> {
    let services = services(state)?;
    let mut names = BTreeSet::new();
    for (kind, record) in &services {
        let entries = &record.entries;
        let heights: Vec<_> = entries.iter().map(|entry| entry.from).collect();
        let terms = entries.iter().filter_map(|entry| entry.terms.as_ref());
        let versions: Vec<_> = terms.clone().map(|terms| terms.version).collect();
        let own: BTreeSet<_> = terms.map(|terms| terms.name.to_string()).collect();
        let first = entries.iter().next();
        let holds = [
            (
                "its entries are not in order",
                heights.is_sorted_by(|earlier, later| earlier < later),
            ),
            ("a version goes back", versions.is_sorted()),
            (
                "it begins with a retirement",
                first.is_some_and(|first| first.terms.is_some()),
            ),
            ("its name is another kind's", names.is_disjoint(&own)),
        ];
        if let Some((what, _)) = holds.into_iter().find(|(_, holds)| !holds) {
            return Err(Violation::Catalogue { kind: *kind, what });
        }
        names.extend(own);
    }
    let (from, to) = keys::orders();
    for (_, order) in scan::<Order>(state, &from, &to, usize::MAX)? {
        let kind = order.header.kind;
        if !services.iter().any(|(known, _)| *known == kind) {
            let what = "an order is of it, and it is not there";
            return Err(Violation::Catalogue { kind, what });
        }
    }
    Ok(())
}
