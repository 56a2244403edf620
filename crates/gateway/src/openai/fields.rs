//! Reading a request's fields, with OpenAI's words for what is wrong with them.

use crate::error::ApiError;
use serde_json::{Map, Value};

/// The fields of a request. Each is taken once; what is left at the end is unknown.
#[derive(Debug)]
pub(crate) struct Fields(Map<String, Value>);

/// What a value is, as OpenAI's errors call it.
pub(crate) fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A value of the wrong type.
pub(crate) fn wrong_type(param: &str, expected: &str, found: &Value) -> ApiError {
    let found = name_of(found);
    ApiError::invalid(
        param,
        Some("invalid_type"),
        format!("Invalid type for '{param}': expected {expected}, but got {found} instead."),
    )
}

/// A value that cannot be.
pub(crate) fn wrong_value(param: &str, message: impl core::fmt::Display) -> ApiError {
    ApiError::invalid(
        param,
        Some("invalid_value"),
        format!("Invalid '{param}': {message}."),
    )
}

fn missing(param: &str) -> ApiError {
    ApiError::invalid(
        param,
        Some("missing_required_parameter"),
        format!("Missing required parameter: '{param}'."),
    )
}

impl Fields {
    /// The fields of a body.
    pub(crate) fn of(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body).map_err(ApiError::malformed)? {
            Value::Object(fields) => Ok(Self(fields)),
            other => Err(ApiError::malformed(format!("it is {}", name_of(&other)))),
        }
    }

    /// A field, if it is there and not null.
    pub(crate) fn take(&mut self, param: &str) -> Option<Value> {
        self.0.remove(param).filter(|value| !value.is_null())
    }

    /// A field that must be there.
    pub(crate) fn need(&mut self, param: &str) -> Result<Value, ApiError> {
        self.take(param).ok_or_else(|| missing(param))
    }

    pub(crate) fn need_string(&mut self, param: &str) -> Result<String, ApiError> {
        match self.need(param)? {
            Value::String(text) => Ok(text),
            other => Err(wrong_type(param, "a string", &other)),
        }
    }

    pub(crate) fn boolean(&mut self, param: &str) -> Result<bool, ApiError> {
        match self.take(param) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(other) => Err(wrong_type(param, "a boolean", &other)),
        }
    }

    /// An integer in a range.
    pub(crate) fn integer(
        &mut self,
        param: &str,
        min: i64,
        max: i64,
    ) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.take(param) else {
            return Ok(None);
        };
        let number = match value.as_f64() {
            Some(number) if number.fract() == 0.0 => number,
            _ => return Err(wrong_type(param, "an integer", &value)),
        };
        // Beyond 2^53 the comparison is coarse, and right all the same: the bounds are below it or those of the type.
        let exact = value.as_i64();
        let out_of_range = |is_above: bool| {
            let (code, side, sign, bound) = if is_above {
                ("integer_above_max_value", "above maximum", "<=", max)
            } else {
                ("integer_below_min_value", "below minimum", ">=", min)
            };
            ApiError::invalid(
                param,
                Some(code),
                format!(
                    "Invalid '{param}': integer {side} value. Expected a value {sign} {bound}, but got {value} instead."
                ),
            )
        };
        match exact {
            Some(exact) if exact < min => Err(out_of_range(false)),
            Some(exact) if exact > max => Err(out_of_range(true)),
            Some(exact) => Ok(Some(exact)),
            // As 3.0, or beyond the type.
            #[expect(clippy::cast_possible_truncation, reason = "its range is checked")]
            None if number.abs() < 9e15 => {
                let exact = number as i64;
                if exact < min {
                    Err(out_of_range(false))
                } else if exact > max {
                    Err(out_of_range(true))
                } else {
                    Ok(Some(exact))
                }
            }
            None => Err(out_of_range(number > 0.0)),
        }
    }

    /// A number in a range.
    pub(crate) fn decimal(
        &mut self,
        param: &str,
        min: f64,
        max: f64,
    ) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.take(param) else {
            return Ok(None);
        };
        let number = value
            .as_f64()
            .ok_or_else(|| wrong_type(param, "a decimal", &value))?;
        let (code, side, sign, bound) = if number < min {
            ("decimal_below_min_value", "below minimum", ">=", min)
        } else if number > max {
            ("decimal_above_max_value", "above maximum", "<=", max)
        } else {
            return Ok(Some(number));
        };
        Err(ApiError::invalid(
            param,
            Some(code),
            format!(
                "Invalid '{param}': decimal {side} value. Expected a value {sign} {bound}, but got {value} instead."
            ),
        ))
    }

    /// A field that a client may give and that changes nothing here.
    pub(crate) fn ignore(&mut self, params: &[&str]) {
        for param in params {
            self.0.remove(*param);
        }
    }

    /// A field that is taken only with a value that changes nothing.
    pub(crate) fn only(&mut self, param: &str, harmless: &[Value]) -> Result<(), ApiError> {
        match self.take(param) {
            Some(value) if !harmless.contains(&value) => Err(ApiError::unsupported(
                param,
                format!("Unsupported value: '{param}' is not supported by this gateway."),
            )),
            _ => Ok(()),
        }
    }

    /// Refuses what is left: a parameter that is not understood might change the answer.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        match self.0.into_iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((param, _)) => {
                let param: String = param.chars().take(128).collect();
                Err(ApiError::invalid(
                    param.clone(),
                    Some("unknown_parameter"),
                    format!("Unknown parameter: '{param}'."),
                ))
            }
        }
    }
}
