//! Whole answers in OpenAI's shapes.

use super::{
    ask::{Ask, AskKind},
    embedding::EmbeddingAsk,
    likelihood,
};
use crate::{
    error::ApiError,
    market::{Model, Part, Purchase},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use commonware_codec::Encode as _;
use fairweir_services::inference::chat::{ChatOutput, Finish, Prompt, VERSION};
use fairweir_services::inference::embedding::EmbeddingOutput;
use fairweir_types::{Address, Amount, order::SlotId, relay::SignedRelay};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is the same in every part of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Answering {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) created: u64,
}

impl Answering {
    pub(crate) fn new(kind: AskKind, model: &str) -> Result<Self, ApiError> {
        let prefix = match kind {
            AskKind::Chat => "chatcmpl",
            AskKind::Completion => "cmpl",
        };
        Ok(Self {
            id: format!("{prefix}-{}", random_name()?),
            model: model.to_owned(),
            created: now(),
        })
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// A random name of 29 hexadecimal digits or so, as OpenAI's ids have.
pub(crate) fn random_name() -> Result<String, ApiError> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes)
        .map_err(|_| ApiError::internal("the operating system gave no randomness"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The version of the engine whose bits an answer is.
pub(super) fn fingerprint() -> String {
    format!("fw_exact_{:x}", VERSION)
}

pub(super) const fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Stopped => "stop",
        Finish::Length => "length",
    }
}

/// What an order came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) purchase: Purchase,
    pub(crate) worker: Address,
    pub(crate) cost: Amount,
    /// What of the cost is for workers that did not come to its end.
    pub(crate) parts: Vec<Part>,
    /// The gateway's word for what it relayed.
    pub(crate) relay: SignedRelay,
}

impl Settled {
    pub(super) fn value(&self) -> Value {
        let mut value = json!({
            "receipt": receipt_id(&self.purchase.slot_id),
            "price_max": self.purchase.price_max.to_string(),
            "cost": self.cost.to_string(),
            "worker": self.worker.to_string(),
            "relay": STANDARD.encode(self.relay.encode()),
        });
        if !self.parts.is_empty() {
            value["parts"] = self.parts.iter().chain([&self.last()]).map(part).collect();
        }
        value
    }

    /// The part of whoever came to the end: what of the cost is for nobody before it.
    fn last(&self) -> Part {
        let before = Amount::sum(self.parts.iter().map(|part| part.cost));
        let cost = before.and_then(|before| self.cost.checked_sub(before));
        Part {
            slot_id: self.purchase.slot_id,
            worker: self.worker,
            cost: cost.unwrap_or(Amount::ZERO),
        }
    }

    /// All orders of a request: as the one, or their sum with each.
    pub(super) fn all(settled: &[Self]) -> Value {
        if let [one] = settled {
            return one.value();
        }
        let sum = |amounts: &mut dyn Iterator<Item = Amount>| {
            Amount::sum(amounts).unwrap_or(Amount::MAX).to_string()
        };
        let orders: Vec<Value> = settled.iter().map(Self::value).collect();
        json!({
            "receipt": orders.first().and_then(|order| order.get("receipt")),
            "price_max": sum(&mut settled.iter().map(|one| one.purchase.price_max)),
            "cost": sum(&mut settled.iter().map(|one| one.cost)),
            "worker": orders.first().and_then(|order| order.get("worker")),
            "relay": orders.first().and_then(|order| order.get("relay")),
            "orders": orders,
        })
    }
}

/// What clients call a receipt: order and slot.
pub(crate) fn receipt_id(slot_id: &SlotId) -> String {
    format!("{}:{}", slot_id.order, slot_id.slot)
}

fn part(part: &Part) -> Value {
    json!({
        "receipt": receipt_id(&part.slot_id),
        "cost": part.cost.to_string(),
        "worker": part.worker.to_string(),
    })
}

/// What was used: the prompt of each `choices` answers counts once.
pub(super) fn usage(ask: &Ask, outputs: &[(u32, u32)]) -> Value {
    let prompt: u64 = outputs
        .iter()
        .step_by(ask.choices.max(1))
        .map(|(prompt, _)| u64::from(*prompt))
        .sum();
    let made = if ask.is_echo_alone() {
        0
    } else {
        outputs.iter().map(|(_, made)| u64::from(*made)).sum()
    };
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": made,
        "total_tokens": prompt.saturating_add(made),
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

/// Tokens of prompt and answer.
pub(super) fn counts(output: &ChatOutput) -> (u32, u32) {
    let made = u32::try_from(output.tokens.len()).unwrap_or(u32::MAX);
    (output.prompt_tokens, made)
}

/// `chat.completion`.
pub(crate) fn chat_body(
    answering: &Answering,
    ask: &Ask,
    answers: &[(ChatOutput, Settled)],
) -> Value {
    let choices: Vec<Value> = answers
        .iter()
        .enumerate()
        .map(|(index, (output, _))| {
            let logprobs = ask
                .wants_logprobs
                .then(|| likelihood::of_chat(output.likelihoods.as_slice()));
            json!({
                "index": index,
                "message": {
                    "role": "assistant",
                    "content": output.text.as_str(),
                    "refusal": null,
                },
                "logprobs": logprobs,
                "finish_reason": reason(output.finish),
            })
        })
        .collect();
    body(answering, ask, "chat.completion", &choices, answers)
}

/// `text_completion`.
pub(crate) fn completion_body(
    answering: &Answering,
    ask: &Ask,
    answers: &[(ChatOutput, Settled)],
) -> Value {
    let choices: Vec<Value> = answers
        .iter()
        .enumerate()
        .map(|(index, (output, _))| completion_choice(ask, index, output))
        .collect();
    body(answering, ask, "text_completion", &choices, answers)
}

fn body(
    answering: &Answering,
    ask: &Ask,
    object: &str,
    choices: &[Value],
    answers: &[(ChatOutput, Settled)],
) -> Value {
    let used: Vec<_> = answers.iter().map(|(output, _)| counts(output)).collect();
    let settled: Vec<_> = answers.iter().map(|(_, settled)| settled.clone()).collect();
    json!({
        "id": answering.id,
        "object": object,
        "created": answering.created,
        "model": answering.model,
        "choices": choices,
        "usage": usage(ask, &used),
        "service_tier": "default",
        "system_fingerprint": fingerprint(),
        "fairweir": Settled::all(&settled),
    })
}

/// The text of a prompt, for `echo`.
pub(super) fn echoed(ask: &Ask, index: usize, output: Option<&ChatOutput>) -> String {
    if !ask.echo {
        return String::new();
    }
    let prompt = index
        .checked_div(ask.choices)
        .and_then(|at| ask.prompts.get(at));
    match (prompt, output) {
        (Some(Prompt::Text(text)), _) => text.as_str().to_owned(),
        (_, Some(output)) => {
            let bytes: Vec<u8> = output
                .prompt_likelihoods
                .iter()
                .flat_map(|likelihood| likelihood.token.bytes.as_slice().iter().copied())
                .collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => String::new(),
    }
}

fn completion_choice(ask: &Ask, index: usize, output: &ChatOutput) -> Value {
    let mut text = echoed(ask, index, Some(output));
    let made = if ask.is_echo_alone() {
        &[]
    } else {
        text.push_str(output.text.as_str());
        output.likelihoods.as_slice()
    };
    let prompt = if ask.echo {
        output.prompt_likelihoods.as_slice()
    } else {
        &[]
    };
    let logprobs = ask
        .wants_logprobs
        .then(|| likelihood::of_completion(prompt.iter().chain(made), 0, !prompt.is_empty()).0);
    json!({
        "text": text,
        "index": index,
        "logprobs": logprobs,
        "finish_reason": if ask.is_echo_alone() { "length" } else { reason(output.finish) },
    })
}

/// `embedding` of one text; numbers are written as short as single precision allows.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Vector {
    Numbers(Vec<f32>),
    Base64(String),
}

#[derive(Debug, Serialize)]
struct VectorOf {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Debug, Serialize)]
struct Vectors {
    object: &'static str,
    data: Vec<VectorOf>,
    model: String,
    usage: Value,
    fairweir: Value,
}

/// The numbers of all vectors as little-endian `f32`, one after the other.
pub(crate) fn number_bytes(output: &EmbeddingOutput) -> Vec<u8> {
    output
        .numbers()
        .flatten()
        .flat_map(f32::to_le_bytes)
        .collect()
}

/// The answer to a request for vectors, as JSON.
pub(crate) fn embedding_body(
    ask: &EmbeddingAsk,
    output: &EmbeddingOutput,
    settled: &Settled,
) -> Result<Vec<u8>, ApiError> {
    let data = output
        .numbers()
        .enumerate()
        .map(|(index, numbers)| VectorOf {
            object: "embedding",
            index,
            embedding: if ask.is_base64 {
                let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
                Vector::Base64(STANDARD.encode(bytes))
            } else {
                Vector::Numbers(numbers)
            },
        })
        .collect();
    let vectors = Vectors {
        object: "list",
        data,
        model: ask.model.clone(),
        usage: json!({"prompt_tokens": output.tokens, "total_tokens": output.tokens}),
        fairweir: settled.value(),
    };
    serde_json::to_vec(&vectors).map_err(|error| ApiError::internal(error.to_string()))
}

/// `model`.
pub(crate) fn model(model: &Model) -> Value {
    json!({
        "id": model.name,
        "object": "model",
        "created": 0,
        "owned_by": "fairweir",
        "fairweir": {"model": model.id.to_string(), "context": model.context},
    })
}

/// The list of models.
pub(crate) fn models(list: &[Model]) -> Value {
    let data: Vec<Value> = list.iter().map(model).collect();
    json!({"object": "list", "data": data})
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::*;
    use fairweir_types::{ChainId, Digest, SecretKey, order::OrderId, relay::Relay};

    fn slot(number: u16) -> SlotId {
        SlotId {
            order: OrderId(Digest::ZERO),
            slot: number,
        }
    }

    fn coins(base_units: u64) -> Amount {
        Amount::from_base_units(base_units).unwrap()
    }

    fn settled(parts: Vec<Part>) -> Settled {
        let relay = Relay {
            chain_id: ChainId::new("dev-test").unwrap(),
            slot_id: slot(2),
            receipt: Digest::ZERO,
            request: Digest::ZERO,
            answer: Digest::ZERO,
        };
        let worker = Address::default();
        Settled {
            purchase: Purchase {
                slot_id: slot(2),
                worker,
                price_max: coins(20),
            },
            worker,
            cost: coins(13),
            parts,
            relay: SignedRelay::sign(relay, &SecretKey::from_seed([7; 32]).unwrap()),
        }
    }

    #[test]
    fn an_answer_of_several_workers_tells_each_receipt_and_what_of_the_cost_it_is() {
        let one = settled(Vec::new()).value();
        assert_eq!(one.get("parts"), None);
        let part = |number, cost| Part {
            slot_id: slot(number),
            worker: Address::default(),
            cost: coins(cost),
        };
        let three = settled(vec![part(0, 4), part(1, 7)]);
        let told = three.value();
        let field = |name: &str| -> Vec<String> {
            let parts = told["parts"].as_array().unwrap();
            let texts = parts.iter().map(|part| part[name].as_str().unwrap());
            texts.map(str::to_owned).collect()
        };
        let costs = [4, 7, 2].map(|cost| coins(cost).to_string());
        assert_eq!(field("cost"), costs);
        let receipts = [0, 1, 2].map(|number| receipt_id(&slot(number)));
        assert_eq!(field("receipt"), receipts);
        assert_eq!(told["receipt"].as_str(), Some(receipts[2].as_str()));
    }
}
