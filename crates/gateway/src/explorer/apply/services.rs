//! What the catalogue of services does to the index.

use super::{Place, demand};
use crate::explorer::{
    error::IndexError,
    records::{Service, ServiceEntry},
    store::Writing,
    tables::seq,
};
use fairweir_types::{Genesis, catalogue, event};

fn entry(entry: &catalogue::ServiceEntry, (decided, proposal): (u64, Option<u64>)) -> ServiceEntry {
    let terms = entry.terms.as_ref();
    ServiceEntry {
        from: entry.from.get(),
        decided,
        proposal,
        version: terms.map(|terms| terms.version),
        name: terms.map(|terms| terms.name.as_str().to_owned()),
        demand_max: terms.map(|terms| demand(&terms.demand_max)),
        appeals: terms.map(|terms| terms.has_appeals),
    }
}

/// The kinds that a chain begins with.
pub(super) async fn genesis(writing: &mut Writing, genesis: &Genesis) -> Result<(), IndexError> {
    for (position, service) in genesis.services.iter().enumerate() {
        let first = catalogue::ServiceEntry {
            from: fairweir_types::Height(1),
            terms: Some(service.terms.clone()),
        };
        let row = Service {
            kind: service.kind.0,
            entries: vec![entry(&first, (0, None))],
        };
        writing.insert(seq(0, position, 0)?, &row).await?;
    }
    Ok(())
}

/// An entry was decided: it replaces what was planned from its block on.
pub(super) async fn set(
    writing: &mut Writing,
    place: Place,
    event: &event::ServiceSet,
) -> Result<(), IndexError> {
    let decided = entry(&event.entry, (place.height, Some(event.proposal.get())));
    let kind = event.kind.0;
    let found = writing.find::<Service>("kind", &kind.to_string()).await?;
    let Some((at, mut row)) = found else {
        let entries = vec![decided];
        let row = Service { kind, entries };
        return writing.insert(place.seq(0)?, &row).await;
    };
    row.entries.retain(|known| known.from < decided.from);
    row.entries.push(decided);
    writing.update(at, &row).await
}
