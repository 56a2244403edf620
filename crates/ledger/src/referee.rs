//! The referee, as far as the ledger knows it: someone who says what one cell of a run must be.
//!
//! A kind of work that has one writes a run down as a tree of digests, and can compute any cell of it from the few that it follows from. What
//! a run, a cell and an exhibit are is the kind's business; the ledger finds the place where two runs differ, asks, and settles.
//!
//! Every validator must have the same one: its findings are part of the state machine.

use core::fmt::Debug;
use fairweir_types::{
    Digest, Receipt,
    order::{Demand, KindId},
};
use thiserror::Error;

/// What a side of an appeal stands for.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The kind of work.
    pub kind: KindId,
    /// The digest of the spec's bytes: what was asked.
    pub spec: &'a Digest,
    /// What the order allows at most.
    pub demand: &'a Demand,
    /// What the worker says that it did.
    pub receipt: &'a Receipt,
    /// The trace that the side voted for, or has to defend.
    pub trace: &'a Digest,
    /// The digest of its run; zero where it found that the order must be refused.
    pub run: &'a Digest,
}

/// What two sides disagree about.
#[derive(Clone, Copy, Debug)]
pub struct Difference<'a> {
    /// The kind of work.
    pub kind: KindId,
    /// The digest of the spec's bytes: what was asked.
    pub spec: &'a Digest,
    /// The run of the side that exhibits.
    pub run: &'a Digest,
    /// The way from the run's root to the cell.
    pub path: &'a [u8],
    /// What the appellant and the defender say that the cell is; zero for nothing.
    pub claims: &'a [Digest; 2],
}

/// What a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// This; zero if there must be none.
    Is(Digest),
    /// The referee cannot say.
    Undecided,
}

/// An exhibit that shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct BadExhibit(pub String);

/// Says what cells must be. Pure, and bounded in time: it runs inside a block.
pub trait Referee: Debug + Send + Sync {
    /// Whether it knows a version of a kind.
    fn knows(&self, kind: KindId, version: u16) -> bool;

    /// The digest of a node of a run with these children; zero children count for nothing.
    fn node(&self, children: &[Digest]) -> Digest;

    /// Whether a side's run is the one that its trace was made of: the trace of what is shown, whose last values are those of the run. Without
    /// this a side could write down another run than it voted for.
    ///
    /// # Errors
    /// [`BadExhibit`] if it is not.
    fn bind(&self, standing: &Standing<'_>, bound: &[u8]) -> Result<(), BadExhibit>;

    /// What the cell is about which two sides differ.
    ///
    /// # Errors
    /// [`BadExhibit`]: then it is as if nothing had been shown.
    fn find(&self, difference: &Difference<'_>, shown: &[u8]) -> Result<Finding, BadExhibit>;
}

/// No referee for any kind: for chains and tools that only know votes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReferee;

impl Referee for NoReferee {
    fn knows(&self, _: KindId, _: u16) -> bool {
        false
    }

    fn node(&self, _: &[Digest]) -> Digest {
        Digest::ZERO
    }

    fn bind(&self, _: &Standing<'_>, _: &[u8]) -> Result<(), BadExhibit> {
        Err(BadExhibit("there is no referee".to_owned()))
    }

    fn find(&self, _: &Difference<'_>, _: &[u8]) -> Result<Finding, BadExhibit> {
        Ok(Finding::Undecided)
    }
}
