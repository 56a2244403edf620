//! The ledger checks itself: after every block that its sums hold, and in readings that its whole state adds up.
//!
//! Every record contributes to some sums that are zero as long as the invariants hold (`Imbalances`): an account's balance to the money that there is, the record of
//! the supply as much less. So what a block wrote must change none of them, which is checked when the block ends by looking at what it wrote alone. That
//! finds what a verb does wrong, in the block that does it.
//!
//! What was wrong without a write is found by reading: each block a bounded number of records, in the order of their keys. What earlier blocks of a reading have read
//! goes on with what later blocks write to it, so that at its end a reading knows the sums of the state as it is then, not of many states mixed.
//!
//! When a sum is not what it was known to be, the record of a halt is written and withdrawals are refused until a proposal lets them go on (ADR 0022). The chain
//! goes on, and nothing is taken back. What was found is known from then on, so that it halts once; more of it halts again.
//!
//! Behind an upgrade the reading begins anew, and the whole state is weighed at once.
//!
//! What needs several records side by side is not checked here but in tests (`invariants`): that the stake of *each* account covers its own work, each tally its
//! votes, each session its lanes, each candidate's rewards its delegations.

mod begin_anew;
mod end_block;
mod halt;
mod imbalances;
mod weigh;

#[cfg(test)]
mod tests;

pub(crate) use begin_anew::begin_anew;
pub(crate) use end_block::end_block;
pub(crate) use halt::{Halted, check_halted, check_resume, resume};
pub(crate) use imbalances::Imbalances;
pub(crate) use weigh::weigh;

use crate::{
    fault::Fault,
    keys,
    state::{State, load, state_record},
};
use fairweir_types::{BoundedBytes, Height, node_api::AuditReport};

/// Bytes of a key, at most; those of the ledger are shorter.
pub(crate) const KEY_BYTES_MAX: usize = 128;

/// How far the ledger has checked itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    /// Readings of the whole state that are over.
    pub(crate) readings: u64,
    /// The block in which the last one ended.
    pub(crate) ended: Height,
    /// The first key that this reading has not read.
    pub(crate) next: BoundedBytes<KEY_BYTES_MAX>,
    /// The sums of what it has read, as they are now.
    pub(crate) read: Imbalances,
    /// The sums of all records, as far as they are known.
    pub(crate) known: Imbalances,
}
state_record!(Audit {
    readings,
    ended,
    next,
    read,
    known
});

/// Whether withdrawals are halted, and how far the ledger has checked itself.
///
/// # Errors
/// [`Fault::Record`].
pub fn report(state: &dyn State) -> Result<AuditReport, Fault> {
    let audit: Audit = load(state, &keys::audit())?.unwrap_or_default();
    let halt: Option<Halted> = load(state, &keys::halt())?;
    Ok(AuditReport {
        halt: halt.map(Into::into),
        broken: audit.known.worse_than(&Imbalances::default()),
        readings: audit.readings,
        ended: audit.ended,
    })
}
