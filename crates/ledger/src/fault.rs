//! A broken invariant of our own: not a refusal but a reason to halt.

use crate::upgrades::MigrationError;
use fairweir_types::{AmountError, Digest, Height};
use thiserror::Error;

/// The ledger's own state contradicts itself. A replica that meets this stops: halt over wrong money.
#[derive(Debug, Error)]
pub enum Fault {
    /// A record does not decode.
    #[error("the record under key {key:02x?} does not decode")]
    Record {
        /// The record's key.
        key: Vec<u8>,
        #[source]
        /// What the codec says.
        source: commonware_codec::Error,
    },
    /// A record is missing that another one refers to.
    #[error("the {what} that another record refers to is missing")]
    Missing {
        /// What is missing.
        what: &'static str,
    },
    /// Money that must be there is not, or exceeds the cap.
    #[error("money does not add up")]
    Money(#[from] AmountError),
    /// Not broken, but over: the rules that were decided for this block are not in this program.
    #[error(
        "this program does not know the rules that begin with block {height}: install the release that plan {plan} names"
    )]
    UnknownUpgrade {
        /// The first block of the new rules.
        height: Height,
        /// The digest of their description.
        plan: Digest,
    },
    /// Not broken, and not to be: the state cannot be changed to the rules that were decided for this block.
    #[error("the migration of the plan {name} ({plan}), which begins with block {height}, fails")]
    Migration {
        /// What this program calls the plan.
        name: &'static str,
        /// The first block of the new rules.
        height: Height,
        /// The digest of their description.
        plan: Digest,
        #[source]
        /// Why.
        source: MigrationError,
    },
    /// A counter leaves its range.
    #[error("the counter {what} leaves its range")]
    Counter {
        /// Which counter.
        what: &'static str,
    },
}

/// Says that a failure here would be a broken invariant, not a refusal.
pub(crate) trait OrFault<T> {
    /// The value, or the fault.
    fn or_fault(self) -> Result<T, Fault>;
}

impl<T> OrFault<T> for Result<T, AmountError> {
    fn or_fault(self) -> Result<T, Fault> {
        self.map_err(Fault::Money)
    }
}

/// A record that must exist.
pub(crate) fn present<T>(record: Option<T>, what: &'static str) -> Result<T, Fault> {
    record.ok_or(Fault::Missing { what })
}

/// A counter that must stay in range.
pub(crate) fn counted<T>(counter: Option<T>, what: &'static str) -> Result<T, Fault> {
    counter.ok_or(Fault::Counter { what })
}
