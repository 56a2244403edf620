//! What a request for an answer comes to, chat or completion.

use super::sampling::Sampling;
use crate::{error::ApiError, market::Model};
use fairweir_services::inference::chat::{ChatSpec, Parameters, Prompt};
use fairweir_types::{Digest, digest::Domain};

/// Tokens of an answer when the client does not say: as far as they fit.
const TOKENS_DEFAULT: u32 = 1_024;
/// Answers of one request, to all of its prompts.
pub(crate) const ANSWERS_MAX: usize = 32;
/// Tokens that a template adds to a conversation, for a guess.
const TEMPLATE_TOKENS: usize = 64;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskKind {
    Chat,
    Completion,
}

/// How many tokens a client wants at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokensMax {
    /// It said so.
    Asked(u32),
    /// As many as fit, up to a usual number.
    Fitting,
}

/// A request for answers.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// The blob digest of its body.
    pub(crate) request: Digest,
    pub(crate) kind: AskKind,
    pub(crate) model: String,
    pub(crate) prompts: Vec<Prompt>,
    /// Answers to each prompt.
    pub(crate) choices: usize,
    pub(crate) tokens_max: TokensMax,
    pub(crate) sampling: Sampling,
    pub(crate) seed: [u8; 32],
    /// Whether the prompt comes back in front of the answer.
    pub(crate) echo: bool,
    /// Whether the client wants the logarithms of probabilities; the engine may be asked for them all the same.
    pub(crate) wants_logprobs: bool,
    pub(crate) is_stream: bool,
    pub(crate) wants_usage: bool,
}

impl Ask {
    /// The parameter that holds the prompt.
    pub(crate) const fn prompt_param(&self) -> &'static str {
        match self.kind {
            AskKind::Chat => "messages",
            AskKind::Completion => "prompt",
        }
    }

    /// Whether the client wants the prompt alone: `max_tokens` 0 with `echo`. One token is made all the same, and kept back.
    pub(crate) const fn is_echo_alone(&self) -> bool {
        matches!(self.tokens_max, TokensMax::Asked(0))
    }

    /// The tokens to order for a prompt of so many tokens (if that is known), or the error that it does not fit.
    pub(crate) fn tokens_for(
        &self,
        model: &Model,
        prompt: &Prompt,
        counted: Option<u32>,
    ) -> Result<u32, ApiError> {
        let context = model.context;
        let what = match self.kind {
            AskKind::Chat => "messages",
            AskKind::Completion => "prompt",
        };
        let asked = match self.tokens_max {
            TokensMax::Asked(asked) => Some(asked.max(1)),
            TokensMax::Fitting => None,
        };
        if asked.is_some_and(|asked| asked >= context) {
            let asked = asked.unwrap_or_default();
            return Err(ApiError::context(
                "max_tokens",
                format!(
                    "This model's maximum context length is {context} tokens. However, you requested {asked} tokens for the completion alone."
                ),
            ));
        }
        let Some(counted) = counted else {
            let left = usize::try_from(context)
                .unwrap_or(usize::MAX)
                .saturating_sub(guess(prompt));
            let left = u32::try_from(left).unwrap_or(u32::MAX);
            return Ok(asked.unwrap_or_else(|| left.clamp(1, TOKENS_DEFAULT)));
        };
        let left = context.saturating_sub(counted);
        if left == 0 {
            return Err(ApiError::context(
                self.prompt_param(),
                format!(
                    "This model's maximum context length is {context} tokens. However, your {what} resulted in {counted} tokens. Please reduce the length of the {what}."
                ),
            ));
        }
        match asked {
            Some(asked) if asked > left => Err(ApiError::context(
                self.prompt_param(),
                format!(
                    "This model's maximum context length is {context} tokens. However, you requested {} tokens ({counted} in the {what}, {asked} in the completion). Please reduce the length of the {what} or completion.",
                    u64::from(counted).saturating_add(u64::from(asked))
                ),
            )),
            Some(asked) => Ok(asked),
            None => Ok(left.min(TOKENS_DEFAULT)),
        }
    }

    /// How tokens are chosen.
    pub(crate) fn parameters(&self, tokens_max: u32) -> Parameters {
        self.sampling.parameters(tokens_max)
    }

    /// Whether an order of so many tokens is what the client asked for: one token is made where it wants none.
    pub(crate) fn allows(&self, tokens_max: u32) -> bool {
        match self.tokens_max {
            TokensMax::Asked(asked) => tokens_max == asked.max(1),
            TokensMax::Fitting => tokens_max <= TOKENS_DEFAULT,
        }
    }

    /// The seed of one of several answers; the first has the seed itself.
    pub(crate) fn seed_of(&self, index: usize) -> [u8; 32] {
        if index == 0 {
            return self.seed;
        }
        let index = u64::try_from(index).unwrap_or(u64::MAX);
        Digest::of(
            Domain::KeyDerivation,
            &[b"openai choice", &self.seed, &index.to_le_bytes()],
        )
        .0
    }

    /// The spec of an answer: number `choice` to a prompt.
    pub(crate) fn spec(
        &self,
        model: &Model,
        prompt: Prompt,
        counted: Option<u32>,
        (index, tokens_max): (usize, u32),
    ) -> Result<ChatSpec, ApiError> {
        let (parameters, seed) = (self.parameters(tokens_max), self.seed_of(index));
        let spec = ChatSpec::new(model.id, prompt, parameters, seed)
            .map_err(|error| ApiError::internal(error.to_string()))?;
        // What is held back for the order follows from it.
        Ok(match counted {
            Some(counted) => spec.with_prompt_tokens(counted),
            None => spec,
        })
    }
}

/// Tokens that a prompt has at most, but for what a strange template adds.
fn guess(prompt: &Prompt) -> usize {
    match prompt {
        Prompt::Messages(conversation) => conversation
            .messages
            .as_str()
            .len()
            .saturating_add(conversation.tools.as_str().len())
            .saturating_add(TEMPLATE_TOKENS),
        Prompt::Text(text) => text.as_str().len().saturating_add(1),
        Prompt::Tokens(tokens) => tokens.len(),
    }
}

/// The seed that a client's number stands for, so that equal numbers give equal answers.
pub(crate) fn seed_of_number(number: i64) -> [u8; 32] {
    Digest::of(
        Domain::KeyDerivation,
        &[b"openai seed", &number.to_le_bytes()],
    )
    .0
}

/// A fresh seed.
pub(crate) fn random_seed() -> Result<[u8; 32], ApiError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|_| ApiError::internal("the operating system gave no randomness"))?;
    Ok(seed)
}
