//! Parameters that chat and completions share.

use super::{
    ask::{random_seed, seed_of_number},
    fields::{Fields, wrong_type, wrong_value},
};
use crate::error::ApiError;
use fairweir_services::{
    Passage,
    inference::chat::{BIASES_MAX, Bias, Format, Micro, Parameters, STOP_BYTES_MAX, STOPS_MAX},
};
use fairweir_types::BoundedVec;
use serde_json::Value;

/// How tokens are chosen.
#[derive(Clone, Debug)]
pub(crate) struct Sampling {
    temperature: f64,
    top_p: f64,
    top_k: u32,
    frequency_penalty: f64,
    presence_penalty: f64,
    logit_bias: BoundedVec<Bias, BIASES_MAX>,
    stop: BoundedVec<Passage<STOP_BYTES_MAX>, STOPS_MAX>,
    pub(super) format: Format,
    pub(super) logprobs: Option<u8>,
    pub(super) echo: bool,
}

impl Sampling {
    pub(super) fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let top_k = fields.integer("top_k", 0, i64::from(u32::MAX))?;
        Ok(Self {
            temperature: fields.decimal("temperature", 0.0, 2.0)?.unwrap_or(1.0),
            top_p: fields.decimal("top_p", 0.0, 1.0)?.unwrap_or(1.0),
            top_k: top_k.and_then(|k| u32::try_from(k).ok()).unwrap_or(0),
            frequency_penalty: fields
                .decimal("frequency_penalty", -2.0, 2.0)?
                .unwrap_or(0.0),
            presence_penalty: fields
                .decimal("presence_penalty", -2.0, 2.0)?
                .unwrap_or(0.0),
            logit_bias: logit_bias(fields)?,
            stop: stop(fields)?,
            format: Format::Text,
            logprobs: None,
            echo: false,
        })
    }

    pub(super) fn parameters(&self, tokens_max: u32) -> Parameters {
        Parameters {
            tokens_max,
            temperature: Micro::nearest(self.temperature),
            top_p: Micro::nearest(self.top_p),
            top_k: self.top_k,
            frequency_penalty: Micro::nearest(self.frequency_penalty),
            presence_penalty: Micro::nearest(self.presence_penalty),
            logit_bias: self.logit_bias.clone(),
            stop: self.stop.clone(),
            format: self.format,
            logprobs: self.logprobs,
            echo: self.echo,
        }
    }
}

fn stop(fields: &mut Fields) -> Result<BoundedVec<Passage<STOP_BYTES_MAX>, STOPS_MAX>, ApiError> {
    let texts = match fields.take("stop") {
        None => Vec::new(),
        Some(Value::Array(texts)) => texts,
        Some(text @ Value::String(_)) => vec![text],
        Some(other) => {
            return Err(wrong_type(
                "stop",
                "a string or an array of strings",
                &other,
            ));
        }
    };
    let texts = texts
        .into_iter()
        .map(|text| match text {
            Value::String(text) if text.is_empty() => {
                Err(wrong_value("stop", "a stop sequence is empty"))
            }
            Value::String(text) => Passage::new(text).map_err(|_| {
                wrong_value(
                    "stop",
                    format!("a stop sequence has at most {STOP_BYTES_MAX} bytes"),
                )
            }),
            other => Err(wrong_type("stop", "a string", &other)),
        })
        .collect::<Result<Vec<_>, _>>()?;
    BoundedVec::new(texts)
        .map_err(|_| wrong_value("stop", format!("at most {STOPS_MAX} stop sequences")))
}

fn logit_bias(fields: &mut Fields) -> Result<BoundedVec<Bias, BIASES_MAX>, ApiError> {
    let biases = match fields.take("logit_bias") {
        None => return Ok(BoundedVec::default()),
        Some(Value::Object(biases)) => biases,
        Some(other) => return Err(wrong_type("logit_bias", "an object", &other)),
    };
    let mut list = biases
        .into_iter()
        .map(|(token, value)| {
            let token = token
                .parse()
                .map_err(|_| wrong_value("logit_bias", "a key is not a token id"))?;
            match value.as_f64() {
                Some(bias) if (-100.0..=100.0).contains(&bias) => Ok(Bias {
                    token,
                    bias: Micro::nearest(bias),
                }),
                Some(_) => Err(wrong_value("logit_bias", "a bias is between -100 and 100")),
                None => Err(wrong_type("logit_bias", "a decimal", &value)),
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    list.sort_by_key(|bias| bias.token);
    BoundedVec::new(list)
        .map_err(|_| wrong_value("logit_bias", format!("at most {BIASES_MAX} tokens")))
}

/// `seed`: a number stands for a seed; without it every answer is another.
pub(super) fn seed(fields: &mut Fields) -> Result<[u8; 32], ApiError> {
    match fields.integer("seed", i64::MIN, i64::MAX)? {
        Some(number) => Ok(seed_of_number(number)),
        None => random_seed(),
    }
}

/// `stream` and `stream_options`: whether it streams, and whether the end says what was used.
pub(super) fn stream(fields: &mut Fields) -> Result<(bool, bool), ApiError> {
    let is_stream = fields.boolean("stream")?;
    let wants_usage = match fields.take("stream_options") {
        None => false,
        Some(Value::Object(_)) if !is_stream => {
            return Err(wrong_value(
                "stream_options",
                "it is only allowed when 'stream' is true",
            ));
        }
        Some(Value::Object(options)) => match options.get("include_usage") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(value)) => *value,
            Some(other) => {
                return Err(wrong_type(
                    "stream_options.include_usage",
                    "a boolean",
                    other,
                ));
            }
        },
        Some(other) => return Err(wrong_type("stream_options", "an object", &other)),
    };
    Ok((is_stream, wants_usage))
}
