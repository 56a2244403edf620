//! The two roles that run services, [`Worker`] and [`Verifier`], and the [`Advocate`] that takes their part before the referee.
//!
//! A role is a plain state machine: an event in, steps out; a step's result in, steps out. The driver (one for both)
//! follows the chain, runs steps with bounded concurrency and retries, and drops steps that later events made
//! pointless. No task is spawned: dropping the future of `run` stops everything.
//!
//! What a role must remember, but for a worker's outputs, it derives from its secret seed and from the chain, so a restart needs no disk: `run`
//! again from [`Progress::resume_from`], or from any earlier height; an order from before is looked up. Steps already done are refused by the ledger,
//! which changes nothing.

mod advocate;
mod desk;
mod driver;
mod feed;
mod limits;
mod memory;
mod role;
mod salt;
#[cfg(test)]
mod tests;
mod verifier;
mod worker;

pub use advocate::Advocate;
pub use desk::{Desk, Follower, Shelf};
pub(crate) use driver::{Fresh, feed, within};
pub use driver::{PipelineError, Progress};
pub(crate) use feed::Feed;
pub(crate) use limits::{SUBMIT_WITHIN, TRIES_MAX, pause};
pub(crate) use salt::worker_salt;
pub use verifier::Verifier;
pub use worker::Worker;

use crate::{Blobs, Registry};
use fairweir_types::SecretKey;
use std::sync::Arc;

/// What a role needs besides the chain and a clock.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The kinds that it runs.
    pub registry: Arc<Registry>,
    /// Where specs are that do not travel in their order.
    pub blobs: Arc<dyn Blobs>,
    /// Executions at the same time.
    pub concurrency: usize,
}

/// Who a role is.
#[derive(Clone)]
pub struct Identity {
    /// The key of its account; the chain client must sign with the same.
    pub key: SecretKey,
    /// 32 secret bytes from which salts and nonces are derived. They must survive a restart, and never be shown.
    pub seed: [u8; 32],
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Identity of {}", self.key.address())
    }
}
