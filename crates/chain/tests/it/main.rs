//! The chain under the deterministic runtime: the same wiring as in production, virtual time, storage in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod blobs;
mod copied;
#[cfg(feature = "testing")]
mod double_votes;
mod epochs;
mod follow;
mod four;
mod harness;
mod light;
mod mempool;
mod pruning;
mod restart;
mod single;
mod state_proofs;
mod state_sync;
mod upgrades;
