//! A model that answers conversations, in memory.

use crate::inference::{
    ModelError, ModelRole, chat::CONTEXT_MAX, store::Mapped, template::Template, tokens::Tokens,
};
use fairweir_exact::{gguf, llama, path::Path};

/// Weights, tokeniser and template.
#[derive(Debug)]
pub(crate) struct ChatModel {
    pub(crate) tokens: Tokens,
    /// Models without a template continue texts alone.
    pub(crate) template: Option<Template>,
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
        let tokens = Tokens::of_gguf(&file)?;
        let text_of = |key: &str| {
            let id = file.number(key).and_then(|id| u32::try_from(id).ok());
            id.and_then(|id| tokens.control(id))
                .unwrap_or_default()
                .to_owned()
        };
        let template = file
            .text("tokenizer.chat_template")
            .map(|source| {
                Template::new(
                    source,
                    &text_of("tokenizer.ggml.bos_token_id"),
                    &text_of("tokenizer.ggml.eos_token_id"),
                )
            })
            .transpose()?;
        let model = llama::Model::load(&file, path).map_err(|error| weights(&error))?;
        if model.shape().vocabulary != tokens.len() {
            return Err(ModelError::Weights(format!(
                "they are for {} tokens, the tokeniser has {}",
                model.shape().vocabulary,
                tokens.len()
            )));
        }
        Ok(Self {
            tokens,
            template,
            weights: model,
        })
    }

    /// Tokens of prompt and answer together at most.
    pub(crate) fn context(&self) -> usize {
        self.weights.shape().context.min(CONTEXT_MAX)
    }
}
