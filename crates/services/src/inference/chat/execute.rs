use super::{Chat, ChatOutput, ChatSpec};
use crate::{
    contract::{ExecuteError, Execution, Executor, SpecError},
    inference::{
        ModelError, Models,
        engine::{AnswerError, ChatEngine, ChatModel, Question},
        store::Mapped,
    },
    world::{Env, Outlet},
};
use commonware_codec::Encode;
use fairweir_exact::path::Path;
use fairweir_types::Units;
use std::sync::Arc;

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

    pub(super) fn models(&self) -> &dyn Models {
        self.models.as_ref()
    }
}

/// An execution with what it was made from.
pub(super) struct Made {
    pub(super) engine: Arc<ChatEngine>,
    pub(super) prompt: Vec<u32>,
    pub(super) execution: Execution<ChatOutput>,
    /// The token that ended the answer, where one did.
    pub(super) ending: Option<u32>,
}

/// Whether a chat model can be used: everything that running it needs is read.
pub(in crate::inference) fn check_model(mapped: &Mapped) -> Result<(), ModelError> {
    ChatModel::load(mapped, Path::best()).map(drop)
}

fn refused(reason: impl core::fmt::Display) -> ExecuteError {
    ExecuteError::Refused(SpecError::Refused(reason.to_string()))
}

/// What is computed at once and checked token by token: the ids that the worker gives as its hint, or those that the buyer has.
fn draft(hint: &[u8], given: &[u32], vocabulary: usize) -> Vec<u32> {
    let hinted = hint
        .chunks_exact(4)
        .filter_map(|bytes| bytes.try_into().ok().map(u32::from_le_bytes));
    let ids: Vec<u32> = if hint.is_empty() {
        given.to_vec()
    } else {
        hinted.collect()
    };
    let is_id = |id: &u32| usize::try_from(*id).is_ok_and(|id| id < vocabulary);
    ids.into_iter().take_while(is_id).collect()
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
        Ok(self.make(env, spec, outlet).await?.execution)
    }
}

impl Engine {
    pub(super) async fn make(
        &self,
        env: &Env<'_>,
        spec: &ChatSpec,
        outlet: &mut dyn Outlet,
    ) -> Result<Made, ExecuteError> {
        let engine = self
            .models
            .chat(spec.model())
            .map_err(|error| ExecuteError::Engine(error.to_string()))?;
        let model = engine.model();
        let reader = &model.reader;
        let prompt = reader.tokens(spec.prompt()).map_err(refused)?;
        let parameters = spec.parameters();
        let most = usize::try_from(parameters.tokens_max).unwrap_or(usize::MAX);
        if prompt.is_empty() {
            return Err(refused("the prompt is empty"));
        }
        if prompt.len().saturating_add(most) > reader.context() {
            return Err(refused(format!(
                "the prompt has {} tokens and {most} are asked for, the model takes {} together",
                prompt.len(),
                reader.context()
            )));
        }
        let input = Units(u64::try_from(prompt.len()).unwrap_or(u64::MAX));
        if input.get() > u64::from(spec.prompt_tokens_max()) {
            return Err(refused(format!(
                "the prompt has {input} tokens, the order is for {}",
                spec.prompt_tokens_max()
            )));
        }
        let question = Question {
            prompt: prompt.clone(),
            draft: draft(env.hint, spec.draft(), reader.vocabulary()),
            given: spec.draft().to_vec(),
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
        let ending = answered.ending;
        let output = answered.output;
        let units = spec.units(prompt.len(), output.tokens.as_slice());
        let execution = Execution {
            hint: hint(&output),
            units,
            stopped_at: answered.stopped_at.map(Units),
            output,
        };
        Ok(Made {
            engine,
            prompt,
            execution,
            ending,
        })
    }
}
