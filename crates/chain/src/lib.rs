#![doc = include_str!("../README.md")]

mod application;
mod blobs;
mod block;
mod compact;
mod config;
mod consensus;
mod double_votes;
mod engine;
mod epochs;
mod error;
mod follow;
mod format;
mod genesis;
mod gossip;
mod handle;
mod handovers;
pub mod light;
mod mempool;
mod pacing;
mod qmdb;
mod records;
mod replica;
mod state;
mod state_proof;
mod state_server;
mod state_sync;
mod submissions;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tip;
pub mod transport;
mod upgrade;
mod watched;
mod wiring;

pub use application::root_of;
pub use blobs::{BlobShelf, SoughtBlob};
pub use block::{BLOCK_BYTES_MAX, HEADER_BYTES_MAX};
pub use config::{ChainConfig, HEARTBEAT_MAX, MempoolLimits, SimulatedMachine, SyncMode};
pub use engine::{ChainTask, Ended, Runtime, copy_state, follow, message_bytes_max, open, start};
pub use error::{ReadError, StartError, StoreError, SubmitError, WaitError};
pub use follow::{BadPart, Forwarded, Source, SourceBlock, StateAnswer};
pub use format::STORE_FORMAT;
pub use handle::{ChainHandle, FinalisedBlock, IncludedTx, Subscription};
pub use state_sync::SyncProgress;
pub use tip::Tip;
pub use upgrade::{StopReason, UpgradeStop};
