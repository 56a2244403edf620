//! What a proposal about the catalogue of services says: from words of a person and from what the catalogue and this program know.

use crate::{
    Global,
    connection::with_connection,
    failure::{Exit, code},
};
use fairweir_services::{
    Registry,
    inference::{Models, NoModels},
};
use fairweir_types::{
    Boxed, Height, Millis, Units,
    catalogue::{Catalogue, ServiceEntry, ServiceReport, ServiceTerms, SetService},
    governance::Message,
    order::{KindId, Name, UnitVector},
};
use std::sync::Arc;

/// Terms that are given.
pub(super) struct Limits {
    pub(super) units_max: Option<u64>,
    pub(super) seconds_max: Option<u64>,
    pub(super) appeals: Option<bool>,
}

fn catalogue(global: &Global) -> Result<Catalogue, Exit> {
    with_connection(global, |connection| async move {
        Ok(connection.client.services().await?)
    })
}

fn named<'a>(catalogue: &'a Catalogue, name: &str) -> Option<&'a ServiceReport> {
    let number = name.parse().ok().map(KindId);
    let mut services = catalogue.services.iter();
    services.find(|service| service.name(catalogue.height) == name || Some(service.kind) == number)
}

/// The terms that a kind has last, planned ones included.
fn last_terms(service: &ServiceReport) -> Option<&ServiceTerms> {
    let mut entries = service.entries.iter().rev();
    entries.find_map(|entry| entry.terms.as_ref())
}

fn unsaid(name: &str, what: &str) -> Exit {
    Exit::message(
        code::FAILED,
        format!("neither the catalogue nor this program knows a kind {name}: say its {what}"),
    )
}

/// An entry for a kind, which `(name, kind, version)` say as far as they are given.
pub(super) fn set(
    global: &Global,
    (name, kind, version): (&str, Option<u16>, Option<u16>),
    from: Height,
    limits: &Limits,
) -> Result<Message, Exit> {
    let catalogue = catalogue(global)?;
    let none: Arc<dyn Models> = Arc::new(NoModels);
    let registry = Registry::with_models(&none);
    let known = registry.named(name);
    let listed = match kind {
        Some(kind) => catalogue.get(KindId(kind)),
        None => named(&catalogue, name),
    };
    let kind = kind
        .map(KindId)
        .or_else(|| listed.map(|listed| listed.kind))
        .or_else(|| known.map(|known| known.id()));
    let kind = kind.ok_or_else(|| unsaid(name, "number with --kind"))?;
    let version = version.or_else(|| registry.newest(kind).map(|service| service.version()));
    let version = version.ok_or_else(|| unsaid(name, "version with --service-version"))?;
    let before = listed.and_then(last_terms).cloned();
    let mut terms = before.unwrap_or_else(|| ServiceTerms::widest(name, version));
    terms.version = version;
    terms.name = Name::new(name).map_err(|error| Exit::new(code::FAILED, error))?;
    if let Some(units) = limits.units_max.map(Units) {
        terms.demand_max.units = UnitVector {
            input: units,
            cached_input: units,
            output: units,
            time: units,
        };
    }
    if let Some(seconds) = limits.seconds_max {
        terms.demand_max.execution_max = Millis(seconds.saturating_mul(1_000));
    }
    if let Some(appeals) = limits.appeals {
        terms.has_appeals = appeals;
    }
    let terms = Some(terms);
    Ok(Message::SetService(Boxed::new(SetService {
        kind,
        entry: ServiceEntry { from, terms },
    })))
}

/// An entry that retires a kind.
pub(super) fn retire(global: &Global, name: &str, from: Height) -> Result<Message, Exit> {
    let catalogue = catalogue(global)?;
    let service = named(&catalogue, name).ok_or_else(|| {
        Exit::message(
            code::FAILED,
            format!("the catalogue has no kind {name}: `fairweir services` lists them"),
        )
    })?;
    Ok(Message::SetService(Boxed::new(SetService {
        kind: service.kind,
        entry: ServiceEntry { from, terms: None },
    })))
}
