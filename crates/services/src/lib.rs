#![doc = include_str!("../README.md")]

pub mod appeal;
mod codec;
pub mod contract;
#[cfg(feature = "inference")]
#[expect(
    clippy::disallowed_types,
    reason = "the exact engine's floats are the same bits on every machine, and its thread has a clock for fairness alone"
)]
pub mod inference;
pub mod pipeline;
mod recompute;
mod registry;
mod service;
pub mod session;
pub mod text;
pub mod world;

#[cfg(any(test, feature = "testing"))]
pub mod laws;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use codec::Passage;
pub use contract::{
    Appraiser, Assignment, Claim, ExecuteError, Execution, Executor, Fault, Judgement, Kind,
    Metered, Served, SpecError, Verifier, Words,
};
pub use recompute::{Recompute, Recomputed};
pub use registry::{NotNow, Registry, known_with};
pub use service::{AnyService, Evidence, Executed, Service, trace_for};
pub use world::{
    BlobError, Blobs, ChainClient, ChainError, Discard, Env, Outlet, OutletClosed, PastOrder,
    Purpose, StopAt,
};
