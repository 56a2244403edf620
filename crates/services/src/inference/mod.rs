//! Inference: the kinds [`chat`] (messages or text in, text out) and [`embedding`] (texts in, vectors out), run by the exact
//! engine, whose results are the same bits on every machine.
//!
//! - [`model`] is what a model is: its files and its id. [`store`] keeps models on disk and in memory, each once.
//!   [`share`] fetches them from other machines, and serves them.
//! - [`tokens`], [`encoder_tokens`] and [`template`] turn a conversation into token ids as the model's own file says; [`json`] keeps answers in
//!   JSON mode well formed.
//! - [`engine`] runs answers and checks of one model together, step by step.
//!
//! A check is the same run with a *draft*: the worker's token ids. The engine takes many of them in one step, as long as each is what
//! it chooses itself, so a check costs a prefill in place of a decode; and a false draft costs time but changes nothing.

pub mod chat;
pub mod embedding;
pub mod encoder_tokens;
pub mod engine;
pub mod json;
pub mod model;
pub mod share;
pub mod store;
pub mod template;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tokens;

pub use engine::{Cores, CoresError, EngineThreads, Engines, EnginesOptions, ReserveError};
pub use model::{ModelError, ModelFile, ModelId, ModelInfo, ModelRole};
pub use store::{ModelStore, Models, NoModels, licence_of, measure};
