//! The catalogue of services: which kinds of work the ledger takes, in which version, from which block on.
//!
//! A kind is a number to the ledger. Its record is a list of entries in the order of their blocks: the one in force, and what was decided for
//! later. An entry holds from its block until the next one's; an entry without terms retires the kind. Votes add entries (`governance`), and
//! no code of the ledger or of consensus knows any kind.
//!
//! - Offers, enrolments, orders, sessions and money for open ones are taken of what is in force in their block, and of nothing else (`gate.rs`).
//! - An order keeps the version and the terms that it was posted under until it is closed. What is matched runs, is checked, judged and paid at
//!   these, whatever is decided meanwhile; what is not matched yet when its version ends is refunded.
//! - A worker is matched, and a verifier drawn, only for versions that its offer or enrolment names: a program that does not know a version is
//!   never asked to compute it.
//! - A version never goes back: the same number always means the same rules. Who wants the old rules again gives them a new number.

mod change;
mod error;
mod gate;
mod invariants;

pub use change::check_genesis;
pub(crate) use change::{check as check_change, set};
pub use error::CatalogueError;
pub(crate) use gate::{check_action, is_in_force};
pub(crate) use invariants::check as check_invariants;

use crate::{
    fault::{Fault, present},
    keys,
    state::{State, load, scan, state_record},
};
use fairweir_types::{
    BoundedVec, Height,
    catalogue::{Catalogue, ServiceEntry, ServiceReport, ServiceTerms},
    limits::{SERVICE_ENTRIES_MAX, SERVICES_MAX},
    order::{KindId, OrderHeader},
};

/// What the state holds of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceRecord {
    /// In the order of their blocks, each once.
    pub(crate) entries: BoundedVec<ServiceEntry, SERVICE_ENTRIES_MAX>,
}
state_record!(ServiceRecord { entries });

impl ServiceRecord {
    /// A record of what a chain begins with.
    pub(crate) fn founding(terms: ServiceTerms) -> Self {
        Self {
            entries: BoundedVec::truncating([ServiceEntry {
                from: Height(1),
                terms: Some(terms),
            }]),
        }
    }

    /// What holds for a block.
    pub(crate) fn in_force(&self, height: Height) -> Option<&ServiceTerms> {
        let entry = self.entries.iter().rev().find(|entry| entry.from <= height);
        entry.and_then(|entry| entry.terms.as_ref())
    }
}

/// The record of a kind, if it ever was in the catalogue.
///
/// # Errors
/// [`Fault::Record`].
pub(crate) fn service(state: &dyn State, kind: KindId) -> Result<Option<ServiceRecord>, Fault> {
    load(state, &keys::service(kind))
}

/// Every kind with its record.
pub(crate) fn services(state: &dyn State) -> Result<Vec<(KindId, ServiceRecord)>, Fault> {
    let (from, to) = keys::services();
    scan::<ServiceRecord>(state, &from, &to, SERVICES_MAX)?
        .into_iter()
        .map(|(key, record)| {
            let kind = present(keys::kind_of_service(&key), "kind in a catalogue key")?;
            Ok((kind, record))
        })
        .collect()
}

/// The whole catalogue, for a node to hand out after the block of a height.
///
/// # Errors
/// [`Fault`].
pub fn report(state: &dyn State, height: Height) -> Result<Catalogue, Fault> {
    let services = services(state)?;
    let services = services.into_iter().map(|(kind, record)| ServiceReport {
        kind,
        entries: record.entries,
    });
    Ok(Catalogue {
        height,
        services: BoundedVec::truncating(services),
    })
}

/// The terms of a kind in a block, if it is active there.
fn terms_in(
    state: &dyn State,
    kind: KindId,
    height: Height,
) -> Result<Option<ServiceTerms>, Fault> {
    let record = service(state, kind)?;
    Ok(record.and_then(|record| record.in_force(height).cloned()))
}

/// Whether verdicts over an order that is posted in a block may go to a referee.
pub(crate) fn has_appeals(
    state: &dyn State,
    header: &OrderHeader,
    height: Height,
) -> Result<bool, Fault> {
    let terms = terms_in(state, header.kind, height)?;
    Ok(terms.is_some_and(|terms| terms.has_appeals))
}
