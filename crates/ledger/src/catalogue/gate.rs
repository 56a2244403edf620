//! What may be offered, enrolled for and bought in a block.

use super::{CatalogueError, service, terms_in};
use crate::{
    execution::Execution, fault::Fault, keys, market, registry::VerifierRecord, state::State,
};
use fairweir_types::{
    Action, Address, Height,
    catalogue::{KnownKind, ServiceTerms, Versions},
    order::{KindId, OrderHeader, OrderId},
};

/// Refuses new work, and new money for open work, of what is not in force. What is open goes on, and nobody is kept from leaving.
pub(crate) fn check_action(
    execution: &Execution<'_>,
    (sender, action): (Address, &Action),
) -> Result<(), CatalogueError> {
    match action {
        Action::RegisterOffer(register) => {
            let offer = &register.offer;
            in_force(execution, offer.kind, offer.versions).map(|_| ())
        }
        Action::EnrolVerifier(enrol) => check_enrolment(execution, sender, enrol.kinds.as_slice()),
        Action::PostOrder(post) => check_header(execution, &post.header),
        Action::OpenSession(open) => check_header(execution, &open.header),
        Action::TopUp(top_up) => check_open(execution, top_up.order),
        Action::TopUpLane(top_up) => check_open(execution, top_up.lane.order),
        _ => Ok(()),
    }
}

/// A verifier may keep what it is enrolled for, whatever became of it: open work needs its verifiers until it is paid. It may keep less of it, too:
/// a program that does not know a version any more takes that one back.
fn check_enrolment(
    execution: &Execution<'_>,
    sender: Address,
    kinds: &[KnownKind],
) -> Result<(), CatalogueError> {
    let enrolled: Option<VerifierRecord> = execution.overlay.load(&keys::verifier(sender))?;
    let kept = |known: &KnownKind| {
        let mut kept = enrolled.iter().flat_map(|record| record.kinds.iter());
        kept.any(|kept| kept.kind == known.kind && known.versions.lie_within(kept.versions))
    };
    for known in kinds.iter().filter(|known| !kept(known)) {
        in_force(execution, known.kind, known.versions)?;
    }
    Ok(())
}

/// The terms of a kind in this block, if one of these versions is in force.
fn in_force(
    execution: &Execution<'_>,
    kind: KindId,
    versions: Versions,
) -> Result<ServiceTerms, CatalogueError> {
    let now = execution.context.height;
    let record = service(&execution.overlay, kind)?;
    let record = record.ok_or(CatalogueError::NotInCatalogue { kind })?;
    let terms = record.in_force(now);
    let terms = terms.ok_or(CatalogueError::NotActive { kind, now })?;
    if !versions.include(terms.version) {
        return Err(CatalogueError::OtherVersion {
            kind,
            in_force: terms.version,
            oldest: versions.oldest,
            newest: versions.newest,
        });
    }
    Ok(terms.clone())
}

fn check_header(execution: &Execution<'_>, header: &OrderHeader) -> Result<(), CatalogueError> {
    let kind = header.kind;
    let terms = in_force(execution, kind, Versions::only(header.version))?;
    if !header.demand.within(&terms.demand_max) {
        return Err(CatalogueError::DemandAboveService { kind });
    }
    Ok(())
}

/// Whether an open order may have more money; that there is none the market says.
fn check_open(execution: &Execution<'_>, id: OrderId) -> Result<(), CatalogueError> {
    let Some(order) = market::order(&execution.overlay, id)? else {
        return Ok(());
    };
    let versions = Versions::only(order.header.version);
    in_force(execution, order.header.kind, versions).map(|_| ())
}

/// Whether the version that an order was posted for is still the one in force: only then it is matched.
pub(crate) fn is_in_force(
    state: &dyn State,
    header: &OrderHeader,
    height: Height,
) -> Result<bool, Fault> {
    let terms = terms_in(state, header.kind, height)?;
    Ok(terms.is_some_and(|terms| terms.version == header.version))
}
