use crate::fault::Fault;
use fairweir_types::{invariant::Invariant, limits::MIGRATION_STEPS_MAX};
use thiserror::Error;

/// Why a migration fails: nothing of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MigrationError {
    /// It finds the state otherwise than it must be.
    #[error("it refuses this state: {0}")]
    Refused(&'static str),
    /// A record does not read, or a number leaves its range.
    #[error("a record does not read, or a number leaves its range")]
    Unreadable,
    /// It takes more steps than one block may.
    #[error("it takes more than {MIGRATION_STEPS_MAX} steps")]
    TooLong,
    /// It writes a record that is none.
    #[error(
        "it writes under a key, or a record, that is too short or too long, or what upgrades and the audit keep for themselves"
    )]
    NoRecord,
    /// An invariant would not hold behind it.
    #[error("the invariant {invariant} would not hold behind it")]
    Broken {
        /// The first one.
        invariant: Invariant,
    },
}

/// What a record of the ledger's says when it does not read.
impl From<Fault> for MigrationError {
    fn from(_: Fault) -> Self {
        Self::Unreadable
    }
}
