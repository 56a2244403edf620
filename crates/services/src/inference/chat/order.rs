use super::{CONTEXT_MAX, VERSION};
use crate::{
    Passage,
    codec::{choice, newtype, record, tag},
    contract::SpecError,
    inference::ModelId,
};
use commonware_codec::EncodeSize;
use fairweir_types::{
    BoundedBytes, BoundedVec, ByteCount, LengthError, Millis, Units,
    order::{Demand, UnitVector},
};
use thiserror::Error;

/// Bytes of messages, tools or text that one order may hand in.
pub const PROMPT_BYTES_MAX: usize = 512 * 1_024;
/// Tokens that a template may add to a conversation besides its own bytes: role names, turns and a standard instruction.
const TEMPLATE_TOKENS_MAX: usize = 1_024;
/// Stop texts of one order, and bytes of each.
pub const STOPS_MAX: usize = 16;
/// Bytes of one stop text.
pub const STOP_BYTES_MAX: usize = 256;
/// Biased tokens of one order.
pub const BIASES_MAX: usize = 1_024;
/// Alternatives whose probability is told for each token, as many as OpenAI's API gives.
pub const TOP_LOGPROBS_MAX: u8 = 20;
/// Time that every order gets, however short.
const TIME_BASE_MS: u64 = 60_000;
/// Time for each token of the answer: what a small machine needs with a hundred answers at once.
const TIME_PER_TOKEN_MS: u64 = 500;
/// Prompt tokens for each millisecond, likewise.
const PROMPT_TOKENS_PER_MS_DIVISOR: u64 = 20;
/// The longest time that an order may take: ten minutes.
const TIME_MAX_MS: u64 = 600_000;
/// Memory for each position: keys and values of the models of today.
const MEMORY_PER_POSITION: u64 = 64 * 1_024;
/// The most memory that an order states.
const MEMORY_MAX: u64 = 1 << 30;
/// Output bytes for each token: its text, its id and its part of the encoding.
const BYTES_PER_TOKEN: u64 = 64;
/// Output bytes for each probability that is told with a token.
const BYTES_PER_LOGPROB: u64 = 48;
/// Output bytes besides.
const BYTES_BASE: u64 = 4_096;

/// Millionths: temperature 0.7 is 700,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micro(pub i32);
newtype!(Micro(i32));

impl Micro {
    /// One.
    pub const ONE: Self = Self(1_000_000);

    /// The nearest to a number.
    #[must_use]
    pub fn nearest(number: f64) -> Self {
        // Within ±2147, which covers every parameter; the cast saturates beyond.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates, and is checked against the parameter's range"
        )]
        let micro = (number * 1e6).round() as i32;
        Self(micro)
    }

    /// The nearest single-precision number: the quotient is rounded once to double, once to single precision.
    #[must_use]
    pub fn to_f32(self) -> f32 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to single precision is meant"
        )]
        let number = (f64::from(self.0) / 1e6) as f32;
        number
    }
}

/// What the answer continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// A conversation, rendered by the model's own template.
    Messages(Conversation),
    /// A text, continued as it is.
    Text(Passage<PROMPT_BYTES_MAX>),
    /// Token ids, continued as they are.
    Tokens(BoundedVec<u32, CONTEXT_MAX>),
}
choice!(Prompt {
    1 => Messages(Conversation),
    2 => Text(Passage<PROMPT_BYTES_MAX>),
    3 => Tokens(BoundedVec<u32, CONTEXT_MAX>),
});

/// Messages and tools as the buyer wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// A JSON array of objects, each with a `role` and a `content`.
    pub messages: Passage<PROMPT_BYTES_MAX>,
    /// A JSON array of tool descriptions; empty for none.
    pub tools: Passage<PROMPT_BYTES_MAX>,
}
record!(Conversation { messages, tools });

/// What the answer must look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Any text.
    #[default]
    Text,
    /// One JSON object.
    JsonObject,
}
tag!(Format { 1 => Text, 2 => JsonObject });

/// A token whose logit is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bias {
    /// The token.
    pub token: u32,
    /// What is added, from −100 to 100.
    pub bias: Micro,
}
record!(Bias { token, bias });

/// How tokens are chosen, and when the answer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Tokens of the answer at most.
    pub tokens_max: u32,
    /// 0 (always the likeliest token) to 2.
    pub temperature: Micro,
    /// The share of probability that tokens are drawn from, 0 to 1.
    pub top_p: Micro,
    /// Of the likeliest so many; 0 for all.
    pub top_k: u32,
    /// Taken from a token's logit for each time it was made, −2 to 2.
    pub frequency_penalty: Micro,
    /// Taken from the logit of every token that was made, −2 to 2.
    pub presence_penalty: Micro,
    /// Changed logits.
    pub logit_bias: BoundedVec<Bias, BIASES_MAX>,
    /// Texts before which the answer ends.
    pub stop: BoundedVec<Passage<STOP_BYTES_MAX>, STOPS_MAX>,
    /// What the answer must look like.
    pub format: Format,
    /// With each token the logarithm of its probability, and of so many likeliest ones.
    pub logprobs: Option<u8>,
    /// The same for the tokens of the prompt.
    pub echo: bool,
}
record!(Parameters {
    tokens_max,
    temperature,
    top_p,
    top_k,
    frequency_penalty,
    presence_penalty,
    logit_bias,
    stop,
    format,
    logprobs,
    echo,
});

impl Parameters {
    /// The likeliest tokens, `tokens_max` at most.
    #[must_use]
    pub fn greedy(tokens_max: u32) -> Self {
        Self {
            tokens_max,
            temperature: Micro(0),
            top_p: Micro::ONE,
            top_k: 0,
            frequency_penalty: Micro(0),
            presence_penalty: Micro(0),
            logit_bias: BoundedVec::default(),
            stop: BoundedVec::default(),
            format: Format::Text,
            logprobs: None,
            echo: false,
        }
    }

    /// For the engine's sampler.
    #[must_use]
    pub fn for_sampler(&self) -> fairweir_exact::sample::Parameters {
        fairweir_exact::sample::Parameters {
            temperature: self.temperature.to_f32(),
            top_p: self.top_p.to_f32(),
            top_k: self.top_k,
            frequency_penalty: self.frequency_penalty.to_f32(),
            presence_penalty: self.presence_penalty.to_f32(),
            logit_bias: self
                .logit_bias
                .iter()
                .map(|bias| (bias.token, bias.bias.to_f32()))
                .collect(),
            ..fairweir_exact::sample::Parameters::default()
        }
    }

    fn check(&self) -> Result<(), ParameterError> {
        if !(1..=context_max()).contains(&self.tokens_max) {
            return Err(ParameterError::Range("tokens_max"));
        }
        if self.logprobs.is_some_and(|count| count > TOP_LOGPROBS_MAX) {
            return Err(ParameterError::Range("logprobs"));
        }
        if self.stop.iter().any(|stop| stop.as_str().is_empty()) {
            return Err(ParameterError::EmptyStop);
        }
        self.for_sampler()
            .check()
            .map_err(|error| ParameterError::Range(error.name))
    }
}

/// A spec that says what cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParameterError {
    /// A parameter is out of its range.
    #[error("{0} is out of its range")]
    Range(&'static str),
    /// A stop text is empty.
    #[error("a stop text is empty")]
    EmptyStop,
}

/// What a buyer asks: everything that the answer depends on, fixed before any work (protocol rule 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatSpec {
    /// [`VERSION`]: of the engine's arithmetic and of the rules for tokenisers and templates.
    engine_version: u16,
    model: ModelId,
    prompt: Prompt,
    /// Tokens of the prompt at most: what the buyer pays for at most, and what it must hold back.
    prompt_tokens_max: u32,
    parameters: Parameters,
    /// The draw for token `t` is `H(seed ‖ t)`.
    seed: BoundedBytes<32>,
    /// See [`ChatSpec::draft`].
    draft: BoundedVec<u32, CONTEXT_MAX>,
}
record!(ChatSpec {
    engine_version,
    model,
    prompt,
    prompt_tokens_max,
    parameters,
    seed,
    draft
});

impl ChatSpec {
    /// A question for this version of the engine.
    ///
    /// # Errors
    /// [`LengthError`] never, as the seed has 32 bytes.
    pub fn new(
        model: ModelId,
        prompt: Prompt,
        parameters: Parameters,
        seed: [u8; 32],
    ) -> Result<Self, LengthError> {
        Ok(Self {
            engine_version: VERSION,
            model,
            prompt_tokens_max: prompt_tokens_max(&prompt),
            prompt,
            parameters,
            seed: BoundedBytes::new(seed.to_vec())?,
            draft: BoundedVec::default(),
        })
    }

    /// The model that is asked.
    #[must_use]
    pub const fn model(&self) -> ModelId {
        self.model
    }

    /// What the answer continues.
    #[must_use]
    pub const fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    /// How tokens are chosen.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// What draws come from.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        for (to, from) in seed.iter_mut().zip(self.seed.as_slice()) {
            *to = *from;
        }
        seed
    }

    /// Tokens of the prompt at most.
    #[must_use]
    pub const fn prompt_tokens_max(&self) -> u32 {
        self.prompt_tokens_max
    }

    /// The same question, by a buyer that has counted the prompt's tokens (see [`super::PromptReader`]): it need not hold
    /// back more than they cost.
    #[must_use]
    pub fn with_prompt_tokens(mut self, tokens: u32) -> Self {
        self.prompt_tokens_max = tokens;
        self
    }

    /// The beginning of the answer as the buyer has it from another worker, whose place this one takes.
    ///
    /// It never changes the answer. It is computed at once, as a prompt is, and checked token by token: those that come again, up to the first
    /// that does not, are charged as input.
    #[must_use]
    pub fn draft(&self) -> &[u32] {
        self.draft.as_slice()
    }

    /// The units of an answer with these tokens to a prompt of so many.
    #[must_use]
    pub fn units(&self, prompt: usize, tokens: &[u32]) -> UnitVector {
        let both = self.draft().iter().zip(tokens);
        let again = both.take_while(|(had, came)| had == came).count();
        let count = |tokens: usize| Units(u64::try_from(tokens).unwrap_or(u64::MAX));
        UnitVector {
            input: count(prompt.saturating_add(again)),
            output: count(tokens.len() - again),
            ..UnitVector::default()
        }
    }

    /// The same question by a buyer that has this much of the answer.
    #[must_use]
    pub fn with_draft(mut self, draft: BoundedVec<u32, CONTEXT_MAX>) -> Self {
        self.draft = draft;
        self
    }
}

/// Tokens of a prompt at most, by its bytes: a token is at least a byte, but for those that the template adds.
fn prompt_tokens_max(prompt: &Prompt) -> u32 {
    let tokens = match prompt {
        Prompt::Messages(conversation) => conversation
            .messages
            .as_str()
            .len()
            .saturating_add(conversation.tools.as_str().len())
            .saturating_add(TEMPLATE_TOKENS_MAX),
        Prompt::Text(text) => text.as_str().len().saturating_add(1),
        Prompt::Tokens(tokens) => tokens.len(),
    };
    u32::try_from(tokens).unwrap_or(u32::MAX).min(context_max())
}

fn context_max() -> u32 {
    u32::try_from(CONTEXT_MAX).unwrap_or(u32::MAX)
}

pub(super) fn demand(spec: &ChatSpec) -> Result<Demand, SpecError> {
    if spec.engine_version != VERSION {
        return Err(SpecError::Version {
            ours: VERSION,
            found: spec.engine_version,
        });
    }
    let refused = |error: ParameterError| SpecError::Refused(error.to_string());
    spec.parameters.check().map_err(refused)?;
    if spec.prompt_tokens_max > context_max() {
        return Err(refused(ParameterError::Range("prompt_tokens_max")));
    }
    let draft = u64::try_from(spec.draft.len()).unwrap_or(u64::MAX);
    let input = u64::from(spec.prompt_tokens_max).saturating_add(draft);
    let output = u64::from(spec.parameters.tokens_max);
    if draft > output {
        return Err(refused(ParameterError::Range("draft")));
    }
    let told = u64::from(
        spec.parameters
            .logprobs
            .map_or(0, |top| top.saturating_add(1)),
    );
    let told_tokens = output.saturating_add(if spec.parameters.echo { input } else { 0 });
    let bytes_out = BYTES_BASE
        .saturating_add(output.saturating_mul(BYTES_PER_TOKEN))
        .saturating_add(
            told_tokens
                .saturating_mul(told)
                .saturating_mul(BYTES_PER_LOGPROB),
        )
        .min(u64::try_from(fairweir_types::limits::BLOB_BYTES_MAX).unwrap_or(u64::MAX));
    let time = TIME_BASE_MS
        .saturating_add(output.saturating_mul(TIME_PER_TOKEN_MS))
        .saturating_add(input.saturating_mul(PROMPT_TOKENS_PER_MS_DIVISOR))
        .min(TIME_MAX_MS);
    Ok(Demand {
        units: UnitVector {
            input: Units(input),
            output: Units(output),
            ..UnitVector::default()
        },
        bytes_in: ByteCount(u64::try_from(spec.encode_size()).unwrap_or(u64::MAX)),
        bytes_out_max: ByteCount(bytes_out),
        memory_max: ByteCount(
            input
                .saturating_add(output)
                .saturating_mul(MEMORY_PER_POSITION)
                .min(MEMORY_MAX),
        ),
        execution_max: Millis(time),
    })
}
