//! What OpenAI's API says: requests checked and turned into specs, outputs turned into its JSON.

mod answer;
mod ask;
mod chat;
mod completion;
mod embedding;
mod events;
mod fields;
mod likelihood;
mod sampling;

pub(crate) use answer::{
    Answering, Settled, chat_body, completion_body, embedding_body, model, models, number_bytes,
    random_name, receipt_id,
};
pub(crate) use ask::{ANSWERS_MAX, Ask, AskKind};
pub(crate) use chat::chat;
pub(crate) use completion::completion;
pub(crate) use embedding::{EmbeddingAsk, embedding};
pub(crate) use events::Events;
