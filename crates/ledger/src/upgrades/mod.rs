//! Changes of rules by plan: which ones this program knows, and what turns the old records into the new.
//!
//! The network votes on a *plan*, by the digest of its text, and on the first block of its rules (`governance`). A program that has the plan goes on at that block: first of all
//! it runs the plan's *migration*, if it has one, on the state that the block before left; the block executes on what that made. A program that does not have it makes and takes
//! no block from there on.
//!
//! - What has run is recorded in the state, by the block in which it did: so it runs once, whoever replays, restarts, or copies the state; and who proposes it again is refused.
//! - A migration sees the state alone, and takes a bounded number of steps. All nodes do the same at the same block.
//! - A migration that fails leaves the state as it was: no block is made of it, and nodes stop before its block. So does one behind which an invariant would not hold that did
//!   before it.
//! - Behind an upgrade the ledger's reading of itself begins anew, for records may say something else now (`audit`).
//! - A program whose state began with rules that it does not know goes no block further, whatever is planned next.
//!
//! It deliberately knows no way back, and no migration in parts: what is too much for one block is done bit by bit by the new rules.

mod begin;
mod error;
mod migrating;
mod plan;
mod plans;
mod records;

#[cfg(test)]
mod tests;

pub use begin::check;
pub(crate) use begin::{Begun, begin};
pub use error::MigrationError;
pub use migrating::{Entry, Migrating};
pub use plan::{Migration, Plan, Plans};
pub use plans::PLANS;
pub(crate) use records::{check_plan, plan_upgrade};
pub use records::{has_begun, report};
