//! Answers as they come, in OpenAI's server-sent events.

use super::{
    answer::{Answering, Settled, counts, echoed, fingerprint, reason, usage},
    ask::{Ask, AskKind},
    likelihood,
};
use crate::error::ApiError;
use bytes::Bytes;
use fairweir_services::inference::chat::{ChatChunk, ChatOutput};
use serde_json::{Value, json};

/// What one answer of several is at.
#[derive(Clone, Debug, Default)]
struct Choice {
    /// The text that was told.
    told: String,
    /// Whether anything was told, text or probabilities.
    is_begun: bool,
    /// Characters before the next token of a completion.
    offset: usize,
    end: Option<((u32, u32), Settled)>,
}

/// Writes the events of one request.
#[derive(Debug)]
pub(crate) struct Events {
    answering: Answering,
    ask: Ask,
    choices: Vec<Choice>,
}

fn frame(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

impl Events {
    pub(crate) fn new(answering: Answering, ask: Ask, choices: usize) -> Self {
        Self {
            answering,
            ask,
            choices: vec![Choice::default(); choices],
        }
    }

    /// The request.
    pub(crate) const fn ask(&self) -> &Ask {
        &self.ask
    }

    fn event(&self, choices: &Value) -> Value {
        let object = match self.ask.kind {
            AskKind::Chat => "chat.completion.chunk",
            AskKind::Completion => "text_completion",
        };
        let mut event = json!({
            "id": self.answering.id,
            "object": object,
            "created": self.answering.created,
            "model": self.answering.model,
            "service_tier": "default",
            "system_fingerprint": fingerprint(),
            "choices": choices,
        });
        if self.ask.wants_usage {
            event["usage"] = Value::Null;
        }
        event
    }

    fn part(&self, index: usize, text: &str, logprobs: &Value, finish: Option<&str>) -> Value {
        let choice = match self.ask.kind {
            AskKind::Chat => {
                let delta = if text.is_empty() && finish.is_some() {
                    json!({})
                } else {
                    json!({"content": text})
                };
                json!({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish})
            }
            AskKind::Completion => {
                json!({"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish})
            }
        };
        self.event(&json!([choice]))
    }

    /// How an answer begins: with its role, or with the echo of its prompt.
    pub(crate) fn begin(&mut self, index: usize) -> Option<Bytes> {
        match self.ask.kind {
            AskKind::Chat => {
                let delta = json!({"role": "assistant", "content": "", "refusal": null});
                let choice = json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": null});
                Some(frame(&self.event(&json!([choice]))))
            }
            AskKind::Completion => {
                let text = echoed(&self.ask, index, None);
                (!text.is_empty()).then(|| frame(&self.part(index, &text, &Value::Null, None)))
            }
        }
    }

    /// Whether the client has something of an answer.
    pub(crate) fn has_told(&self, index: usize) -> bool {
        let choice = self.choices.get(index);
        choice.is_some_and(|choice| choice.is_begun)
    }

    /// More of an answer.
    pub(crate) fn chunk(&mut self, index: usize, chunk: &ChatChunk) -> Option<Bytes> {
        let text = chunk.text.as_str();
        if self.ask.is_echo_alone() || (text.is_empty() && chunk.likelihoods.is_empty()) {
            return None;
        }
        let wants = self.ask.wants_logprobs && !chunk.likelihoods.is_empty();
        let choice = self.choices.get_mut(index)?;
        choice.told.push_str(text);
        let logprobs = match self.ask.kind {
            AskKind::Chat if wants => likelihood::of_chat(chunk.likelihoods.as_slice()),
            AskKind::Completion if wants => {
                let (value, offset) =
                    likelihood::of_completion(chunk.likelihoods.iter(), choice.offset, false);
                choice.offset = offset;
                value
            }
            _ => Value::Null,
        };
        if text.is_empty() && !wants {
            return None;
        }
        choice.is_begun = true;
        Some(frame(&self.part(index, text, &logprobs, None)))
    }

    /// The end of an answer. What was told must be what it begins with; what was not told yet comes first.
    pub(crate) fn end(
        &mut self,
        index: usize,
        output: &ChatOutput,
        settled: Settled,
    ) -> Result<Bytes, ApiError> {
        let is_echo_alone = self.ask.is_echo_alone();
        let differs = || ApiError::internal("the worker's whole answer is not what it told before");
        let choice = self.choices.get_mut(index).ok_or_else(differs)?;
        let value = settled.value();
        choice.end = Some((counts(output), settled));
        let told = choice.told.clone();
        let mut frames = Vec::new();
        if !is_echo_alone {
            let text = output.text.as_str();
            let rest = text.strip_prefix(told.as_str()).ok_or_else(differs)?;
            if !rest.is_empty() {
                frames.extend(frame(&self.part(index, rest, &Value::Null, None)));
            }
        }
        let finish = if is_echo_alone {
            "length"
        } else {
            reason(output.finish)
        };
        let mut last = self.part(index, "", &Value::Null, Some(finish));
        last["fairweir"] = value;
        frames.extend(frame(&last));
        Ok(Bytes::from(frames))
    }

    /// The end of the request.
    pub(crate) fn finish(&self) -> Bytes {
        let mut frames = Vec::new();
        if self.ask.wants_usage {
            let ends: Vec<_> = self
                .choices
                .iter()
                .filter_map(|choice| choice.end.clone())
                .collect();
            let used: Vec<_> = ends.iter().map(|(used, _)| *used).collect();
            let settled: Vec<_> = ends.iter().map(|(_, settled)| settled.clone()).collect();
            let mut event = self.event(&json!([]));
            event["usage"] = usage(&self.ask, &used);
            event["fairweir"] = Settled::all(&settled);
            frames.extend(frame(&event));
        }
        frames.extend_from_slice(b"data: [DONE]\n\n");
        Bytes::from(frames)
    }

    /// The request failed half way.
    pub(crate) fn error(error: &ApiError) -> Bytes {
        frame(&error.body())
    }
}

#[cfg(test)]
mod tests {
    use super::super::chat;
    use super::*;
    use fairweir_services::inference::chat::{Likelihood, TokenLikelihood};
    use fairweir_types::{BoundedBytes, BoundedVec};

    fn events(wants_logprobs: bool) -> Events {
        let body = json!({
            "model": "model",
            "messages": [{"role": "user", "content": "?"}],
            "stream": true,
            "logprobs": wants_logprobs,
        });
        let ask = chat(body.to_string().as_bytes()).expect("a request");
        let answering = Answering {
            id: "chatcmpl-1".to_owned(),
            model: "model".to_owned(),
            created: 0,
        };
        Events::new(answering, ask, 1)
    }

    /// A token in the middle of a character: probabilities without text.
    fn half_a_character() -> ChatChunk {
        let token = Likelihood {
            token: 7,
            bytes: BoundedBytes::new(vec![0xf0]).expect("one byte"),
            logprob_bits: 0,
        };
        ChatChunk {
            likelihoods: BoundedVec::truncating([TokenLikelihood {
                token,
                top: BoundedVec::default(),
            }]),
            ..ChatChunk::default()
        }
    }

    #[test]
    fn who_has_probabilities_alone_has_something_of_the_answer() {
        let mut asked = events(true);
        assert!(!asked.has_told(0));
        assert!(asked.chunk(0, &half_a_character()).is_some());
        assert!(asked.has_told(0));
        // Who did not ask for them got nothing.
        let mut unasked = events(false);
        assert!(unasked.chunk(0, &half_a_character()).is_none());
        assert!(!unasked.has_told(0));
    }
}
