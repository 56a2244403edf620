//! `POST /v1/chat/completions`.

use super::{
    ask::{Ask, AskKind, TokensMax},
    fields::{Fields, wrong_type, wrong_value},
    sampling::{self, Sampling},
};
use crate::error::ApiError;
use fairweir_services::{
    Passage,
    inference::chat::{CONTEXT_MAX, Conversation, Format, Prompt, TOP_LOGPROBS_MAX},
};
use fairweir_types::Digest;
use serde_json::{Map, Value, json};

/// Answers that a client may ask for at once.
pub(super) const CHOICES_MAX: i64 = 8;
/// Messages of one conversation.
const MESSAGES_MAX: usize = 4_096;
/// What changes no answer here.
const IGNORED: [&str; 9] = [
    "user",
    "metadata",
    "store",
    "service_tier",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "prediction",
];

/// Reads a request.
pub(crate) fn chat(body: &[u8]) -> Result<Ask, ApiError> {
    let mut fields = Fields::of(body)?;
    let model = fields.need_string("model")?;
    let messages = messages(fields.need("messages")?)?;
    let tools = tools(&mut fields)?;
    let mut sampling = Sampling::read(&mut fields)?;
    sampling.format = format(&mut fields)?;
    let wants_logprobs = fields.boolean("logprobs")?;
    let top = fields.integer("top_logprobs", 0, i64::from(TOP_LOGPROBS_MAX))?;
    if top.is_some() && !wants_logprobs {
        return Err(wrong_value(
            "top_logprobs",
            "it is only allowed when 'logprobs' is true",
        ));
    }
    sampling.logprobs = wants_logprobs.then(|| {
        top.and_then(|top| u8::try_from(top).ok())
            .unwrap_or_default()
    });
    let choices = fields.integer("n", 1, CHOICES_MAX)?.unwrap_or(1);
    let tokens_max = tokens_max(&mut fields)?;
    let seed = sampling::seed(&mut fields)?;
    let (is_stream, wants_usage) = sampling::stream(&mut fields)?;
    fields.only("modalities", &[json!(["text"])])?;
    fields.only("functions", &[json!([])])?;
    fields.only("function_call", &[json!("none"), json!("auto")])?;
    fields.ignore(&IGNORED);
    fields.finish()?;
    let too_long = |_| wrong_value("messages", "they are too long");
    let conversation = Conversation {
        messages: Passage::new(messages.to_string()).map_err(too_long)?,
        tools: Passage::new(tools).map_err(|_| wrong_value("tools", "they are too long"))?,
    };
    Ok(Ask {
        request: Digest::of_blob(body),
        kind: AskKind::Chat,
        model,
        prompts: vec![Prompt::Messages(conversation)],
        choices: usize::try_from(choices).unwrap_or(1),
        tokens_max,
        sampling,
        seed,
        echo: false,
        wants_logprobs,
        is_stream,
        wants_usage,
    })
}

fn tokens_max(fields: &mut Fields) -> Result<TokensMax, ApiError> {
    let most = i64::try_from(CONTEXT_MAX).unwrap_or(i64::MAX);
    let old = fields.integer("max_tokens", 1, most)?;
    let new = fields.integer("max_completion_tokens", 1, most)?;
    if old.is_some() && new.is_some() {
        return Err(ApiError::invalid(
            "max_tokens",
            Some("invalid_parameter_combination"),
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        ));
    }
    Ok(new
        .or(old)
        .and_then(|tokens| u32::try_from(tokens).ok())
        .map_or(TokensMax::Fitting, TokensMax::Asked))
}

fn format(fields: &mut Fields) -> Result<Format, ApiError> {
    let format = match fields.take("response_format") {
        None => return Ok(Format::Text),
        Some(Value::Object(format)) => format,
        Some(other) => return Err(wrong_type("response_format", "an object", &other)),
    };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(Format::Text),
        Some("json_object") => Ok(Format::JsonObject),
        Some("json_schema") => Err(ApiError::unsupported(
            "response_format",
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
        )),
        _ => Err(wrong_value(
            "response_format.type",
            "supported values are: 'text' and 'json_object'",
        )),
    }
}

/// The tools as JSON for the model's template; empty for none.
fn tools(fields: &mut Fields) -> Result<String, ApiError> {
    let tools = match fields.take("tools") {
        None => Vec::new(),
        Some(Value::Array(tools)) => tools,
        Some(other) => return Err(wrong_type("tools", "an array", &other)),
    };
    if tools.len() > 128 {
        return Err(wrong_value("tools", "at most 128 tools"));
    }
    for (index, tool) in tools.iter().enumerate() {
        if tool.get("type").and_then(Value::as_str) != Some("function") {
            return Err(ApiError::unsupported(
                format!("tools[{index}].type"),
                format!("Invalid value for 'tools[{index}].type': only 'function' is supported."),
            ));
        }
    }
    let is_none = match fields.take("tool_choice") {
        None => false,
        Some(Value::String(choice)) if choice == "auto" => false,
        Some(Value::String(choice)) if choice == "none" => true,
        Some(_) => {
            return Err(ApiError::unsupported(
                "tool_choice",
                "Unsupported value: 'tool_choice' does not support forcing a tool here. Supported values are: 'auto' and 'none'.",
            ));
        }
    };
    if tools.is_empty() || is_none {
        return Ok(String::new());
    }
    Ok(Value::Array(tools).to_string())
}

/// The messages as the model's template takes them: each with a role and plain text.
fn messages(value: Value) -> Result<Value, ApiError> {
    let list = match value {
        Value::Array(list) => list,
        other => return Err(wrong_type("messages", "an array", &other)),
    };
    if list.is_empty() {
        return Err(ApiError::invalid(
            "messages",
            Some("empty_array"),
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        ));
    }
    if list.len() > MESSAGES_MAX {
        return Err(wrong_value(
            "messages",
            format!("at most {MESSAGES_MAX} messages"),
        ));
    }
    list.into_iter()
        .enumerate()
        .map(|(index, message)| self::message(index, message))
        .collect::<Result<Vec<_>, _>>()
        .map(Value::Array)
}

fn message(index: usize, message: Value) -> Result<Value, ApiError> {
    let at = |field: &str| format!("messages[{index}].{field}");
    let mut message = match message {
        Value::Object(message) => message,
        other => {
            return Err(wrong_type(
                &format!("messages[{index}]"),
                "an object",
                &other,
            ));
        }
    };
    let role = match message.remove("role") {
        Some(Value::String(role)) => role,
        None => {
            return Err(ApiError::invalid(
                at("role"),
                Some("missing_required_parameter"),
                format!("Missing required parameter: '{}'.", at("role")),
            ));
        }
        Some(other) => return Err(wrong_type(&at("role"), "a string", &other)),
    };
    let role = match role.as_str() {
        // The newer name of the same thing; templates know the older one.
        "developer" => "system",
        known @ ("system" | "user" | "assistant" | "tool") => known,
        _ => {
            let role: String = role.chars().take(64).collect();
            return Err(ApiError::invalid(
                at("role"),
                Some("invalid_value"),
                format!(
                    "Invalid value: '{role}'. Supported values are: 'system', 'developer', 'assistant', 'user', and 'tool'."
                ),
            ));
        }
    };
    let calls = message
        .remove("tool_calls")
        .filter(|calls| !calls.is_null());
    let content = match message.remove("content").filter(|value| !value.is_null()) {
        Some(content) => text(&at("content"), content)?,
        None if role == "assistant" => String::new(),
        None => {
            return Err(ApiError::invalid(
                at("content"),
                None,
                format!(
                    "Invalid value for '{}': expected a string, got null.",
                    at("content")
                ),
            ));
        }
    };
    let mut told = Map::new();
    told.insert("role".to_owned(), json!(role));
    told.insert("content".to_owned(), json!(content));
    if let Some(calls) = calls {
        told.insert("tool_calls".to_owned(), calls);
    }
    for field in ["name", "tool_call_id"] {
        match message.remove(field) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => {
                told.insert(field.to_owned(), json!(text));
            }
            Some(other) => return Err(wrong_type(&at(field), "a string", &other)),
        }
    }
    Ok(Value::Object(told))
}

/// A message's text: as it is, or in parts.
fn text(param: &str, content: Value) -> Result<String, ApiError> {
    let parts = match content {
        Value::String(text) => return Ok(text),
        Value::Array(parts) => parts,
        other => {
            return Err(wrong_type(
                param,
                "a string or an array of content parts",
                &other,
            ));
        }
    };
    let mut whole = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        match (
            part.get("type").and_then(Value::as_str),
            part.get("text").and_then(Value::as_str),
        ) {
            (Some("text"), Some(text)) => whole.push_str(text),
            (Some(kind @ ("image_url" | "input_audio" | "file")), _) => {
                return Err(ApiError::unsupported(
                    format!("{param}[{index}].type"),
                    format!(
                        "Invalid content type: '{kind}' is not supported by this model, it takes text alone."
                    ),
                ));
            }
            _ => {
                return Err(wrong_value(
                    &format!("{param}[{index}]"),
                    "expected a part of type 'text' with a 'text'",
                ));
            }
        }
    }
    Ok(whole)
}
