use super::{CONTEXT_MAX, Conversation, PROMPT_BYTES_MAX, Prompt};
use crate::inference::{
    ModelError, ModelId, ModelRole, ModelStore, template::Template, tokens::Tokens,
};
use fairweir_exact::gguf;

/// Bytes of a rendered conversation at most.
const RENDERED_BYTES_MAX: usize = 2 * PROMPT_BYTES_MAX;
/// Messages of one conversation.
const MESSAGES_MAX: usize = 4_096;

/// The part of a model's file that reads prompts: tokeniser and template, without the weights.
#[derive(Debug)]
pub struct PromptReader {
    pub(in crate::inference) tokens: Tokens,
    /// Models without a template continue texts alone.
    template: Option<Template>,
    context: usize,
}

impl PromptReader {
    /// Reads it from a GGUF file.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn of_gguf(file: &gguf::File<'_>) -> Result<Self, ModelError> {
        let tokens = Tokens::of_gguf(file)?;
        let text_of = |key: &str| {
            let id = file.number(key).and_then(|id| u32::try_from(id).ok());
            let text = id.and_then(|id| tokens.control(id));
            text.unwrap_or_default().to_owned()
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
        let context = file
            .number("llama.context_length")
            .and_then(|context| usize::try_from(context).ok())
            .unwrap_or(CONTEXT_MAX);
        Ok(Self {
            tokens,
            template,
            context: context.min(CONTEXT_MAX),
        })
    }

    /// Reads it for a model of a store, whose bytes are not compared: a wrong count costs money, not correctness.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn open(store: &ModelStore, id: ModelId) -> Result<Self, ModelError> {
        let mapped = store.map_unchecked(id)?;
        let file = gguf::File::parse(mapped.file(ModelRole::Gguf)?)
            .map_err(|error| ModelError::Weights(error.to_string()))?;
        Self::of_gguf(&file)
    }

    /// Tokens of prompt and answer together at most.
    #[must_use]
    pub const fn context(&self) -> usize {
        self.context
    }

    /// How many tokens the model knows.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.tokens.len()
    }

    /// The prompt's token ids, as the model's file says.
    ///
    /// # Errors
    /// [`ModelError`] for what the model cannot take, on any machine.
    pub fn tokens(&self, prompt: &Prompt) -> Result<Vec<u32>, ModelError> {
        match prompt {
            Prompt::Tokens(tokens) => {
                let vocabulary = self.vocabulary();
                let is_known = |id: &u32| usize::try_from(*id).is_ok_and(|id| id < vocabulary);
                if tokens.iter().all(is_known) {
                    Ok(tokens.as_slice().to_vec())
                } else {
                    Err(bad(&format!("a token id is not below {vocabulary}")))
                }
            }
            Prompt::Text(text) => self.tokens.encode(text.as_str(), false),
            Prompt::Messages(conversation) => self.conversation(conversation),
        }
    }

    fn conversation(&self, conversation: &Conversation) -> Result<Vec<u32>, ModelError> {
        let template = self.template.as_ref().ok_or_else(|| {
            ModelError::Template("the model has none, it continues texts alone".to_owned())
        })?;
        let messages = messages(conversation.messages.as_str())?;
        let tools: Option<serde_json::Value> = match conversation.tools.as_str() {
            "" => None,
            tools => Some(serde_json::from_str(tools).map_err(|error| bad(&error))?),
        };
        let text = template.render(&messages, tools.as_ref(), RENDERED_BYTES_MAX)?;
        self.tokens.encode(&text, true)
    }
}

fn bad(reason: &dyn core::fmt::Display) -> ModelError {
    ModelError::Prompt(reason.to_string())
}

/// A JSON array of messages, each an object with a role; whatever else the template makes of them.
fn messages(text: &str) -> Result<serde_json::Value, ModelError> {
    let messages: serde_json::Value = serde_json::from_str(text).map_err(|error| bad(&error))?;
    let list = messages
        .as_array()
        .ok_or_else(|| bad(&"messages are no array"))?;
    if list.is_empty() || list.len() > MESSAGES_MAX {
        return Err(bad(&"there must be between 1 and 4096 messages"));
    }
    let has_role = |message: &serde_json::Value| {
        message
            .get("role")
            .is_some_and(serde_json::Value::is_string)
    };
    if list.iter().all(has_role) {
        Ok(messages)
    } else {
        Err(bad(&"a message has no role"))
    }
}
