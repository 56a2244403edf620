//! Who offers what, and who verifies.
//!
//! An offer needs bonded stake and sets a part of it aside as collateral for its open work. A verifier needs bonded
//! stake too, and commits to a hash chain. Both lend a deposit per byte of their record, which comes back when the record leaves the state; workers may enrol as verifiers, and never judge themselves, their owner or a party.

mod committed_chain;
mod deposit;
mod enrol_verifier;
mod error;
mod leave_verifiers;
mod register_offer;
mod withdraw_offer;

pub use committed_chain::CommittedChain;
pub(crate) use deposit::adjust as adjust_deposit;
pub(crate) use enrol_verifier::enrol_verifier;
pub use error::RegistryError;
pub(crate) use leave_verifiers::leave_verifiers;
pub(crate) use register_offer::register_offer;
pub(crate) use withdraw_offer::withdraw_offer;

use crate::{
    bank,
    execution::Execution,
    fault::Fault,
    keys,
    state::{Overlay, State, load, state_record},
};
use fairweir_types::{
    Address, Amount, BoundedVec,
    catalogue::KnownKind,
    limits::VERIFIER_KINDS_MAX,
    order::{KindId, Offer},
    session::SealKey,
};

/// A registered offer with its open work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferRecord {
    /// The offer.
    pub offer: Offer,
    /// Whether it takes new work.
    pub listed: bool,
    /// Slots that are open.
    pub open: u16,
    /// Stake that covers them.
    pub exposure: Amount,
    /// The refundable deposit for this record.
    pub deposit: Amount,
}
state_record!(OfferRecord {
    offer,
    listed,
    open,
    exposure,
    deposit
});

/// A verifier in the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierRecord {
    /// Its owner.
    pub owner: Address,
    /// The kinds that it re-executes, in which versions.
    pub kinds: BoundedVec<KnownKind, VERIFIER_KINDS_MAX>,
    /// The key that what it may read is encrypted to.
    pub seal_key: SealKey,
    /// The hash chain of which batches ask for links.
    pub chain: CommittedChain,
    /// The one that takes over from it.
    pub next: Option<CommittedChain>,
    /// The one that it took over from: some of its links may still be waited for.
    pub before: Option<CommittedChain>,
    /// The refundable deposit for this record.
    pub deposit: Amount,
}
state_record!(VerifierRecord {
    owner,
    kinds,
    seal_key,
    chain,
    next,
    before,
    deposit
});

/// How many records there are, so that a status costs O(1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Listed offers.
    pub offers: u32,
    /// Verifiers in the pool.
    pub verifiers: u32,
    /// Open orders.
    pub open_orders: u32,
}
state_record!(Counters {
    offers,
    verifiers,
    open_orders
});

/// The counters.
///
/// # Errors
/// [`Fault::Record`].
pub fn counters(state: &dyn State) -> Result<Counters, Fault> {
    Ok(load(state, &keys::counters())?.unwrap_or_default())
}

/// Changes the counters.
pub(crate) fn count(
    overlay: &mut Overlay<'_>,
    change: impl FnOnce(&mut Counters) -> Option<()>,
) -> Result<(), Fault> {
    let mut counters = counters(overlay)?;
    change(&mut counters).ok_or(Fault::Counter { what: "registry" })?;
    overlay.store(keys::counters(), &counters);
    Ok(())
}

/// A worker's offer for a kind.
///
/// # Errors
/// [`Fault::Record`].
pub fn offer(
    state: &dyn State,
    kind: KindId,
    worker: Address,
) -> Result<Option<OfferRecord>, Fault> {
    load(state, &keys::offer(kind, worker))
}

/// Deletes an unlisted offer once it has no open work, and returns its deposit.
pub(crate) fn store_or_drop(
    execution: &mut Execution<'_>,
    kind: KindId,
    worker: Address,
    record: &OfferRecord,
) -> Result<(), Fault> {
    let key = keys::offer(kind, worker);
    if record.listed || record.open > 0 {
        execution.overlay.store(key, record);
        return Ok(());
    }
    execution.overlay.delete(key);
    bank::credit(execution, worker, record.deposit)
}
