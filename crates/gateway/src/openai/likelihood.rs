//! Logarithms of probabilities in OpenAI's two shapes.

use fairweir_services::inference::chat::{Likelihood, TokenLikelihood};
use serde_json::{Map, Value, json};

/// What OpenAI says of a token that cannot come.
const NEVER: f64 = -9999.0;

fn logprob(likelihood: &Likelihood) -> f64 {
    let value = f64::from(likelihood.logprob());
    if value.is_finite() { value } else { NEVER }
}

/// A token's text; bytes that are no text alone are written out.
fn text(likelihood: &Likelihood, prefix: &str) -> String {
    let bytes = likelihood.bytes.as_slice();
    match core::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("{prefix}{hex}")
        }
    }
}

fn chat_token(likelihood: &Likelihood) -> Map<String, Value> {
    let mut token = Map::new();
    token.insert("token".to_owned(), json!(text(likelihood, "")));
    token.insert("logprob".to_owned(), json!(logprob(likelihood)));
    token.insert("bytes".to_owned(), json!(likelihood.bytes.as_slice()));
    token
}

/// `logprobs` of a chat's choice.
pub(super) fn of_chat(likelihoods: &[TokenLikelihood]) -> Value {
    let content: Vec<Value> = likelihoods
        .iter()
        .map(|likelihood| {
            let mut token = chat_token(&likelihood.token);
            let top: Vec<Value> = likelihood
                .top
                .iter()
                .map(|top| Value::Object(chat_token(top)))
                .collect();
            token.insert("top_logprobs".to_owned(), Value::Array(top));
            Value::Object(token)
        })
        .collect();
    json!({"content": content, "refusal": null})
}

/// `logprobs` of a completion's choice. `offset` is how many characters came before; of the first `prompt` token nothing is
/// known.
pub(super) fn of_completion<'a>(
    likelihoods: impl Iterator<Item = &'a TokenLikelihood>,
    mut offset: usize,
    begins_with_prompt: bool,
) -> (Value, usize) {
    let (mut tokens, mut logprobs, mut tops, mut offsets) = (vec![], vec![], vec![], vec![]);
    for (index, likelihood) in likelihoods.enumerate() {
        let token = text(&likelihood.token, "bytes:");
        offsets.push(offset);
        offset = offset.saturating_add(
            String::from_utf8_lossy(likelihood.token.bytes.as_slice())
                .chars()
                .count(),
        );
        tokens.push(json!(token));
        if index == 0 && begins_with_prompt {
            logprobs.push(Value::Null);
            tops.push(Value::Null);
            continue;
        }
        logprobs.push(json!(logprob(&likelihood.token)));
        let top: Map<String, Value> = likelihood
            .top
            .iter()
            .map(|top| (text(top, "bytes:"), json!(logprob(top))))
            .collect();
        tops.push(Value::Object(top));
    }
    let value = json!({
        "tokens": tokens,
        "token_logprobs": logprobs,
        "top_logprobs": tops,
        "text_offset": offsets,
    });
    (value, offset)
}
