//! Runs that can be taken to a referee: a kind whose every value can be computed again writes a run down as a tree of digests, opens its nodes
//! and shows what a cell follows from. Who judges is on the ledger; see the ledger's `referee` for what it asks.

use crate::{contract::ExecuteError, world::Env};
use core::fmt::Debug;
use fairweir_types::Digest;
use futures::future::BoxFuture;
use std::sync::Arc;
use thiserror::Error;

/// Writes runs of a kind down.
pub trait Recorder: Debug + Send + Sync + 'static {
    /// Runs a spec as a check does, and writes all of it down. Costs about as much as the work itself.
    ///
    /// # Errors
    /// [`ExecuteError`].
    fn record<'a>(
        &'a self,
        env: &'a Env<'a>,
        spec: &'a [u8],
    ) -> BoxFuture<'a, Result<Arc<dyn Record>, ExecuteError>>;
}

/// A run that is written down.
pub trait Record: Debug + Send + Sync + 'static {
    /// The trace that the run ends in.
    fn trace(&self) -> Digest;

    /// Whether it can be shown for a trace.
    fn stands_for(&self, trace: &Digest) -> bool {
        self.trace() == *trace
    }

    /// The digest of all of it.
    fn run(&self) -> Digest;

    /// The children of the node at a path; none of a cell, or where there is nothing.
    ///
    /// # Errors
    /// [`RecordError`].
    fn children<'a>(&'a self, path: &'a [u8]) -> BoxFuture<'a, Result<Vec<Digest>, RecordError>>;

    /// What shows the referee the cell at a path about which there are two claims.
    ///
    /// # Errors
    /// [`RecordError`].
    fn exhibit<'a>(
        &'a self,
        path: &'a [u8],
        claims: [Digest; 2],
    ) -> BoxFuture<'a, Result<Vec<u8>, RecordError>>;
}

/// Why a run cannot be written down or shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The path leads to no cell.
    #[error("there is no cell there")]
    NotACell,
    /// It is more than an exhibit may have.
    #[error("{found} bytes would have to be shown, {max} may be")]
    TooLarge {
        /// Bytes needed.
        found: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Something else.
    #[error("{0}")]
    Failed(String),
}
