//! Runs that can be taken to a referee: a kind whose every value can be computed again writes a run down as a tree of digests, opens its nodes
//! and shows what a cell follows from. Who judges is on the ledger; see the ledger's `referee` for what it asks.

use crate::{
    contract::ExecuteError,
    service::{Executed, trace_for},
    world::Env,
};
use core::fmt::Debug;
use fairweir_types::{Digest, Receipt, order::UnitVector};
use futures::{FutureExt as _, future::BoxFuture};
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

    /// The units that it took.
    fn units(&self) -> UnitVector;

    /// Whether it can be shown for a trace that somebody voted for or opened, when the worker handed in this receipt.
    fn stands_for(&self, receipt: &Receipt, trace: &Digest) -> bool {
        trace_for(receipt, &self.trace(), &self.units()) == *trace
    }

    /// The digest of all of it; zero if the order must be refused, so that there is none.
    fn run(&self) -> Digest;

    /// What binds the run to its trace.
    ///
    /// # Errors
    /// [`RecordError`].
    fn bound(&self) -> Result<Vec<u8>, RecordError>;

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

/// The record of an order that must be refused: it has no run, and its trace is that of no output.
#[derive(Clone, Copy, Debug)]
pub struct RefusedRecord {
    trace: Digest,
    units: UnitVector,
}

impl RefusedRecord {
    /// Of an order for this spec.
    #[must_use]
    pub fn of(spec_digest: &Digest) -> Self {
        let refusal = Executed::refusal();
        Self {
            trace: refusal.trace(spec_digest),
            units: refusal.units,
        }
    }
}

impl Record for RefusedRecord {
    fn trace(&self) -> Digest {
        self.trace
    }

    fn units(&self) -> UnitVector {
        self.units
    }

    fn run(&self) -> Digest {
        Digest::ZERO
    }

    fn bound(&self) -> Result<Vec<u8>, RecordError> {
        Ok(Vec::new())
    }

    fn children<'a>(&'a self, _: &'a [u8]) -> BoxFuture<'a, Result<Vec<Digest>, RecordError>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }

    fn exhibit<'a>(
        &'a self,
        _: &'a [u8],
        _: [Digest; 2],
    ) -> BoxFuture<'a, Result<Vec<u8>, RecordError>> {
        std::future::ready(Err(RecordError::NotACell)).boxed()
    }
}
