#![doc = include_str!("../README.md")]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::expect_used,
        clippy::panic,
        clippy::float_arithmetic,
        clippy::as_conversions,
        clippy::iter_over_hash_type,
        clippy::let_underscore_must_use
    )
)]

pub mod appeals;
pub mod audit;
pub mod bank;
pub mod candidates;
pub mod catalogue;
pub mod delegates;
mod envelope;
mod execution;
pub mod export;
mod fault;
mod genesis;
pub mod governance;
pub mod invariants;
mod keys;
pub mod market;
pub mod params;
pub mod referee;
pub mod refusal;
pub mod registry;
pub mod relations;
pub mod report;
pub mod secured;
pub mod sessions;
pub mod stake;
mod state;
mod totals;
pub mod upgrades;
pub mod validators;
pub mod verification;

pub use envelope::{EnvelopeError, check_envelope};
pub use execution::{BlockContext, BlockError, BlockOutcome, BuiltBlock, apply_block, build_block};
pub use fault::Fault;
pub use genesis::genesis_writes;
pub use params::Params;
pub use refusal::Refusal;
pub use state::{MemoryState, Overlay, State, Writes};
pub use totals::Totals;
