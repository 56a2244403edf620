//! Answers, whole and as they come.

use super::*;
use crate::{Claimed, ReceiptError};
use fairweir_types::{
    Amount, Digest,
    order::{OrderId, SlotId},
};

/// What differs from run to run, made the same.
fn stable(mut value: Value) -> Value {
    for (name, made) in [("id", json!("ID")), ("created", json!(0))] {
        if value.get(name).is_some() {
            value[name] = made;
        }
    }
    if let Some(fairweir) = value.get_mut("fairweir") {
        *fairweir = json!("FAIRWEIR");
    }
    value
}

fn content(events: &[Value], index: usize) -> String {
    events
        .iter()
        .filter_map(|event| event["choices"].as_array()?.first())
        .filter(|choice| choice["index"] == json!(index))
        .filter_map(|choice| choice["delta"]["content"].as_str())
        .collect()
}

#[tokio::test]
async fn a_chat_has_the_exact_shape() {
    let gateway = start(GatewayOptions::default()).await;
    let reply = gateway.chat(json!({"max_tokens": 2})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let body = reply.json();
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"));
    let text = body["choices"][0]["message"]["content"].clone();
    assert_eq!(
        stable(body.clone()),
        json!({
            "id": "ID",
            "object": "chat.completion",
            "created": 0,
            "model": "tiny",
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": null},
                "logprobs": null,
                "finish_reason": "length",
            }],
            "usage": {
                "prompt_tokens": 2,
                "completion_tokens": 2,
                "total_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": 0,
                    "audio_tokens": 0,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            },
            "service_tier": "default",
            "system_fingerprint": body["system_fingerprint"],
            "fairweir": "FAIRWEIR",
        })
    );
    let told = &body["fairweir"];
    assert_eq!(told["price_max"], json!("0.005"));
    assert_eq!(told["cost"], json!("0.003"));
    assert_eq!(told["receipt"], json!(reply.header("x-fairweir-receipt")));
    assert_eq!(reply.header("x-fairweir-price-max"), Some("0.005"));
    assert!(reply.header("x-request-id").unwrap().starts_with("req_"));
}

#[tokio::test]
async fn a_stream_says_the_same_as_the_whole_answer() {
    let gateway = start(GatewayOptions::default()).await;
    for extra in [json!({}), json!({"stop": "w2"}), json!({"logprobs": true})] {
        let whole = gateway.chat(extra.clone()).await.json();
        let mut extra = extra;
        extra["stream"] = json!(true);
        extra["stream_options"] = json!({"include_usage": true});
        let reply = gateway.chat(extra.clone()).await;
        assert_eq!(
            reply.header("content-type"),
            Some("text/event-stream; charset=utf-8")
        );
        let events = reply.events();
        let (done, events) = events.split_last().unwrap();
        assert_eq!(*done, json!("[DONE]"));
        let choice = &whole["choices"][0];
        assert_eq!(json!(content(events, 0)), choice["message"]["content"]);
        assert_eq!(
            events[0]["choices"][0]["delta"],
            json!({"role": "assistant", "content": "", "refusal": null})
        );
        let (usage, events) = events.split_last().unwrap();
        assert_eq!(usage["usage"], whole["usage"]);
        assert_eq!(usage["choices"], json!([]));
        assert_eq!(usage["fairweir"]["cost"], json!("0.003"));
        let end = events.last().unwrap();
        assert_eq!(end["choices"][0]["finish_reason"], choice["finish_reason"]);
        assert_eq!(end["choices"][0]["delta"], json!({}));
        assert!(
            events.iter().all(|event| event["usage"].is_null()
                && event["object"] == json!("chat.completion.chunk"))
        );
        let logprobs: Vec<Value> = events
            .iter()
            .filter_map(|event| event["choices"][0]["logprobs"]["content"].as_array())
            .flatten()
            .cloned()
            .collect();
        if extra["logprobs"] == json!(true) {
            assert!(!logprobs.is_empty());
            assert_eq!(logprobs[0]["logprob"], json!(-0.5));
            assert_eq!(logprobs[0]["bytes"][0], json!(32));
        }
    }
}

#[tokio::test]
async fn equal_seeds_give_equal_answers_and_choices_differ() {
    let gateway = start(GatewayOptions::default()).await;
    let text = |body: &Value, index: usize| body["choices"][index]["message"]["content"].clone();
    let three = gateway.chat(json!({"n": 3})).await.json();
    let one = gateway.chat(json!({})).await.json();
    assert_eq!(text(&three, 0), text(&one, 0));
    assert_ne!(text(&three, 1), text(&three, 2));
    assert_eq!(three["usage"]["prompt_tokens"], json!(2));
    assert_eq!(three["fairweir"]["orders"].as_array().unwrap().len(), 3);
    assert_eq!(three["fairweir"]["cost"], json!("0.009"));
    let other = gateway.chat(json!({"seed": 8})).await.json();
    assert_ne!(text(&other, 0), text(&one, 0));
    let streamed = gateway.chat(json!({"n": 3, "stream": true})).await.events();
    for index in 0..3 {
        assert_eq!(json!(content(&streamed, index)), text(&three, index));
    }
}

#[tokio::test]
async fn completions_echo_prompts_and_tell_logprobs() {
    let gateway = start(GatewayOptions::default()).await;
    let ask = |extra: Value| {
        let mut body = json!({"model": "tiny", "prompt": "one two", "seed": 7, "max_tokens": 1});
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let post = async |extra: Value| gateway.post("/v1/completions", &ask(extra)).await;
    let plain = post(json!({})).await.json();
    let text = plain["choices"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(plain["object"], json!("text_completion"));
    let echo = post(json!({"echo": true, "logprobs": 1})).await.json();
    let choice = &echo["choices"][0];
    assert_eq!(choice["text"], json!(format!("one two{text}")));
    assert_eq!(choice["logprobs"]["tokens"], json!(["one ", "two", text]));
    assert_eq!(
        choice["logprobs"]["token_logprobs"],
        json!([null, -0.5, -0.5])
    );
    assert_eq!(choice["logprobs"]["text_offset"], json!([0, 4, 7]));
    assert_eq!(
        choice["logprobs"]["top_logprobs"],
        json!([null, {"two": -0.5}, {text.clone(): -0.5}])
    );
    let alone = post(json!({"echo": true, "max_tokens": 0, "logprobs": 0}))
        .await
        .json();
    assert_eq!(alone["choices"][0]["text"], json!("one two"));
    assert_eq!(alone["usage"]["completion_tokens"], json!(0));
    let tokens = post(json!({"prompt": [5, 6], "echo": true})).await.json();
    assert_eq!(tokens["choices"][0]["text"], json!(format!("<5><6>{text}")));
    assert_eq!(tokens["choices"][0]["logprobs"], Value::Null);
    let two = post(json!({"prompt": ["a", "b c"], "n": 2})).await.json();
    assert_eq!(two["choices"].as_array().unwrap().len(), 4);
    assert_eq!(two["usage"]["prompt_tokens"], json!(3));
    let streamed = post(json!({"echo": true, "stream": true})).await.events();
    let whole: String = streamed
        .iter()
        .filter_map(|event| event["choices"][0]["text"].as_str())
        .collect();
    assert_eq!(whole, format!("one two{text}"));
}

#[tokio::test]
async fn embeddings_come_as_numbers_and_as_bytes() {
    let gateway = start(GatewayOptions::default()).await;
    let ask = |extra: Value| {
        let mut body = json!({"model": "org/vectors", "input": ["a", "bcd"]});
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let post = async |extra: Value| gateway.post("/v1/embeddings", &ask(extra)).await;
    let reply = post(json!({})).await;
    assert!(reply.body.contains("[1.0,0.1,-1.5e-8]"), "{}", reply.body);
    let body = reply.json();
    assert_eq!(body["object"], json!("list"));
    assert_eq!(body["data"][1]["index"], json!(1));
    assert_eq!(
        body["usage"],
        json!({"prompt_tokens": 2, "total_tokens": 2})
    );
    let base64 = post(json!({"encoding_format": "base64"})).await.json();
    assert_eq!(base64["data"][0]["embedding"], json!("AACAP83MzD1Z2YCy"));
    let right = post(json!({"dimensions": 3})).await;
    assert_eq!(right.status, 200);
    let wrong = post(json!({"dimensions": 4})).await;
    assert_eq!((wrong.status, wrong.error().3), (400, json!("dimensions")));
    let tokens = post(json!({"input": [1, 2]})).await;
    assert_eq!((tokens.status, tokens.error().3), (400, json!("input")));
}

#[tokio::test]
async fn models_health_and_receipts_are_there() {
    let gateway = start(GatewayOptions::default()).await;
    let models = gateway.get("/v1/models").await.json();
    assert_eq!(models["object"], json!("list"));
    assert_eq!(models["data"][0]["id"], json!("tiny"));
    let one = gateway.get("/v1/models/org/vectors").await.json();
    assert_eq!(one["object"], json!("model"));
    let health = gateway.get("/health").await.json();
    assert_eq!(
        (&health["status"], &health["running"]),
        (&json!("ok"), &json!(0))
    );
    let bought = gateway.chat(json!({})).await;
    let id = bought.header("x-fairweir-receipt").unwrap().to_owned();
    let receipt = gateway.get(&format!("/v1/fairweir/receipts/{id}")).await;
    assert_eq!(receipt.status, 200);
    assert!(receipt.body.starts_with("receipt of"));
    for (error, status, code) in [
        (ReceiptError::NotSettled(None), 202, json!(null)),
        (ReceiptError::Unknown, 404, json!("receipt_not_found")),
        (ReceiptError::Refunded, 404, json!("receipt_refunded")),
        (ReceiptError::Unclaimed, 404, json!("receipt_unclaimed")),
    ] {
        *gateway.market.receiptless.lock().unwrap() = Some(error);
        let receipt = gateway.get(&format!("/v1/fairweir/receipts/{id}")).await;
        let said = receipt.json();
        assert_eq!((receipt.status, &said["error"]["code"]), (status, &code));
    }
    // What a challenge names is told as soon as the batch is known.
    let claimed = Claimed {
        batch: SlotId {
            order: OrderId(Digest::ZERO),
            slot: 0,
        },
        at: Amount::from_coins(1).unwrap(),
    };
    let pending = Some(ReceiptError::NotSettled(Some(claimed)));
    *gateway.market.receiptless.lock().unwrap() = pending;
    let receipt = gateway.get(&format!("/v1/fairweir/receipts/{id}")).await;
    let said = receipt.json();
    let batch = format!("{}:0", OrderId(Digest::ZERO));
    assert_eq!((&said["batch"], &said["at"]), (&json!(batch), &json!("1")));
    // Who did not buy it does not get it: it holds question and answer.
    let (_, other) = gateway.keys.create("other", KeyLimits::default()).unwrap();
    let path = format!("/v1/fairweir/receipts/{id}");
    assert_eq!(gateway.ask("GET", &path, &other, "").await.status, 404);
}
