//! Checks a gateway's word for what it relayed against the receipt of the worker (protocol rule 8).
//!
//! The client holds what it sent and what it got; the receipt holds what the worker was asked and what it answered; the relay is the
//! gateway's signature over both ends. Where they differ, the signature shows who changed it.

use crate::{
    error::ApiError,
    openai::{self, Ask},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use fairweir_services::{
    Kind as _,
    inference::{
        chat::{Chat, ChatOutput, ChatSpec},
        embedding::{Embedding, EmbeddingOutput, EmbeddingSpec},
    },
};
use fairweir_types::{
    Address, Digest, Receipt, decode,
    relay::{Relay, SignedRelay},
};
use serde_json::Value;
use thiserror::Error;

/// What a relay does not fit. Each has a stable code.
#[derive(Debug, Error)]
pub enum RelayError {
    /// The answer's file holds no relay.
    #[error(
        "the answer holds no relay: it needs the whole response of a gateway, with its field 'fairweir'"
    )]
    NoRelay,
    /// The relay's bytes are not one.
    #[error("the answer's relay is damaged")]
    Malformed,
    /// The signature is not the gateway's.
    #[error("the relay is not signed by the gateway that it names")]
    NotSigned,
    /// Another request's receipt.
    #[error("the answer has no relay for the slot {0} of the receipt")]
    OtherSlot(String),
    /// The receipt carries neither question nor answer.
    #[error("the receipt carries no spec and output to compare with")]
    NothingToCompare,
    /// The client's request is not the one that the gateway signed.
    #[error("the gateway signed another request than this one")]
    OtherRequest,
    /// The client's request cannot be read.
    #[error("the request cannot be read: {0}")]
    RequestUnreadable(String),
    /// The client's answer is not the one that the gateway signed.
    #[error("the gateway signed another answer than this one")]
    OtherAnswer,
    /// The gateway got another receipt for this slot.
    #[error(
        "the worker signed two receipts for this request, and the gateway relayed the other: it is the worker that lies"
    )]
    OtherReceipt,
    /// The gateway asked the worker something else.
    #[error(
        "the gateway {gateway} changed the question: the worker was asked something else ({what})"
    )]
    QuestionChanged {
        /// The gateway.
        gateway: Address,
        /// What differs.
        what: &'static str,
    },
    /// The gateway told the client something else.
    #[error("the gateway {gateway} changed the answer: the worker said something else")]
    AnswerChanged {
        /// The gateway.
        gateway: Address,
    },
}

impl RelayError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoRelay => "no_relay",
            Self::Malformed => "relay_malformed",
            Self::NotSigned => "relay_not_signed",
            Self::OtherSlot(_) => "relay_of_other_slot",
            Self::NothingToCompare => "nothing_to_compare",
            Self::OtherRequest => "other_request",
            Self::RequestUnreadable(_) => "request_unreadable",
            Self::OtherAnswer => "other_answer",
            Self::OtherReceipt => "other_receipt",
            Self::QuestionChanged { .. } => "question_changed",
            Self::AnswerChanged { .. } => "answer_changed",
        }
    }
}

/// One answer of a response: its place, its relay and what the client was told.
#[derive(Debug, Default)]
struct Told {
    relay: Option<String>,
    text: String,
    numbers: Vec<u8>,
}

/// What the worker was asked and what it answered, by its receipt, which was verified before.
#[derive(Clone, Copy, Debug)]
pub struct WorkersSide<'a> {
    /// The receipt.
    pub receipt: &'a Receipt,
    /// The spec's bytes.
    pub spec: &'a [u8],
    /// The output's bytes.
    pub output: &'a [u8],
}

/// Checks that the gateway passed on what the client sent and what the worker answered; returns the gateway.
///
/// `request` is the body that the client sent, `response` the body that it got: JSON, or the events of a stream.
///
/// # Errors
/// [`RelayError`].
pub fn check_relay(
    worker: &WorkersSide<'_>,
    request: &[u8],
    response: &[u8],
) -> Result<Address, RelayError> {
    if worker.spec.is_empty() {
        return Err(RelayError::NothingToCompare);
    }
    let told = answers(response);
    if told.iter().all(|told| told.relay.is_none()) {
        return Err(RelayError::NoRelay);
    }
    let slot_id = worker.receipt.slot_id;
    for (index, told) in told.iter().enumerate() {
        let Some(text) = &told.relay else { continue };
        let bytes = STANDARD.decode(text).map_err(|_| RelayError::Malformed)?;
        let signed: SignedRelay = decode(&bytes).map_err(|_| RelayError::Malformed)?;
        let chain_id = &worker.receipt.chain_id;
        if signed.relay.slot_id != slot_id || signed.relay.chain_id != *chain_id {
            continue;
        }
        if !signed.is_signed() {
            return Err(RelayError::NotSigned);
        }
        if signed.relay.request != Digest::of_blob(request) {
            return Err(RelayError::OtherRequest);
        }
        if signed.relay.receipt != worker.receipt.digest() {
            return Err(RelayError::OtherReceipt);
        }
        let gateway = signed.gateway.address();
        match worker.receipt.kind {
            kind if kind == Chat::ID => {
                check_chat(worker, (gateway, &signed.relay), request, (index, told))?;
            }
            kind if kind == Embedding::ID => {
                check_vectors(worker, (gateway, &signed.relay), request, told)?;
            }
            _ => return Err(RelayError::NothingToCompare),
        }
        return Ok(gateway);
    }
    Err(RelayError::OtherSlot(slot_id.to_string()))
}

fn check_chat(
    worker: &WorkersSide<'_>,
    (gateway, relay): (Address, &Relay),
    request: &[u8],
    (index, told): (usize, &Told),
) -> Result<(), RelayError> {
    let nothing = |_| RelayError::NothingToCompare;
    let spec: ChatSpec = decode(worker.spec).map_err(nothing)?;
    let output: ChatOutput = decode(worker.output).map_err(nothing)?;
    let fields: Value =
        serde_json::from_slice(request).map_err(|error| unreadable(&error.to_string()))?;
    let of_api = |error: ApiError| unreadable(&error.message);
    let is_chat = fields
        .get("messages")
        .is_some_and(|messages| !messages.is_null());
    let ask: Ask = if is_chat {
        openai::chat(request).map_err(of_api)?
    } else {
        openai::completion(request).map_err(of_api)?
    };
    let changed = |what| RelayError::QuestionChanged { gateway, what };
    let prompt = index
        .checked_div(ask.choices)
        .and_then(|at| ask.prompts.get(at));
    if prompt != Some(spec.prompt()) {
        return Err(changed("its prompt"));
    }
    let tokens_max = spec.parameters().tokens_max;
    if !ask.allows(tokens_max) {
        return Err(changed("how long the answer may be"));
    }
    if *spec.parameters() != ask.parameters(tokens_max) {
        return Err(changed("how tokens are chosen"));
    }
    if fields.get("seed").is_some_and(|seed| !seed.is_null()) && spec.seed() != ask.seed_of(index) {
        return Err(changed("its seed"));
    }
    let worker_said = if ask.is_echo_alone() {
        ""
    } else {
        output.text.as_str()
    };
    if relay.answer != Digest::of_blob(worker_said.as_bytes()) {
        return Err(RelayError::AnswerChanged { gateway });
    }
    let is_told = if ask.echo {
        told.text.ends_with(worker_said)
    } else {
        told.text == worker_said
    };
    if is_told {
        Ok(())
    } else {
        Err(RelayError::OtherAnswer)
    }
}

fn check_vectors(
    worker: &WorkersSide<'_>,
    (gateway, relay): (Address, &Relay),
    request: &[u8],
    told: &Told,
) -> Result<(), RelayError> {
    let nothing = |_| RelayError::NothingToCompare;
    let spec: EmbeddingSpec = decode(worker.spec).map_err(nothing)?;
    let output: EmbeddingOutput = decode(worker.output).map_err(nothing)?;
    let ask = openai::embedding(request).map_err(|error| unreadable(&error.message))?;
    if !spec.texts().eq(ask.texts.iter().map(String::as_str)) {
        let what = "its texts";
        return Err(RelayError::QuestionChanged { gateway, what });
    }
    let numbers = openai::number_bytes(&output);
    if relay.answer != Digest::of_blob(&numbers) {
        return Err(RelayError::AnswerChanged { gateway });
    }
    if told.numbers == numbers {
        Ok(())
    } else {
        Err(RelayError::OtherAnswer)
    }
}

fn unreadable(why: &str) -> RelayError {
    RelayError::RequestUnreadable(why.to_owned())
}

/// The answers in a response, by their index.
fn answers(response: &[u8]) -> Vec<Told> {
    let mut told = Vec::new();
    if let Ok(whole) = serde_json::from_slice::<Value>(response) {
        hear(&mut told, &whole);
    } else {
        for line in String::from_utf8_lossy(response).lines() {
            let event = line.strip_prefix("data: ");
            if let Some(event) = event.and_then(|event| serde_json::from_str(event).ok()) {
                hear(&mut told, &event);
            }
        }
    }
    told
}

/// Takes in a whole response, or one event of a stream.
fn hear(told: &mut Vec<Told>, value: &Value) {
    let fairweir = value.get("fairweir");
    let relay = |of: Option<&Value>| Some(of?.get("relay")?.as_str()?.to_owned());
    let orders = fairweir.and_then(|fairweir| fairweir.get("orders"));
    for choice in list(value.get("choices")) {
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        let Some(answer) = usize::try_from(index).ok().and_then(|at| nth(told, at)) else {
            continue;
        };
        let text = ["/message/content", "/delta/content", "/text"]
            .iter()
            .find_map(|at| choice.pointer(at)?.as_str());
        answer.text.push_str(text.unwrap_or_default());
        let of = match orders {
            Some(orders) => usize::try_from(index).ok().and_then(|at| orders.get(at)),
            None => fairweir,
        };
        answer.relay = relay(of).or(answer.relay.take());
    }
    let Some(first) = value.get("data").and_then(|_| nth(told, 0)) else {
        return;
    };
    first.relay = relay(fairweir);
    for vector in list(value.get("data")) {
        match vector.get("embedding") {
            Some(Value::String(text)) => {
                first
                    .numbers
                    .extend(STANDARD.decode(text).unwrap_or_default());
            }
            numbers => {
                // Numbers are written as short as single precision allows, so reading them gives the same bits.
                let numbers = list(numbers).filter_map(|number| number.to_string().parse().ok());
                first.numbers.extend(numbers.flat_map(f32::to_le_bytes));
            }
        }
    }
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// The answer of an index, made if it is new; none beyond what a request can ask for.
fn nth(told: &mut Vec<Told>, at: usize) -> Option<&mut Told> {
    if at >= openai::ANSWERS_MAX {
        return None;
    }
    while told.len() <= at {
        told.push(Told::default());
    }
    told.get_mut(at)
}

#[cfg(test)]
mod tests;
