//! Sessions off the ledger: what a worker does for the requests of its lanes, what its buyer keeps count of, and how verifiers check a batch.
//!
//! - [`Lanes`] is the worker's desk for requests: it admits one when its credit covers it, runs it, and keeps what it has to show later.
//! - [`Clerk`] is the worker's business with the ledger: it posts batches, shows the leaves that were drawn, and opens them.
//! - [`LaneAccount`] is the buyer's side of a lane: numbers, vouchers and credit, at most one chunk ahead (protocol rule 6).
//!
//! - [`hash_chain`] is what a verifier commits to when it enrols: its links decide, with the beacon, what is drawn.
//!
//! What a worker shows of a batch its drawn verifiers alone can read ([`seal_key`]).
//!
//! It deliberately does not know what a request means, and draws no randomness: salts follow from the worker's seed.

mod account;
mod chains;
pub(crate) mod check;
mod clerk;
mod lanes;
pub(crate) mod seal;
mod serve;
#[cfg(test)]
mod tests;

pub use account::{AccountError, CREDIT_CHUNK, LaneAccount, LaneTerms, Mark};
pub use chains::{LINKS, hash_chain, link_due};
pub use clerk::{Clerk, ClerkOptions};
pub use lanes::{AskError, Lanes, Served};
pub use seal::seal_key;
pub use serve::Running;
