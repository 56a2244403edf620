//! `POST /v1/embeddings`.

use super::fields::{Fields, wrong_type, wrong_value};
use crate::error::ApiError;
use fairweir_services::inference::embedding::{TEXT_BYTES_MAX, TEXTS_MAX};
use fairweir_types::Digest;
use serde_json::Value;

/// A request for vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EmbeddingAsk {
    /// The blob digest of its body.
    pub(crate) request: Digest,
    pub(crate) model: String,
    pub(crate) texts: Vec<String>,
    pub(crate) is_base64: bool,
    /// Numbers of a vector that the client expects.
    pub(crate) dimensions: Option<usize>,
}

/// Reads a request.
pub(crate) fn embedding(body: &[u8]) -> Result<EmbeddingAsk, ApiError> {
    let mut fields = Fields::of(body)?;
    let model = fields.need_string("model")?;
    let texts = texts(fields.need("input")?)?;
    let is_base64 = match fields.take("encoding_format") {
        None => false,
        Some(Value::String(format)) if format == "float" => false,
        Some(Value::String(format)) if format == "base64" => true,
        Some(_) => {
            return Err(wrong_value(
                "encoding_format",
                "supported values are: 'float' and 'base64'",
            ));
        }
    };
    let dimensions = fields.integer("dimensions", 1, 65_536)?;
    fields.ignore(&["user"]);
    fields.finish()?;
    Ok(EmbeddingAsk {
        request: Digest::of_blob(body),
        model,
        texts,
        is_base64,
        dimensions: dimensions.and_then(|count| usize::try_from(count).ok()),
    })
}

fn texts(input: Value) -> Result<Vec<String>, ApiError> {
    let list = match input {
        text @ Value::String(_) => vec![text],
        Value::Array(list) => list,
        other => {
            return Err(wrong_type(
                "input",
                "a string or an array of strings",
                &other,
            ));
        }
    };
    if list.is_empty() || list.len() > TEXTS_MAX {
        return Err(wrong_value(
            "input",
            format!("an array of 1 to {TEXTS_MAX} texts is expected"),
        ));
    }
    list.into_iter()
        .map(|text| match text {
            Value::String(text) if text.is_empty() => Err(wrong_value("input", "a text is empty")),
            Value::String(text) if text.len() > TEXT_BYTES_MAX => Err(ApiError::context(
                "input",
                format!("A text of the input has more than {TEXT_BYTES_MAX} bytes."),
            )),
            Value::String(text) => Ok(text),
            Value::Number(_) | Value::Array(_) => Err(ApiError::unsupported(
                "input",
                "Unsupported value: 'input' does not take tokens here. Give texts.",
            )),
            other => Err(wrong_type("input", "a string", &other)),
        })
        .collect()
}
