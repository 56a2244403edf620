//! What the index holds and what the API answers.

use crate::running::{Database, Running, blocks, dump, play, script_names, start};
use fairweir_gateway::explorer::{ExplorerOptions, Index, IndexError, openapi};
use fairweir_types::Genesis;
use serde_json::Value;
use std::{collections::BTreeSet, time::Duration};

const SESSION: &str = "a_session_from_escrow_to_settlement.script";
const MOTION: &str = "a_penalty_motion.script";
const LIAR: &str = "a_lying_worker_is_slashed.script";

/// A live index is stopped and opened again on its way; another is made from all blocks at once. Both are the same, row by row.
#[tokio::test]
async fn an_index_that_is_rebuilt_equals_the_live_one() {
    let mut tables = BTreeSet::new();
    for name in script_names() {
        let world = play(&name);
        let blocks = blocks(&world);
        let (live, rebuilt) = (Database::new().await, Database::new().await);
        let mut index = Index::open(&live.url, &world.genesis).await.unwrap();
        for (number, block) in blocks.iter().enumerate() {
            if number % 40 == 20 {
                index.close().await;
                index = Index::open(&live.url, &world.genesis).await.unwrap();
            }
            if let Err(error) = index.apply(block).await {
                panic!("{name}: block {}: {error:?}", number + 1);
            }
        }
        let other = Index::open(&rebuilt.url, &world.genesis).await.unwrap();
        for block in &blocks {
            other.apply(block).await.unwrap();
        }
        let (live, rebuilt) = (dump(&index).await, dump(&other).await);
        assert_eq!(live, rebuilt, "{name}");
        let names = live.iter().filter_map(|line| line.split(' ').next());
        tables.extend(names.map(str::to_owned));
        index.close().await;
        other.close().await;
    }
    assert_eq!(tables.len(), 21, "no script fills every table: {tables:?}");
}

#[tokio::test]
async fn only_the_next_block_of_the_chain_is_taken() {
    let world = play(LIAR);
    let blocks = blocks(&world);
    let database = Database::new().await;
    let index = Index::open(&database.url, &world.genesis).await.unwrap();
    index.apply(&blocks[0]).await.unwrap();
    let before = dump(&index).await;
    for wrong in [&blocks[0], &blocks[2]] {
        let refused = index.apply(wrong).await;
        assert!(
            matches!(refused, Err(IndexError::NotNext { tip: 1, .. })),
            "{refused:?}"
        );
    }
    let mut of_another = blocks[1].clone();
    of_another.block.header.parent = of_another.digest;
    let refused = index.apply(&of_another).await;
    assert!(
        matches!(refused, Err(IndexError::OtherChain)),
        "{refused:?}"
    );
    // A block that breaks on its way leaves nothing: here its second half is about an order that is not there.
    let mut broken = blocks[1].clone();
    let orphan = blocks
        .iter()
        .flat_map(|block| &block.events)
        .find(|event| matches!(event, fairweir_types::Event::Matched(_)));
    broken.events.push(orphan.unwrap().clone());
    let refused = index.apply(&broken).await;
    assert!(
        matches!(refused, Err(IndexError::Missing { .. })),
        "{refused:?}"
    );
    assert_eq!(dump(&index).await, before);
    index.apply(&blocks[1]).await.unwrap();
    assert_eq!(index.tip().await.unwrap().height, 2);
}

#[tokio::test]
async fn an_index_of_another_chain_is_thrown_away() {
    let world = play(LIAR);
    let database = Database::new().await;
    let index = Index::open(&database.url, &world.genesis).await.unwrap();
    for block in blocks(&world).iter().take(5) {
        index.apply(block).await.unwrap();
    }
    index.close().await;
    let other = Genesis {
        time: fairweir_types::Millis(2),
        ..world.genesis.clone()
    };
    let index = Index::open(&database.url, &other).await.unwrap();
    assert_eq!(index.tip().await.unwrap().height, 0);
    let anew = Database::new().await;
    let anew = Index::open(&anew.url, &other).await.unwrap();
    assert_eq!(dump(&index).await, dump(&anew).await);
}

#[tokio::test]
async fn no_database_of_an_unknown_kind_is_opened() {
    let world = play(LIAR);
    let refused = Index::open("mysql://x/y", &world.genesis).await;
    assert!(matches!(refused, Err(IndexError::UnknownDatabase)));
}

async fn started(name: &str) -> Running {
    let world = play(name);
    let running = start(&world, ExplorerOptions::default()).await;
    for block in blocks(&world) {
        running.index.apply(&block).await.unwrap();
    }
    running
}

fn words<'a>(items: &'a [Value], name: &str) -> BTreeSet<&'a str> {
    items
        .iter()
        .filter_map(|item| item[name].as_str())
        .collect()
}

#[tokio::test]
async fn pages_hold_everything_once_and_newest_first() {
    let explorer = started(LIAR).await;
    let events = explorer.all("/events", 100).await;
    let cursors: Vec<&str> = events
        .iter()
        .map(|event| event["cursor"].as_str().unwrap())
        .collect();
    assert!(cursors.windows(2).all(|pair| pair[0] > pair[1]));
    assert_eq!(explorer.all("/events", 3).await, events);
    for name in words(&events, "event") {
        let these = explorer.all(&format!("/events?event={name}"), 7).await;
        let expected: Vec<&Value> = events
            .iter()
            .filter(|event| event["event"] == name)
            .collect();
        assert_eq!(these.iter().collect::<Vec<_>>(), expected);
    }
    let order = explorer.all("/orders", 1).await[0]["order"]
        .as_str()
        .unwrap()
        .to_owned();
    let about = explorer.all(&format!("/orders/{order}/events"), 5).await;
    let expected: Vec<&Value> = events
        .iter()
        .filter(|event| event["order"] == order.as_str())
        .collect();
    assert_eq!(about.iter().collect::<Vec<_>>(), expected);
    explorer.stop().await;
}

#[tokio::test]
async fn a_slash_is_told_with_its_dispute_and_its_reasons() {
    let explorer = started(LIAR).await;
    let slashes = explorer.all("/slashes?reason=wrong_trace", 10).await;
    let slash = &slashes[0];
    let (slot, account) = (
        slash["slot"].as_str().unwrap(),
        slash["account"].as_str().unwrap(),
    );
    let disputes = explorer.all(&format!("/slots/{slot}/disputes"), 10).await;
    assert_eq!(
        (&disputes[0]["state"], &disputes[0]["verdict"]),
        (&"decided".into(), &"invalid".into())
    );
    let verdicts = explorer.all(&format!("/slots/{slot}/verdicts"), 50).await;
    assert!(verdicts.len() >= 5, "{verdicts:?}");
    let node = explorer.get(&format!("/nodes/{account}")).await;
    let of_account = explorer
        .all(&format!("/accounts/{account}/slashes"), 10)
        .await;
    assert_eq!(node.body["slashes"], of_account.len());
    let found = explorer.get(&format!("/accounts/{account}")).await;
    assert_eq!(
        (found.status, &found.body["now"]),
        (200, &Value::Null),
        "a silent node leaves it out"
    );
    let seats = explorer.get("/seats").await.body["now"].clone();
    assert_eq!(
        (&seats["epoch"], &seats["seats"][0]["stake"]),
        (&3.into(), &"5".into())
    );
    let receipts = explorer.all(&format!("/nodes/{account}/receipts"), 5).await;
    assert_eq!(receipts[0]["state"], "refunded");
    explorer.stop().await;
}

#[tokio::test]
async fn reasons_for_non_matches_are_told_by_slot_worker_and_reason() {
    let explorer = started("matching.script").await;
    let all = explorer.all("/non-matches", 100).await;
    let reasons = words(&all, "reason");
    assert!(reasons.len() >= 8, "{reasons:?}");
    for reason in reasons {
        let these = explorer
            .all(&format!("/non-matches?reason={reason}"), 9)
            .await;
        assert!(!these.is_empty());
    }
    for worker in words(&all, "worker") {
        let these = explorer
            .all(&format!("/nodes/{worker}/non-matches"), 9)
            .await;
        assert!(these.iter().all(|other| other["worker"] == worker));
    }
    explorer.stop().await;
}

#[tokio::test]
async fn a_session_is_told_with_lanes_and_batches() {
    let explorer = started(SESSION).await;
    let sessions = explorer.all("/sessions", 10).await;
    let order = sessions[0]["order"].as_str().unwrap();
    let lanes = explorer.all(&format!("/orders/{order}/lanes"), 10).await;
    let lane = lanes[0]["slot"].as_str().unwrap();
    assert_eq!(explorer.get(&format!("/lanes/{lane}")).await.body, lanes[0]);
    let batches = explorer.all(&format!("/lanes/{lane}/batches"), 10).await;
    assert!(batches.iter().any(|batch| batch["state"] == "settled"));
    let batch = batches[0]["slot"].as_str().unwrap();
    let slot = explorer.get(&format!("/slots/{batch}")).await;
    assert_eq!(slot.body["of"], "batch");
    assert_eq!(lanes[0]["batches"], batches.len());
    explorer.stop().await;
}

#[tokio::test]
async fn a_proposal_is_told_with_its_votes_and_its_end() {
    let explorer = started(MOTION).await;
    let motions = explorer.all("/proposals?state=ended", 3).await;
    assert_eq!(motions, explorer.all("/proposals", 100).await);
    // The third was appealed, voted on again, and done.
    let motion = explorer.get("/proposals/3").await.body;
    assert!(motions.contains(&motion));
    assert_eq!(motion["outcome"], "executed");
    assert_eq!(motion["does"]["share_bps"], 1_000);
    assert_eq!(motion["tally"]["yes"], "11000000000000000");
    assert!(motion["grounds"].is_string() && motion["answer"].is_null());
    let votes = explorer.all("/proposals/3/votes", 2).await;
    assert_eq!(votes.len(), 7, "of both votings");
    assert_eq!(votes[0]["weights"]["no"], 5_000);
    let document = openapi();
    for path in ["/api/v1/proposals", "/api/v1/proposals/{proposal}/votes"] {
        let reply = explorer.ask("GET", &path.replace("{proposal}", "3")).await;
        let schema = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
            ["schema"];
        assert!(schema.is_object());
        assert_documented(&document, schema, &reply.body, path);
    }
    explorer.stop().await;
}

#[tokio::test]
async fn what_cannot_be_answered_is_said_in_one_shape() {
    let explorer = started(LIAR).await;
    let digest = "0".repeat(64);
    let nobody = format!("fw1{}", "q".repeat(38));
    // path, status, code
    let table = [
        ("/blocks?limit=0".to_owned(), 400, "malformed"),
        ("/blocks?limit=101".to_owned(), 400, "malformed"),
        ("/blocks?limit=x".to_owned(), 400, "malformed"),
        ("/blocks?limit=%2B1".to_owned(), 400, "malformed"),
        ("/blocks?limit=1&limit=1".to_owned(), 400, "malformed"),
        (
            "/blocks?cursor=8000000000000000".to_owned(),
            400,
            "malformed",
        ),
        (
            "/blocks?cursor=+000000000000000".to_owned(),
            400,
            "malformed",
        ),
        ("/blocks?colour=red".to_owned(), 400, "unknown_parameter"),
        ("/blocks/1?limit=1".to_owned(), 400, "unknown_parameter"),
        ("/blocks/-1".to_owned(), 400, "malformed"),
        ("/blocks/01".to_owned(), 400, "malformed"),
        ("/blocks/%FF".to_owned(), 400, "malformed"),
        ("/blocks/999999999999".to_owned(), 404, "not_found"),
        ("/events?event=nothing".to_owned(), 400, "malformed"),
        ("/orders/xyz".to_owned(), 400, "malformed"),
        (format!("/orders/{digest}"), 404, "not_found"),
        (format!("/orders/{digest}/events"), 404, "not_found"),
        (format!("/slots/{digest}:0"), 404, "not_found"),
        (format!("/slots/{digest}"), 400, "malformed"),
        (format!("/accounts/{nobody}"), 404, "not_found"),
        (format!("/nodes/{nobody}/offers"), 404, "not_found"),
        ("/accounts/fw1nobody".to_owned(), 400, "malformed"),
        ("/events/stream?after=x".to_owned(), 400, "malformed"),
        ("/nothing".to_owned(), 404, "not_found"),
        ("/status?x=1".to_owned(), 400, "unknown_parameter"),
        ("/seats?x=1".to_owned(), 400, "unknown_parameter"),
    ];
    for (path, status, code) in table {
        let reply = explorer.get(&path).await;
        assert_eq!((reply.status, reply.code()), (status, code), "{path}");
        assert!(reply.head.contains("content-type: application/json"));
        assert!(reply.body["error"]["message"].is_string());
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"] {
        for path in ["/status", "/blocks", "/events/stream", "/blocks/1"] {
            let reply = explorer.ask(method, &format!("/api/v1{path}")).await;
            assert_eq!(
                (reply.status, reply.code()),
                (405, "method_not_allowed"),
                "{method} {path}"
            );
            assert!(reply.head.contains("allow: get,head"), "{}", reply.head);
        }
    }
    explorer.stop().await;
}

#[test]
fn every_reference_of_the_document_leads_to_something() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let (document, mut found) = (openapi(), Vec::new());
    references(&document, &mut found);
    assert!(found.len() > 40, "{}", found.len());
    for reference in found {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference}");
    }
}

/// Every path of the document is answered, and every field of every answer is in it.
#[tokio::test]
async fn the_document_says_what_is_answered() {
    let explorer = started(SESSION).await;
    let document = explorer.get("/openapi.json").await.body;
    assert_eq!(document, openapi());
    for (path, item) in document["paths"].as_object().unwrap() {
        if path.contains('{') || path.ends_with("/stream") {
            continue;
        }
        let reply = explorer.ask("GET", path).await;
        assert_eq!(reply.status, 200, "{path}");
        let schema = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        assert_documented(&document, schema, &reply.body, path);
    }
    explorer.stop().await;
}

fn assert_documented(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        let schema = &document["components"]["schemas"][name];
        assert!(schema.is_object(), "{at}: no schema {name}");
        return assert_documented(document, schema, value, at);
    }
    match value {
        Value::Array(items) => {
            for item in items {
                assert_documented(document, &schema["items"], item, at);
            }
        }
        Value::Object(fields) => {
            if let Some(known) = schema["properties"].as_object() {
                for (name, field) in fields {
                    let schema = known.get(name);
                    let schema = schema.unwrap_or_else(|| panic!("{at}: {name} is not documented"));
                    assert_documented(document, schema, field, &format!("{at}.{name}"));
                }
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_left_and_shows_that_it_lives() {
    let world = play(LIAR);
    let options = ExplorerOptions {
        heartbeat: Duration::from_millis(50),
        streams_max: 2,
        ..ExplorerOptions::default()
    };
    let explorer = start(&world, options).await;
    let blocks = blocks(&world);
    let (early, late) = blocks.split_at(10);
    for block in early {
        explorer.index.apply(block).await.unwrap();
    }
    let path = "/api/v1/events/stream";
    let mut fresh = explorer.connect("GET", path, "").await;
    let head = Running::read_until(&mut fresh, "still here").await;
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    let events = explorer.all("/events", 100).await;
    let (newest, oldest) = (
        events.first().unwrap()["cursor"].as_str().unwrap(),
        events.last().unwrap()["cursor"].as_str().unwrap(),
    );
    // From the oldest on: all others in their order, and then what becomes final while it is read.
    let mut resumed = explorer
        .connect("GET", path, &format!("last-event-id: {oldest}\r\n"))
        .await;
    let mut text = Running::read_until(&mut resumed, &format!("id: {newest}\n")).await;
    let refused = explorer.get("/events/stream").await;
    assert_eq!((refused.status, refused.code()), (503, "too_many_streams"));
    for block in late {
        explorer.index.apply(block).await.unwrap();
    }
    let events = explorer.all("/events", 100).await;
    let newest = events.first().unwrap()["cursor"].as_str().unwrap();
    text.push_str(&Running::read_until(&mut resumed, &format!("\"{newest}\"")).await);
    let ids: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .collect();
    let mut expected: Vec<&str> = events
        .iter()
        .map(|event| event["cursor"].as_str().unwrap())
        .filter(|cursor| *cursor > oldest)
        .collect();
    expected.reverse();
    assert_eq!(ids, expected);
    let fresh = Running::read_until(&mut fresh, &format!("\"{newest}\"")).await;
    assert!(!fresh.contains(oldest));
    // Streams end with the explorer.
    explorer.stop().await;
}
