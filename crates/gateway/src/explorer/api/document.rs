//! The document of the API, made from the same list as the router and from the records themselves.

use super::{
    LIMIT, LIMIT_MAX, Pairs, cursor,
    failure::{CODES, Failure},
    parameters,
    resources::{Filter, Format, HEIGHT_MAX, List, One, RESOURCES, Resource},
    status::{
        AccountNow, Audit, CandidateNow, EpochNow, Holdings, IndexStatus, NetworkStatus, Rules,
        SeatNow, Seats, Secured, Status, Supply,
    },
};
use crate::{explorer::records, server::json_response};
use axum::{extract::Query, response::Response};
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::ComponentsBuilder;

macro_rules! components {
    ($($record:ty),+ $(,)?) => {
        ComponentsBuilder::new()$(.schema_from::<$record>())+.build()
    };
}

fn schemas() -> Value {
    let components = components![
        records::Block,
        records::Transaction,
        records::Event,
        records::Account,
        records::Order,
        records::Slot,
        records::NonMatch,
        records::Lane,
        records::Batch,
        records::Receipt,
        records::Verdict,
        records::Judgement,
        records::Dispute,
        records::Slash,
        records::Node,
        records::Offer,
        records::Service,
        records::ServiceEntry,
        records::Proposal,
        records::ProposalVote,
        records::Tally,
        records::Weights,
        records::Units,
        records::Prices,
        records::Demand,
        records::Session,
        records::Payment,
        records::Settlement,
        records::Refund,
        records::Enrolment,
        records::KnownKind,
        AccountNow,
        Holdings,
        Status,
        IndexStatus,
        NetworkStatus,
        Supply,
        Secured,
        Audit,
        Rules,
        Seats,
        EpochNow,
        SeatNow,
        CandidateNow,
    ];
    let mut value = serde_json::to_value(components).unwrap_or_default();
    if let Some(schemas) = value.get_mut("schemas").and_then(Value::as_object_mut) {
        let codes: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
        let meanings: Vec<String> = CODES
            .iter()
            .map(|(code, means)| format!("`{code}`: {means}"))
            .collect();
        schemas.insert("Error".to_owned(), json!({
            "type": "object",
            "required": ["error"],
            "properties": {"error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string", "enum": codes, "description": meanings.join("; ")},
                    "message": {"type": "string", "description": "What is wrong, in words."},
                },
            }},
        }));
    }
    value
}

fn responses(schema: &Value, not_found: Option<&str>) -> Value {
    let failure = |description: String| json!({"description": description, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}});
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({"description": "What was asked for.", "content": {"application/json": {"schema": schema}}}));
    responses.insert(
        "400".to_owned(),
        failure("A parameter is malformed or unknown.".to_owned()),
    );
    if let Some(what) = not_found {
        responses.insert(
            "404".to_owned(),
            failure(format!("The index has no such {what}.")),
        );
    }
    responses.insert(
        "503".to_owned(),
        failure("The index does not answer now.".to_owned()),
    );
    Value::Object(responses)
}

fn path_parameter(name: &str, format: Format) -> Value {
    let schema = format.pattern().map_or_else(
        || json!({"type": "integer", "minimum": 0, "maximum": HEIGHT_MAX}),
        |pattern| json!({"type": "string", "pattern": pattern}),
    );
    json!({"name": name, "in": "path", "required": true, "schema": schema, "description": format.says()})
}

fn filter_parameter(filter: &Filter) -> Value {
    json!({
        "name": filter.name, "in": "query", "required": false, "description": "Only these.",
        "schema": {"type": "string", "enum": filter.values},
    })
}

fn page_parameters() -> [Value; 2] {
    [
        json!({
            "name": "limit", "in": "query", "required": false, "description": "How many at most.",
            "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT},
        }),
        json!({
            "name": "cursor", "in": "query", "required": false, "description": "Goes on where the page ended whose `next` this is.",
            "schema": {"type": "string", "pattern": cursor::PATTERN},
        }),
    ]
}

fn operation_id(path: &str) -> String {
    let words = path.split(['/', '-', '.']).filter(|word| !word.is_empty());
    let words: Vec<String> = words
        .map(|word| {
            word.trim_start_matches('{')
                .trim_end_matches('}')
                .to_owned()
        })
        .collect();
    format!("get_{}", words.join("_"))
}

fn operation(path: &str, summary: &str, parameters: &[Value], responses: &Value) -> Value {
    let tag = path.split('/').nth(1).unwrap_or_default();
    json!({"get": {
        "operationId": operation_id(path), "summary": summary, "tags": [tag],
        "parameters": parameters, "responses": responses,
    }})
}

fn of_list(list: &List) -> Value {
    let mut parameters: Vec<Value> = list
        .within
        .iter()
        .map(|within| path_parameter(within.name, within.format))
        .collect();
    parameters.extend(list.filter.as_ref().map(filter_parameter));
    parameters.extend(page_parameters());
    let item = format!("#/components/schemas/{}", list.schema);
    let schema = json!({
        "type": "object",
        "required": ["items", "next"],
        "properties": {
            "items": {"type": "array", "maxItems": LIMIT_MAX, "items": {"$ref": item}},
            "next": {"type": ["string", "null"], "pattern": cursor::PATTERN, "description": "The cursor of the next page, if there is one."},
        },
    });
    let responses = responses(&schema, list.within.map(|within| within.of.what));
    operation(
        list.path,
        &format!("The {}, newest first", list.what),
        &parameters,
        &responses,
    )
}

fn of_one(one: &One) -> Value {
    let schema = json!({"$ref": format!("#/components/schemas/{}", one.schema)});
    let parameters = [path_parameter(one.name, one.format)];
    let responses = responses(&schema, Some(one.what));
    operation(
        one.path,
        &format!("One {}", one.what),
        &parameters,
        &responses,
    )
}

fn of_stream() -> Value {
    let pattern = json!({"type": "string", "pattern": cursor::PATTERN});
    let mut responses = responses(&json!({}), None);
    if let Some(responses) = responses.as_object_mut() {
        responses.insert("200".to_owned(), json!({
            "description": "Each message has the event's name as `event`, its cursor as `id` and an `Event` as `data`. Comments are signs of life.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }));
    }
    let parameters = [
        json!({"name": "Last-Event-ID", "in": "header", "required": false, "schema": pattern, "description": "Goes on after this event, as browsers do by themselves."}),
        json!({"name": "after", "in": "query", "required": false, "schema": pattern, "description": "Goes on after this event, where there is no header; else the stream begins with the next event."}),
    ];
    operation(
        "/events/stream",
        "Events as they become final, as server-sent events",
        &parameters,
        &responses,
    )
}

/// The document.
#[must_use]
pub fn openapi() -> Value {
    let mut paths = Map::new();
    let status = json!({"$ref": "#/components/schemas/Status"});
    let mut add = |path: &str, operation: Value| {
        paths.insert(format!("/api/v1{path}"), operation);
    };
    add(
        "/status",
        operation(
            "/status",
            "What index and network are doing",
            &[],
            &responses(&status, None),
        ),
    );
    let seats = json!({"$ref": "#/components/schemas/Seats"});
    add(
        "/seats",
        operation(
            "/seats",
            "The seats of this epoch, and who stands for those of the next",
            &[],
            &responses(&seats, None),
        ),
    );
    add(
        "/openapi.json",
        operation(
            "/openapi.json",
            "This document",
            &[],
            &responses(&json!({"type": "object"}), None),
        ),
    );
    add("/events/stream", of_stream());
    for resource in RESOURCES {
        match resource {
            Resource::List(list) => add(list.path, of_list(list)),
            Resource::One(one) => add(one.path, of_one(one)),
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Fairweir explorer",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
            "description": "Everything that final blocks tell. Amounts are decimal strings of coins, digests hexadecimal digits, times milliseconds.",
        },
        "paths": paths,
        "components": schemas(),
    })
}

pub(super) async fn answer(Query(pairs): Query<Pairs>) -> Result<Response, Failure> {
    parameters(pairs, &[])?;
    Ok(json_response(openapi().to_string()))
}
