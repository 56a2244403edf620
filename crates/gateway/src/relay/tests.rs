//! A gateway that changes a question or an answer is found; so is a client that claims what was not relayed.

#![expect(
    clippy::unwrap_used,
    reason = "a failing test should stop at the line that fails"
)]

use super::*;
use commonware_codec::Encode as _;
use fairweir_services::{
    Passage,
    inference::{ModelId, chat::Finish},
};
use fairweir_types::{
    BoundedVec, ChainId, SecretKey,
    order::{OrderId, SlotId, UnitVector},
};
use serde_json::json;

const SLOT: SlotId = SlotId {
    order: OrderId(Digest::ZERO),
    slot: 1,
};

/// One exchange: what went to the worker, what came back, and what the gateway signed.
struct Exchange {
    receipt: Receipt,
    spec: Vec<u8>,
    output: Vec<u8>,
    request: Vec<u8>,
    response: Value,
}

impl Exchange {
    fn check(&self) -> Result<Address, RelayError> {
        let worker = WorkersSide {
            receipt: &self.receipt,
            spec: &self.spec,
            output: &self.output,
        };
        check_relay(&worker, &self.request, self.response.to_string().as_bytes())
    }

    fn code(&self) -> &'static str {
        self.check().map_or_else(|error| error.code(), |_| "holds")
    }
}

fn gateway() -> SecretKey {
    SecretKey::from_seed([7; 32]).unwrap()
}

fn chain_id() -> ChainId {
    ChainId::new("dev-relay").unwrap()
}

fn output(text: &str) -> Vec<u8> {
    let output = ChatOutput {
        prompt_tokens: 3,
        tokens: BoundedVec::new(vec![1, 2]).unwrap(),
        text: Passage::new(text.to_owned()).unwrap(),
        finish: Finish::Stop,
        computation: Digest::ZERO,
        likelihoods: BoundedVec::default(),
        prompt_likelihoods: BoundedVec::default(),
    };
    output.encode().to_vec()
}

fn spec(request: &[u8]) -> Vec<u8> {
    let ask = openai::chat(request).unwrap();
    let fields: Value = serde_json::from_slice(request).unwrap();
    let tokens_max = fields["max_tokens"].as_u64().unwrap_or(16);
    let tokens_max = u32::try_from(tokens_max).unwrap();
    let model = ModelId(Digest::of_blob(b"model"));
    let spec = ChatSpec::new(
        model,
        ask.prompts[0].clone(),
        ask.parameters(tokens_max),
        ask.seed,
    );
    spec.unwrap().encode().to_vec()
}

fn relay(request: &[u8], text: &str) -> String {
    let relay = Relay {
        chain_id: chain_id(),
        slot_id: SLOT,
        receipt: receipt().digest(),
        request: Digest::of_blob(request),
        answer: Digest::of_blob(text.as_bytes()),
    };
    STANDARD.encode(SignedRelay::sign(relay, &gateway()).encode())
}

fn request(question: &str) -> Vec<u8> {
    let messages = json!([{"role": "user", "content": question}]);
    let body = json!({"model": "tiny", "messages": messages, "seed": 5, "temperature": 0.5, "max_tokens": 16});
    body.to_string().into_bytes()
}

fn response(text: &str, relay: &str) -> Value {
    json!({
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}],
        "fairweir": {"receipt": SLOT.to_string(), "relay": relay},
    })
}

fn receipt() -> Receipt {
    Receipt {
        chain_id: chain_id(),
        slot_id: SLOT,
        attempt: 0,
        kind: Chat::ID,
        version: Chat::VERSION,
        spec_digest: Digest::ZERO,
        units: UnitVector::default(),
        disclosure: Digest::ZERO,
        output_commitment: Digest::ZERO,
    }
}

/// What an honest gateway makes of a question.
fn honest() -> Exchange {
    let request = request("What is a weir?");
    let text = "A low dam.";
    Exchange {
        receipt: receipt(),
        spec: spec(&request),
        output: output(text),
        response: response(text, &relay(&request, text)),
        request,
    }
}

#[test]
fn what_was_passed_on_holds_whole_and_as_a_stream() {
    let mut exchange = honest();
    assert_eq!(exchange.check().unwrap(), gateway().address());
    let worker = WorkersSide {
        receipt: &exchange.receipt,
        spec: &exchange.spec,
        output: &exchange.output,
    };
    let event = |delta: Value, fairweir: Value| {
        let choice = json!({"index": 0, "delta": delta});
        format!(
            "data: {}\n\n",
            json!({"choices": [choice], "fairweir": fairweir})
        )
    };
    let stream = [
        event(json!({"content": "A low "}), Value::Null),
        event(json!({"content": "dam."}), Value::Null),
        event(json!({}), exchange.response["fairweir"].clone()),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    assert!(check_relay(&worker, &exchange.request, stream.as_bytes()).is_ok());
    // Of several answers each has its own relay.
    let of_answer = exchange.response["fairweir"].clone();
    exchange.response["fairweir"] = json!({"orders": [of_answer]});
    assert_eq!(exchange.code(), "holds");
}

#[test]
fn a_gateway_that_changes_something_signs_what_convicts_it() {
    // It told the client something else than the worker said.
    let mut exchange = honest();
    let told = "A high dam.";
    exchange.response = response(told, &relay(&exchange.request, told));
    assert_eq!(exchange.code(), "answer_changed");
    // It asked something else, or in another way.
    let mut exchange = honest();
    exchange.spec = spec(&request("What is a dam?"));
    assert_eq!(exchange.code(), "question_changed");
    for other in [
        json!({"seed": 6}),
        json!({"temperature": 0.6}),
        json!({"max_tokens": 8}),
    ] {
        let mut exchange = honest();
        let mut asked: Value = serde_json::from_slice(&exchange.request).unwrap();
        for (name, value) in other.as_object().unwrap() {
            asked[name] = value.clone();
        }
        exchange.spec = spec(asked.to_string().as_bytes());
        assert_eq!(exchange.code(), "question_changed");
    }
}

#[test]
fn a_worker_with_two_receipts_does_not_make_the_gateway_look_wrong() {
    let mut exchange = honest();
    exchange.receipt.output_commitment = Digest::of_blob(b"another");
    exchange.output = output("A high dam.");
    assert_eq!(exchange.code(), "other_receipt");
}

#[test]
fn a_client_cannot_make_it_up() {
    let mut exchange = honest();
    exchange.request = request("What is a dam?");
    assert_eq!(exchange.code(), "other_request");
    let mut exchange = honest();
    exchange.response["choices"][0]["message"]["content"] = json!("A high dam.");
    assert_eq!(exchange.code(), "other_answer");
    let mut exchange = honest();
    exchange.receipt.slot_id.slot = 2;
    assert_eq!(exchange.code(), "relay_of_other_slot");
    let mut exchange = honest();
    exchange.response["fairweir"] = json!({});
    assert_eq!(exchange.code(), "no_relay");
    let mut exchange = honest();
    exchange.response["fairweir"]["relay"] = json!("????");
    assert_eq!(exchange.code(), "relay_malformed");
    let mut exchange = honest();
    exchange.spec.clear();
    assert_eq!(exchange.code(), "nothing_to_compare");
    let mut exchange = honest();
    let text = exchange.response["fairweir"]["relay"].as_str().unwrap();
    let mut bytes = STANDARD.decode(text).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    exchange.response["fairweir"]["relay"] = json!(STANDARD.encode(bytes));
    assert_eq!(exchange.code(), "relay_not_signed");
    let mut exchange = honest();
    exchange.request = b"{".to_vec();
    exchange.response = response("A low dam.", &relay(b"{", "A low dam."));
    assert_eq!(exchange.code(), "request_unreadable");
}

#[test]
fn hostile_responses_are_read_within_bounds() {
    let mut exchange = honest();
    exchange.response["choices"][0]["index"] = json!(u64::MAX);
    assert_eq!(exchange.code(), "no_relay");
    exchange.response = json!({"choices": 5, "data": {"embedding": []}, "fairweir": []});
    assert_eq!(exchange.code(), "no_relay");
}
