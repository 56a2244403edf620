//! Models from machine to machine: who has one serves it, who wants one fetches it.
//!
//! - [`Library`] is what a machine serves: the models of its store that have a licence, each by its id; never a path.
//! - [`holdings`] asks a machine what it has, [`catalogue`](fn@catalogue) many; [`fetch`](fn@fetch) brings a model from whoever has it, and goes on after a kill.
//!
//! A model's id is a digest over its files' SHA-256, which nobody can check before the last byte. So every machine also says the BLAKE3
//! root of each file, against which each slice of 1 MiB is checked when it comes. A root that was a lie costs its liar's turn alone:
//! the whole file is compared with the id before anybody uses it, and another machine is asked.

mod catalogue;
mod fetch;
mod serve;
#[cfg(test)]
mod tests;
mod words;

pub use catalogue::{Catalogue, NoOneModel, OnNetwork, catalogue};
pub use fetch::{FetchError, FetchFailed, Limits, Progress, SOURCES_MAX, fetch, holdings};
pub use serve::Library;
pub use words::{
    AskHoldings, AskSlices, HOLDINGS_MAX, Holding, ShareReply, ShareRequest, SharedFile,
};

use fairweir_net::Protocol;
use std::time::Duration;

/// A machine asks another for models: `ShareRequest` in one frame, `ShareReply` in one, and for slices the frames of them.
/// Numbers 1 and 2 are the node's and the desk's.
pub const SHARE: Protocol = Protocol::new(3);
/// How long a question about models may take.
pub(crate) const ASK_DEADLINE: Duration = Duration::from_secs(20);
/// How long one slice may take: 280 kbit/s.
pub(crate) const SLICE_DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of a question, and of the answer that is no slice.
pub(crate) const REQUEST_BYTES_MAX: usize = 256;
pub(crate) const REPLY_BYTES_MAX: usize = 256 * 1_024;
