//! A model that answers conversations, in memory.

use crate::inference::{ModelError, ModelRole, chat::PromptReader, store::Mapped};
use fairweir_exact::{gguf, llama, path::Path};

/// Weights, and what reads prompts for them.
#[derive(Debug)]
pub(crate) struct ChatModel {
    pub(crate) reader: PromptReader,
    pub(crate) weights: llama::Model,
}

impl ChatModel {
    /// Reads a mapped GGUF file.
    pub(crate) fn load(mapped: &Mapped, path: Path) -> Result<Self, ModelError> {
        Self::of_bytes(mapped.file(ModelRole::Gguf)?, path)
    }

    /// Reads the bytes of a GGUF file.
    pub(crate) fn of_bytes(bytes: &[u8], path: Path) -> Result<Self, ModelError> {
        let weights = |error: &dyn core::fmt::Display| ModelError::Weights(error.to_string());
        let file = gguf::File::parse(bytes).map_err(|error| weights(&error))?;
        let reader = PromptReader::of_gguf(&file)?;
        let model = llama::Model::load(&file, path).map_err(|error| weights(&error))?;
        if model.shape().vocabulary != reader.vocabulary() {
            return Err(ModelError::Weights(format!(
                "they are for {} tokens, the tokeniser has {}",
                model.shape().vocabulary,
                reader.vocabulary()
            )));
        }
        Ok(Self {
            reader,
            weights: model,
        })
    }
}
