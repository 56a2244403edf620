//! The adversary table: what each behaviour costs whoever shows it, at default parameters, over many seeds.
//!
//! A story is told in a small market ([`LedgerChain`] and the real worker, verifier, desk, clerk and ledger) with the governed values of a
//! default genesis. Measured from the ledger's state alone:
//!
//! - **outcome**: what the adversary's accounts (balance, bonded and unbonding stake) changed by since all were registered; for a buyer plus
//!   what it received, at the prices of its lane.
//! - **loss**: the reference less the outcome. The reference is *aside*, zero, for whoever saves the work by cheating: work is taken to be
//!   worth all that it is paid, so honest work earns nothing and every undetected cheat is all gain, the strictest reading. It is the *twin*,
//!   the same story with the same seed and an honest participant, for whoever does all the work and wants more.
//! - **taken**: what honest participants lost against the rules: slashed stake, and any difference between a buyer's balance and its bill
//!   (its own fees, what was settled, what it was awarded), or between an operator's and its own fees. Must be zero. What a planter of faults
//!   ([`crate::byzantine::Planter`]) is slashed for wrong traces is not counted: it lies knowingly.
//! - **slipped**: what an honest buyer paid beyond the right work that it received: the cheats that no sample fell on.
//! - **unpaid**: what an adversary that buys received beyond what its worker was paid: the worker's loss. A worker hands over one chunk ahead of
//!   its pay and then stops, so in no story may it be more than that chunk at the lane's prices. A lane whose cap is one request's keeps too
//!   little for the checks of a batch that is sampled, and its worker pays the rest: at most these checks.
//! - **expected**: the loss by formula ([`Row::formula`]), from parameters, prices and demands of the story, with the fees that were paid:
//!   the adversary's, less its twin's where there is one. Mean and formula are compared story by story; a row holds only if they agree.
//!
//! What it deliberately leaves out: consensus, certificates and nodes (see [`crate::scenarios`]), and any value of work to its buyer
//! beyond its price.

mod books;
mod lanes;
mod ledger_chain;
mod measure;
mod orders;
mod patron;
mod rows;
mod table;
mod town;
mod tricks;

pub(crate) use books::Books;
pub use ledger_chain::{LedgerChain, Pages, Seat};
pub use measure::{Outcome, Summary};
pub(crate) use patron::Patron;
pub use rows::{ALL, Expects, Reference, Row, named};
pub use table::{APART_MAX, COMPARED_FROM, Line, ROUNDING, Verdict, measure};
use town::{Cheats, Town};
