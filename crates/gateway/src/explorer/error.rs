//! Why the index cannot be made or read.

use fairweir_types::{AmountError, Height};
use thiserror::Error;

/// Why the index cannot be made or read.
#[derive(Debug, Error)]
pub enum IndexError {
    /// The database's address is of no kind that is known.
    #[error("a database is sqlite:PATH or postgres://USER@HOST/NAME")]
    UnknownDatabase,
    /// The database refused.
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
    /// A record in the database is not what was written.
    #[error("a record of the index is malformed")]
    Record(#[from] serde_json::Error),
    /// An event is about something that no event before it made.
    #[error("{table} has no row of {key}")]
    Missing {
        /// The table.
        table: &'static str,
        /// The key.
        key: String,
    },
    /// A block does not follow the newest one of the index.
    #[error("block {found} does not follow block {tip} of the index")]
    NotNext {
        /// The newest block of the index.
        tip: u64,
        /// The block that came.
        found: Height,
    },
    /// The chain at the node is not the one of the index.
    #[error("the node's chain is another than the index's")]
    OtherChain,
    /// Another explorer writes into the same database.
    #[error("another explorer writes into the same database")]
    OtherWriter,
    /// The index has not been founded.
    #[error("the index is not open for a chain")]
    NoIndex,
    /// A height or position beyond what a row can be numbered with.
    #[error("the place of a row is out of range")]
    OutOfRange,
    /// Amounts that do not add up.
    #[error("amounts do not add up")]
    Amount(#[from] AmountError),
    /// The dump could not be written.
    #[error("the dump could not be written")]
    Write(#[from] std::io::Error),
}
