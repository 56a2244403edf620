//! Refusals, limits, hang-ups, and the end.

use super::*;
use crate::MarketError;
use fairweir_types::Amount;
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::timeout;

#[tokio::test]
async fn what_is_wrong_is_said_as_openai_says_it() {
    let gateway = start(GatewayOptions::default()).await;
    let invalid = "invalid_request_error";
    // body, status, code, param
    let table = [
        (
            json!({"model": "none"}),
            404,
            json!("model_not_found"),
            json!("model"),
        ),
        (
            json!({"model": 1}),
            400,
            json!("invalid_type"),
            json!("model"),
        ),
        (
            json!({"model": null}),
            400,
            json!("missing_required_parameter"),
            json!("model"),
        ),
        (
            json!({"model": "org/vectors"}),
            400,
            json!("model_not_supported"),
            json!("model"),
        ),
        (
            json!({"messages": []}),
            400,
            json!("empty_array"),
            json!("messages"),
        ),
        (
            json!({"messages": "hi"}),
            400,
            json!("invalid_type"),
            json!("messages"),
        ),
        (
            json!({"messages": [{"role": "king", "content": "x"}]}),
            400,
            json!("invalid_value"),
            json!("messages[0].role"),
        ),
        (
            json!({"messages": [{"role": "user"}]}),
            400,
            Value::Null,
            json!("messages[0].content"),
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}),
            400,
            json!("unsupported_value"),
            json!("messages[0].content[0].type"),
        ),
        (
            json!({"temperature": 2.5}),
            400,
            json!("decimal_above_max_value"),
            json!("temperature"),
        ),
        (
            json!({"temperature": "hot"}),
            400,
            json!("invalid_type"),
            json!("temperature"),
        ),
        (
            json!({"top_p": -1}),
            400,
            json!("decimal_below_min_value"),
            json!("top_p"),
        ),
        (
            json!({"n": 0}),
            400,
            json!("integer_below_min_value"),
            json!("n"),
        ),
        (
            json!({"n": 9}),
            400,
            json!("integer_above_max_value"),
            json!("n"),
        ),
        (json!({"n": 1.5}), 400, json!("invalid_type"), json!("n")),
        (
            json!({"max_tokens": 0}),
            400,
            json!("integer_below_min_value"),
            json!("max_tokens"),
        ),
        (
            json!({"max_tokens": 5000}),
            400,
            json!("context_length_exceeded"),
            json!("max_tokens"),
        ),
        (
            json!({"logit_bias": {"x": 1}}),
            400,
            json!("invalid_value"),
            json!("logit_bias"),
        ),
        (
            json!({"logit_bias": {"1": 101}}),
            400,
            json!("invalid_value"),
            json!("logit_bias"),
        ),
        (
            json!({"stop": [""]}),
            400,
            json!("invalid_value"),
            json!("stop"),
        ),
        (
            json!({"top_logprobs": 2}),
            400,
            json!("invalid_value"),
            json!("top_logprobs"),
        ),
        (
            json!({"response_format": {"type": "json_schema"}}),
            400,
            json!("unsupported_value"),
            json!("response_format"),
        ),
        (
            json!({"stream_options": {}}),
            400,
            json!("invalid_value"),
            json!("stream_options"),
        ),
        (
            json!({"tool_choice": "required"}),
            400,
            json!("unsupported_value"),
            json!("tool_choice"),
        ),
        (
            json!({"best": 1}),
            400,
            json!("unknown_parameter"),
            json!("best"),
        ),
    ];
    for (extra, status, code, param) in table {
        let reply = gateway.chat(extra.clone()).await;
        assert_eq!(
            reply.error(),
            (status, json!(invalid), code, param),
            "{extra}: {}",
            reply.body
        );
    }
    let harmless = json!({
        "user": "u", "metadata": {}, "store": false, "n": null, "tools": [], "max_completion_tokens": 3,
        "response_format": {"type": "text"}, "logit_bias": {"5": -100}, "temperature": 0, "stop": null,
        "messages": [{"role": "developer", "content": [{"type": "text", "text": "a"}]}, {"role": "user", "content": "b", "name": "n"}],
    });
    assert_eq!(gateway.chat(harmless).await.status, 200);
    let path = "/v1/chat/completions";
    let (get, none) = (gateway.get(path).await, gateway.get("/v1/nothing").await);
    assert_eq!(
        (get.status, get.error().2),
        (405, json!("method_not_supported"))
    );
    assert_eq!((none.status, none.error().2), (404, json!("unknown_url")));
    for body in ["{", "[]", ""] {
        let reply = gateway.ask("POST", path, &gateway.secret, body).await;
        assert_eq!(reply.error().0, 400, "{body}");
    }
}

#[tokio::test]
async fn keys_are_asked_for() {
    let gateway = start(GatewayOptions::default()).await;
    let body = chat(&json!({})).to_string();
    let path = "/v1/chat/completions";
    let wrong = gateway.ask("POST", path, "fw-wrong-secret", &body).await;
    let expected = (
        401,
        json!("invalid_request_error"),
        json!("invalid_api_key"),
        Value::Null,
    );
    assert_eq!(wrong.error(), expected);
    assert!(!wrong.body.contains("wrong-secret"));
    let none = gateway.ask("POST", path, "", &body).await;
    assert_eq!((none.status, none.error().2), (401, Value::Null));
    let id = gateway.keys.list()[0].id.clone();
    assert_eq!(gateway.chat(json!({})).await.status, 200);
    gateway.keys.revoke(&id).unwrap();
    assert_eq!(gateway.chat(json!({})).await.error(), expected);
}

#[tokio::test]
async fn too_many_requests_and_too_much_money_are_refused() {
    let limits = KeyLimits {
        requests_per_minute: Some(2),
        ..KeyLimits::default()
    };
    let gateway = start_with(GatewayOptions::default(), limits).await;
    let first = gateway.chat(json!({})).await;
    assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("1"));
    assert_eq!(gateway.chat(json!({})).await.status, 200);
    let third = gateway.chat(json!({})).await;
    let expected = (
        429,
        json!("requests"),
        json!("rate_limit_exceeded"),
        Value::Null,
    );
    assert_eq!(third.error(), expected);
    assert!(third.header("retry-after").is_some());
    assert_eq!(third.header("x-ratelimit-remaining-requests"), Some("0"));

    // Each order may cost 5 and costs 3 thousandths: of 9, two fit, then 3 are left.
    let limits = KeyLimits {
        spend_max: Amount::from_base_units(9 * 1_000_000),
        ..KeyLimits::default()
    };
    let (_, secret) = gateway.keys.create("poor", limits).unwrap();
    let ask = async || {
        let body = chat(&json!({})).to_string();
        gateway
            .ask("POST", "/v1/chat/completions", &secret, &body)
            .await
    };
    assert_eq!(ask().await.status, 200);
    spent(&gateway, "0.003").await;
    assert_eq!(ask().await.status, 200);
    spent(&gateway, "0.006").await;
    let quota = json!("insufficient_quota");
    assert_eq!(
        ask().await.error(),
        (429, quota.clone(), quota, Value::Null)
    );
}

/// Waits until a key called poor has spent so much.
async fn spent(gateway: &Running, coins: &str) {
    let is_spent = || gateway.keys.list()[1].spent.to_string() == coins;
    timeout(Duration::from_secs(5), async {
        while !is_spent() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_is_too_long_is_refused() {
    let options = GatewayOptions {
        body_bytes_max: 64 * 1_024,
        ..GatewayOptions::default()
    };
    let gateway = start(options).await;
    let message =
        |words: usize| json!({"messages": [{"role": "user", "content": "a ".repeat(words)}]});
    for stream in [false, true] {
        let mut long = message(3_000);
        long["stream"] = json!(stream);
        let reply = gateway.chat(long).await;
        let expected = (
            400,
            json!("invalid_request_error"),
            json!("context_length_exceeded"),
            json!("messages"),
        );
        assert_eq!(reply.error(), expected);
    }
    let huge = gateway.chat(message(40_000)).await;
    assert_eq!(
        (huge.status, huge.error().2),
        (413, json!("request_too_large"))
    );
}

#[tokio::test]
async fn failures_of_the_network_have_their_status() {
    let gateway = start(GatewayOptions::default()).await;
    let reasons = vec!["price_above_max".to_owned()];
    let table = [
        (MarketError::NoWorker { reasons }, 503, "no_worker"),
        (
            MarketError::NoFunds("0".to_owned()),
            429,
            "insufficient_quota",
        ),
        (MarketError::Full("x".to_owned()), 503, "network_full"),
        (
            MarketError::NotTaken("x".to_owned()),
            503,
            "kind_not_active",
        ),
        (MarketError::Failed("x".to_owned()), 500, "internal_error"),
        (
            MarketError::Unreachable("x".to_owned()),
            503,
            "network_unreachable",
        ),
    ];
    for (error, status, code) in table {
        *gateway.market.failure.lock().unwrap() = Some(error);
        let reply = gateway.chat(json!({})).await;
        assert_eq!((reply.status, reply.error().2), (status, json!(code)));
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_frees_its_place() {
    let gateway = start(GatewayOptions::default()).await;
    gateway.market.pause.store(60_000, Ordering::SeqCst);
    for stream in [false, true] {
        let body = chat(&json!({"stream": stream})).to_string();
        let path = "/v1/chat/completions";
        let connection = gateway.send("POST", path, &gateway.secret, &body).await;
        let running = async |count: u64| {
            timeout(Duration::from_secs(5), async {
                while gateway.get("/health").await.json()["running"] != json!(count) {
                    tokio::task::yield_now().await;
                }
            })
            .await
            .unwrap();
        };
        running(1).await;
        drop(connection);
        running(0).await;
    }
}

#[tokio::test]
async fn the_end_waits_for_running_answers() {
    let mut gateway = start(GatewayOptions::default()).await;
    gateway.market.pause.store(20, Ordering::SeqCst);
    let body = chat(&json!({"stream": true})).to_string();
    let path = "/v1/chat/completions";
    let mut connection = gateway.send("POST", path, &gateway.secret, &body).await;
    let mut bytes = vec![0; 16];
    connection.read_exact(&mut bytes).await.unwrap();
    gateway.stop.take();
    connection.read_to_end(&mut bytes).await.unwrap();
    assert!(reply(&bytes).body.ends_with("data: [DONE]\n\n"));
    gateway.task.join_next().await.unwrap().unwrap();
    assert_eq!(gateway.keys.list()[0].spent.to_string(), "0.003");
    assert!(TcpStream::connect(gateway.address).await.is_err());
}
