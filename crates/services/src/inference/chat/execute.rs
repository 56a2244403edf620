use super::{Chat, ChatOutput, ChatSpec, Prompt};
use crate::{
    contract::{ExecuteError, Execution, Executor, SpecError},
    inference::{
        ModelError, Models,
        engine::{AnswerError, ChatModel, Question},
        store::Mapped,
    },
    world::{Env, Outlet},
};
use commonware_codec::Encode;
use fairweir_exact::path::Path;
use fairweir_types::{Units, order::UnitVector};
use std::sync::Arc;

/// Bytes that a rendered conversation may have beyond its messages.
const RENDERED_BYTES_MAX: usize = 2 * super::PROMPT_BYTES_MAX;
/// Messages of one conversation.
const MESSAGES_MAX: usize = 4_096;

/// Runs the kind with the models of this machine.
#[derive(Clone, Debug)]
pub struct Engine {
    models: Arc<dyn Models>,
}

impl Engine {
    /// With these models.
    #[must_use]
    pub fn new(models: Arc<dyn Models>) -> Self {
        Self { models }
    }
}

/// Whether a chat model can be used: everything that running it needs is read.
pub(in crate::inference) fn check_model(mapped: &Mapped) -> Result<(), ModelError> {
    ChatModel::load(mapped, Path::best()).map(drop)
}

fn refused(reason: impl core::fmt::Display) -> ExecuteError {
    ExecuteError::Refused(SpecError::Refused(reason.to_string()))
}

/// A JSON array of messages, each an object with a role; whatever else the template makes of them.
fn messages(text: &str) -> Result<serde_json::Value, ExecuteError> {
    let messages: serde_json::Value = serde_json::from_str(text).map_err(refused)?;
    let list = messages
        .as_array()
        .ok_or_else(|| refused("messages are no array"))?;
    if list.is_empty() || list.len() > MESSAGES_MAX {
        return Err(refused("there must be between 1 and 4096 messages"));
    }
    let has_role = |message: &serde_json::Value| {
        message
            .get("role")
            .is_some_and(serde_json::Value::is_string)
    };
    if list.iter().all(has_role) {
        Ok(messages)
    } else {
        Err(refused("a message has no role"))
    }
}

/// The prompt's token ids, as the model's file says.
fn tokens(model: &ChatModel, prompt: &Prompt) -> Result<Vec<u32>, ExecuteError> {
    match prompt {
        Prompt::Tokens(tokens) => {
            let vocabulary = model.tokens.len();
            let is_known = |id: &u32| usize::try_from(*id).is_ok_and(|id| id < vocabulary);
            if !tokens.iter().all(is_known) {
                return Err(refused(format!("a token id is not below {vocabulary}")));
            }
            Ok(tokens.as_slice().to_vec())
        }
        Prompt::Text(text) => model.tokens.encode(text.as_str(), false).map_err(refused),
        Prompt::Messages(conversation) => {
            let template = model.template.as_ref().ok_or_else(|| {
                refused("the model has no chat template, it continues texts alone")
            })?;
            let messages = messages(conversation.messages.as_str())?;
            let tools: Option<serde_json::Value> = match conversation.tools.as_str() {
                "" => None,
                tools => Some(serde_json::from_str(tools).map_err(refused)?),
            };
            let text = template
                .render(&messages, tools.as_ref(), RENDERED_BYTES_MAX)
                .map_err(refused)?;
            model.tokens.encode(&text, true).map_err(refused)
        }
    }
}

/// The worker's token ids, of which each is checked; a hint that is none is no draft.
fn draft(hint: &[u8], vocabulary: usize) -> Vec<u32> {
    hint.chunks_exact(4)
        .filter_map(|bytes| bytes.try_into().ok().map(u32::from_le_bytes))
        .take_while(|id| usize::try_from(*id).is_ok_and(|id| id < vocabulary))
        .collect()
}

fn hint(output: &ChatOutput) -> Vec<u8> {
    output
        .tokens
        .iter()
        .flat_map(|id| id.to_le_bytes())
        .collect()
}

impl Executor<Chat> for Engine {
    async fn execute(
        &self,
        env: &Env<'_>,
        spec: &ChatSpec,
        outlet: &mut dyn Outlet,
    ) -> Result<Execution<ChatOutput>, ExecuteError> {
        let engine = self
            .models
            .chat(spec.model())
            .map_err(|error| ExecuteError::Engine(error.to_string()))?;
        let model = engine.model();
        let prompt = tokens(model, spec.prompt())?;
        let parameters = spec.parameters();
        let most = usize::try_from(parameters.tokens_max).unwrap_or(usize::MAX);
        if prompt.is_empty() {
            return Err(refused("the prompt is empty"));
        }
        if prompt.len().saturating_add(most) > model.context() {
            return Err(refused(format!(
                "the prompt has {} tokens and {most} are asked for, the model takes {} together",
                prompt.len(),
                model.context()
            )));
        }
        let input = Units(u64::try_from(prompt.len()).unwrap_or(u64::MAX));
        if input > env.limits.units.input {
            return Err(refused("the prompt has more tokens than the order allows"));
        }
        let question = Question {
            prompt,
            draft: draft(env.hint, model.tokens.len()),
            parameters: parameters.clone(),
            seed: spec.seed(),
            origin: spec.encode().to_vec(),
            purpose: env.purpose,
            stop: env.stop.clone(),
        };
        let answered = engine
            .answer(question, outlet)
            .await
            .map_err(|error| match error {
                AnswerError::Refused(reason) => refused(reason),
                AnswerError::Failed(reason) => ExecuteError::Engine(reason),
            })?;
        let output = answered.output;
        let units = UnitVector {
            input,
            output: Units(u64::try_from(output.tokens.len()).unwrap_or(u64::MAX)),
            ..UnitVector::default()
        };
        Ok(Execution {
            hint: hint(&output),
            units,
            stopped_at: answered.stopped_at.map(Units),
            output,
        })
    }
}
