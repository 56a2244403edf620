//! What a vote changes: an entry of a kind from a block on.

use super::{CatalogueError, ServiceRecord, service, services};
use crate::{execution::Execution, keys, market::EXECUTION_MS};
use fairweir_types::{
    BoundedVec, Boxed, Event, Genesis, Height, ProposalId,
    catalogue::{ServiceEntry, ServiceTerms, SetService},
    event::ServiceSet,
    genesis::GenesisError,
    limits::SERVICES_MAX,
    order::KindId,
};
use std::collections::BTreeSet;

/// Checks an entry: when it is proposed, and again when it is done.
pub(crate) fn check(execution: &Execution<'_>, set: &SetService) -> Result<(), CatalogueError> {
    let now = execution.context.height;
    let (kind, from) = (set.kind, set.entry.from);
    if from <= now {
        return Err(CatalogueError::EntryInThePast { from, now });
    }
    let record = service(&execution.overlay, kind)?;
    match &set.entry.terms {
        Some(terms) => check_terms(execution, record.as_ref(), (kind, from), terms)?,
        None => {
            // What is planned from that block on is replaced, so that the entry before it counts.
            let before = Height(from.get().saturating_sub(1));
            let active = record.as_ref().and_then(|record| record.in_force(before));
            if active.is_none() {
                return Err(CatalogueError::NothingToRetire { kind, from });
            }
        }
    }
    with_entry(&record.unwrap_or_default(), now, (kind, &set.entry)).map(|_| ())
}

fn check_terms(
    execution: &Execution<'_>,
    record: Option<&ServiceRecord>,
    (kind, from): (KindId, Height),
    terms: &ServiceTerms,
) -> Result<(), CatalogueError> {
    if let Some(rule) = broken_rule(terms) {
        return Err(CatalogueError::BadTerms { rule });
    }
    let before = record.into_iter().flat_map(|record| record.entries.iter());
    let before = before.filter(|entry| entry.from < from);
    let newest = before
        .filter_map(|entry| entry.terms.as_ref())
        .map(|terms| terms.version)
        .max();
    if let Some(newest) = newest.filter(|newest| terms.version < *newest) {
        return Err(CatalogueError::VersionGoesBack {
            kind,
            newest,
            found: terms.version,
        });
    }
    let others = services(&execution.overlay)?;
    if record.is_none() && others.len() >= SERVICES_MAX {
        return Err(CatalogueError::CatalogueFull);
    }
    let has_name = |record: &ServiceRecord| {
        let named = record
            .entries
            .iter()
            .filter_map(|entry| entry.terms.as_ref());
        named.into_iter().any(|other| other.name == terms.name)
    };
    match others
        .iter()
        .find(|(other, record)| *other != kind && has_name(record))
    {
        Some((other, _)) => Err(CatalogueError::NameTaken { other: *other }),
        None => Ok(()),
    }
}

/// What of terms cannot be, whatever else the catalogue holds.
fn broken_rule(terms: &ServiceTerms) -> Option<&'static str> {
    let name = terms.name.as_str();
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !is_name {
        return Some("a name is one or more of a to z, 0 to 9 and hyphens");
    }
    if terms.version == 0 {
        return Some("versions are counted from 1");
    }
    let units = &terms.demand_max.units;
    if [units.input, units.cached_input, units.output, units.time]
        .iter()
        .all(|units| units.get() == 0)
    {
        return Some("the largest demand has units of work");
    }
    if !EXECUTION_MS.contains(&terms.demand_max.execution_max.get()) {
        return Some("the longest execution is 1000 to 3600000 ms");
    }
    None
}

/// Checks the kinds that a chain begins with.
///
/// # Errors
/// [`GenesisError::BadService`].
pub fn check_genesis(genesis: &Genesis) -> Result<(), GenesisError> {
    let mut names = BTreeSet::new();
    for service in &genesis.services {
        let taken =
            (!names.insert(service.terms.name.as_str())).then_some("another kind has its name");
        if let Some(rule) = broken_rule(&service.terms).or(taken) {
            let kind = service.kind;
            return Err(GenesisError::BadService { kind, rule });
        }
    }
    Ok(())
}

/// A record with an entry: what was planned from its block on is replaced, and what is over is forgotten.
fn with_entry(
    record: &ServiceRecord,
    now: Height,
    (kind, entry): (KindId, &ServiceEntry),
) -> Result<ServiceRecord, CatalogueError> {
    let begun = record.entries.iter().filter(|known| known.from <= now);
    // Of a kind that is retired the version before stays: its name, and the number that no later version goes below.
    let is_retired = begun
        .clone()
        .next_back()
        .is_some_and(|last| last.terms.is_none());
    let over = begun.count().saturating_sub(if is_retired { 2 } else { 1 });
    let kept = record.entries.iter().skip(over);
    let kept = kept.filter(|known| known.from < entry.from);
    let mut entries: Vec<ServiceEntry> = kept.cloned().collect();
    entries.push(entry.clone());
    let entries = BoundedVec::new(entries);
    let entries = entries.map_err(|_| CatalogueError::TooManyEntries { kind })?;
    Ok(ServiceRecord { entries })
}

/// Writes an entry that was checked in the same block.
pub(crate) fn set(
    execution: &mut Execution<'_>,
    proposal: ProposalId,
    set: &SetService,
) -> Result<(), CatalogueError> {
    let SetService { kind, entry } = set;
    let record = service(&execution.overlay, *kind)?.unwrap_or_default();
    let record = with_entry(&record, execution.context.height, (*kind, entry))?;
    execution.overlay.store(keys::service(*kind), &record);
    execution.emit(Event::ServiceSet(Boxed::new(ServiceSet {
        proposal,
        kind: *kind,
        entry: entry.clone(),
    })));
    Ok(())
}
