//! `POST /v1/completions`.

use super::{
    ask::{ANSWERS_MAX, Ask, AskKind, TokensMax},
    chat::CHOICES_MAX,
    fields::{Fields, wrong_type, wrong_value},
    sampling::{self, Sampling},
};
use crate::error::ApiError;
use fairweir_services::{
    Passage,
    inference::chat::{CONTEXT_MAX, Prompt, TOP_LOGPROBS_MAX},
};
use fairweir_types::{BoundedVec, Digest};
use serde_json::{Value, json};

/// Tokens when the client does not say, as OpenAI has it.
const TOKENS_DEFAULT: i64 = 16;

/// Reads a request.
pub(crate) fn completion(body: &[u8]) -> Result<Ask, ApiError> {
    let mut fields = Fields::of(body)?;
    let model = fields.need_string("model")?;
    let prompts = prompts(fields.need("prompt")?)?;
    let mut sampling = Sampling::read(&mut fields)?;
    let echo = fields.boolean("echo")?;
    let logprobs = fields.integer("logprobs", 0, i64::from(TOP_LOGPROBS_MAX))?;
    let choices = fields.integer("n", 1, CHOICES_MAX)?.unwrap_or(1);
    let most = i64::try_from(CONTEXT_MAX).unwrap_or(i64::MAX);
    let least = if echo { 0 } else { 1 };
    let tokens_max = fields
        .integer("max_tokens", least, most)?
        .unwrap_or(TOKENS_DEFAULT);
    let seed = sampling::seed(&mut fields)?;
    let (is_stream, wants_usage) = sampling::stream(&mut fields)?;
    fields.only("best_of", &[json!(choices)])?;
    fields.only("suffix", &[json!("")])?;
    fields.ignore(&["user", "metadata", "store"]);
    fields.finish()?;
    let choices = usize::try_from(choices).unwrap_or(1);
    if prompts.len().saturating_mul(choices) > ANSWERS_MAX {
        return Err(wrong_value(
            "prompt",
            format!("prompts times 'n' are at most {ANSWERS_MAX} answers"),
        ));
    }
    let is_tokens = prompts
        .iter()
        .any(|prompt| matches!(prompt, Prompt::Tokens(_)));
    if is_stream && echo && (is_tokens || logprobs.is_some()) {
        return Err(ApiError::unsupported(
            "stream",
            "'echo' of tokens or with 'logprobs' cannot be streamed: leave out 'stream'.",
        ));
    }
    sampling.logprobs = logprobs.and_then(|count| u8::try_from(count).ok());
    if echo && is_tokens {
        // What the tokens say is known from their likelihoods.
        sampling.logprobs = sampling.logprobs.or(Some(0));
    }
    sampling.echo = echo && sampling.logprobs.is_some();
    Ok(Ask {
        request: Digest::of_blob(body),
        kind: AskKind::Completion,
        model,
        prompts,
        choices,
        tokens_max: TokensMax::Asked(u32::try_from(tokens_max).unwrap_or(0)),
        sampling,
        seed,
        echo,
        wants_logprobs: logprobs.is_some(),
        is_stream,
        wants_usage,
    })
}

/// A text, texts, tokens, or lists of tokens.
fn prompts(value: Value) -> Result<Vec<Prompt>, ApiError> {
    let list = match value {
        Value::String(text) => return Ok(vec![text_prompt(text)?]),
        Value::Array(list) => list,
        other => {
            return Err(wrong_type(
                "prompt",
                "a string, an array of strings, or an array of tokens",
                &other,
            ));
        }
    };
    if list.is_empty() {
        return Err(ApiError::invalid(
            "prompt",
            Some("empty_array"),
            "Invalid 'prompt': empty array.",
        ));
    }
    if list.iter().all(Value::is_number) {
        return Ok(vec![tokens_prompt(&list)?]);
    }
    list.into_iter()
        .map(|prompt| match prompt {
            Value::String(text) => text_prompt(text),
            Value::Array(tokens) => tokens_prompt(&tokens),
            other => Err(wrong_type("prompt", "a string", &other)),
        })
        .collect()
}

fn text_prompt(text: String) -> Result<Prompt, ApiError> {
    if text.is_empty() {
        return Err(wrong_value("prompt", "it is empty"));
    }
    Passage::new(text)
        .map(Prompt::Text)
        .map_err(|_| ApiError::context("prompt", "The prompt is too long for any model."))
}

fn tokens_prompt(tokens: &[Value]) -> Result<Prompt, ApiError> {
    if tokens.is_empty() {
        return Err(wrong_value("prompt", "it is empty"));
    }
    let tokens = tokens
        .iter()
        .map(|token| {
            token
                .as_u64()
                .and_then(|token| u32::try_from(token).ok())
                .ok_or_else(|| wrong_value("prompt", "it has a value that is no token id"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    BoundedVec::new(tokens)
        .map(Prompt::Tokens)
        .map_err(|_| ApiError::context("prompt", "The prompt is too long for any model."))
}
