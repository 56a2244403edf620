//! Engines: one per model and process, shared by every role in it.

mod answer;
mod batch;
mod chat_engine;
mod chat_model;
mod cores;
mod embedding_engine;
mod pool;
mod room;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use answer::{AnswerError, Question};
pub use chat_engine::ChatEngine;
pub(crate) use chat_model::ChatModel;
pub use cores::{Cores, CoresError, ReserveError};
pub use embedding_engine::EmbeddingEngine;
pub use pool::EngineThreads;
pub use room::{Engines, EnginesOptions};
