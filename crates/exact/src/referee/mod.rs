//! The referee: settles a dispute about a run by computing one cell of it.
//!
//! Two who disagree about the end of a run disagree about all that it computed, from some cell on. Each writes its whole run down as a
//! [`tree`] over everything: the model's file, the reading of its head, the prompt, and every value of the forward pass in the order
//! in which they follow from each other, down to the sampler's choice and the trace. They find their leftmost difference by opening node
//! after node. All that this cell follows from is to the left of it, where they agree. So whoever is shown those few values can compute
//! the cell, with the functions of this crate that the engine computes it with, and say who is wrong.
//!
//! - **The model** is named by the SHA-256 of its file, of which no part can be proven alone. So the file is read from its end to its start:
//!   each value is a state of the hash and the bytes behind it, which together must give the state of the value before it. Whoever claims other
//!   bytes anywhere has found a collision.
//! - **Where weights are** says the file's head, which is read in steps of a window each.
//! - **Attention** is split into scores of sixteen positions, what all positions weigh, and mixed values after each sixteen positions.
//!
//! Which run is whose says its `ends`: a trace is made of an output, and the output of the last values of a run.
//!
//! What it cannot decide, and says so ([`Finding::Undecided`]): which tokens a text is, where an answer ends other than at its limit, choices
//! under a mask, and what is written from the tokens. These rest on the tokeniser, which is not part of a run yet.
//!
//! Costs are linear in the bytes that are shown, but for a sort of the logits; [`FUEL_MAX`] bounds them besides. Whatever is shown, the answer is a finding or an error.

mod compute;
mod decide;
mod ends;
mod file;
mod head;
mod record;
mod rows;
#[cfg(test)]
mod tests;
pub mod tree;

pub use decide::{Finding, Question, decide};
pub use ends::{Ends, ends};
pub use head::{Head, WINDOW};
pub use record::{Exhibits, Recording, Run, Shown};
pub use rows::{Order, Value};

use crate::linear::WeightError;
use thiserror::Error;
use tree::Section;

/// Bytes of the file in one value, besides the state of its hash.
pub const PIECE: usize = 16 * 1024;
/// Multiplications that one decision may take: some milliseconds.
pub const FUEL_MAX: u64 = 1 << 26;
/// Values that a run may have, so that a recording fits memory: half a gigabyte of digests.
pub const VALUES_MAX: usize = 1 << 24;

/// Why there is no finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RefereeError {
    /// What the cell follows from is not all there.
    #[error("value {index} of {section:?} is not shown")]
    NotShown {
        /// Where.
        section: Section,
        /// Which.
        index: usize,
    },
    /// The place is no cell: the game is not at its end.
    #[error("the place is not a cell")]
    NotACell,
    /// A value has not the size that it must have.
    #[error("a value has another size than it must have")]
    Size,
    /// What is shown of the file is not its content.
    #[error("what is shown of the file is not its content")]
    File,
    /// The file's head does not say what is needed, or the reading of it is not at its end.
    #[error("the reading of the file's head says too little")]
    Head,
    /// A number is infinite, or none.
    #[error("a number is not finite")]
    NotFinite,
    /// Weights cannot be used.
    #[error("the weights cannot be used")]
    Weights(#[from] WeightError),
    /// It would take more than [`FUEL_MAX`].
    #[error("it takes too long")]
    Fuel,
    /// The run has more than [`VALUES_MAX`] values.
    #[error("the run is too long to be written down")]
    TooLong,
}
