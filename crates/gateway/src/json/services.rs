//! The catalogue of services as JSON.

use fairweir_types::{
    Height,
    catalogue::{Catalogue, ServiceEntry, ServiceReport, ServiceTerms},
    order::Demand,
};
use serde_json::{Value, json};

fn demand(demand: &Demand) -> Value {
    let units = &demand.units;
    json!({
        "input": units.input.get(), "cached_input": units.cached_input.get(), "output": units.output.get(), "time": units.time.get(),
        "bytes_in": demand.bytes_in.get(), "bytes_out": demand.bytes_out_max.get(), "memory": demand.memory_max.get(),
        "execution_ms": demand.execution_max.get(),
    })
}

/// What the ledger knows of a version.
pub(super) fn terms(terms: &ServiceTerms) -> Value {
    json!({
        "name": terms.name.as_str(), "version": terms.version, "demand_max": demand(&terms.demand_max), "appeals": terms.has_appeals,
    })
}

/// An entry: without terms it retires the kind.
#[must_use]
pub fn entry(entry: &ServiceEntry) -> Value {
    json!({"from": entry.from.get(), "terms": entry.terms.as_ref().map(terms)})
}

/// The status in one word.
#[must_use]
pub fn state(service: &ServiceReport, next: Height) -> &'static str {
    let is_planned = service.planned(next).any(|entry| entry.terms.is_some());
    match service.in_force(next) {
        Some(_) => "active",
        None if is_planned => "planned",
        None => "retired",
    }
}

/// A kind, seen from the block that comes next.
#[must_use]
pub fn service(service: &ServiceReport, next: Height) -> Value {
    let planned = service.planned(next).map(entry);
    json!({
        "kind": service.kind.0,
        "name": service.name(next),
        "state": state(service, next),
        "in_force": service.in_force(next).map(terms),
        "planned": planned.collect::<Vec<_>>(),
    })
}

/// The catalogue.
#[must_use]
pub fn catalogue(catalogue: &Catalogue) -> Value {
    let next = Height(catalogue.height.get().saturating_add(1));
    let services = catalogue.services.iter().map(|one| service(one, next));
    json!({"height": catalogue.height.get(), "services": services.collect::<Vec<_>>()})
}
