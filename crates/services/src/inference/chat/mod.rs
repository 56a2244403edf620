//! The kind *chat*: a model's answer to a conversation, or its continuation of a text.
//!
//! The answer is a pure function of the spec on every machine: the spec names the model by the digests of its files (tokeniser and
//! template are fields of them), the version of engine and rules, the parameters, and a seed; the draw for token `t` is `H(seed ‖ t)`.
//! The one thing from outside is where the buyer stopped it, which the buyer signs.
//!
//! Units: input is tokens of the prompt, and of an answer's beginning that the buyer had already; output is tokens made. Cached input is not charged apart: whether a worker still had the
//! prompt's keys and values is its own business, and not checkable.

mod execute;
mod order;
mod output;
mod reader;
pub mod referee;
#[cfg(test)]
mod tests;

pub use execute::Engine;
pub(in crate::inference) use execute::check_model;
pub use order::{
    BIASES_MAX, Bias, ChatSpec, Conversation, Format, Micro, PROMPT_BYTES_MAX, ParameterError,
    Parameters, Prompt, STOP_BYTES_MAX, STOPS_MAX, TOP_LOGPROBS_MAX,
};
pub use output::{ChatChunk, ChatOutput, Finish, Likelihood, TokenLikelihood};

#[cfg(test)]
use super::ModelId;
pub use reader::PromptReader;

use super::Models;
use crate::{
    AnyService, Metered, Recompute, Service,
    contract::{Kind, SpecError},
};
use fairweir_types::order::{Demand, KindId};
use std::sync::Arc;

/// The version of the rules here, a byte, and of the engine's arithmetic, a byte.
pub const VERSION: u16 = (1 << 8) | fairweir_exact::ENGINE_VERSION;
/// Tokens of prompt and answer together at most, whatever the model.
pub const CONTEXT_MAX: usize = 16_384;

const _: () = assert!(
    CONTEXT_MAX * 4 <= fairweir_types::limits::HINT_BYTES_MAX,
    "the ids of an answer fit the hint"
);
const _: () = assert!(
    fairweir_exact::ENGINE_VERSION < 256,
    "it has a byte of the version"
);

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Chat;

impl Kind for Chat {
    const ID: KindId = KindId(2);
    const VERSION: u16 = 1;
    const NAME: &'static str = "chat";
    const HOLDS_AT_CREDIT: bool = true;
    const SPEC_BYTES_MAX: usize = 2 * PROMPT_BYTES_MAX + 64 * 1_024;
    type Spec = ChatSpec;
    type Output = ChatOutput;

    fn demand(spec: &ChatSpec) -> Result<Demand, SpecError> {
        order::demand(spec)
    }
}

/// The kind with the models that this machine has.
#[must_use]
pub fn service(models: Arc<dyn Models>) -> Arc<dyn AnyService> {
    let engine = Engine::new(models);
    let parts = (engine.clone(), Recompute(engine.clone()), Metered);
    let service = Service::<Chat, _, _, _>::new(parts.0, parts.1, parts.2);
    Arc::new(service.with_recorder(Arc::new(engine)))
}
