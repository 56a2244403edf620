//! Errors as OpenAI answers them: a status, and `{"error":{"message","type","param","code"}}`.

use crate::market::MarketError;
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::time::Duration;

/// The type of most errors of clients.
const INVALID_REQUEST: &str = "invalid_request_error";

/// An error on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
    pub(crate) code: Option<&'static str>,
    pub(crate) headers: Vec<(HeaderName, String)>,
}

impl ApiError {
    fn new(
        status: StatusCode,
        kind: &'static str,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            kind,
            message: message.into(),
            param: None,
            code,
            headers: Vec::new(),
        }
    }

    /// The request says what cannot be.
    pub(crate) fn invalid(
        param: impl Into<String>,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            param: Some(param.into()),
            ..Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, code, message)
        }
    }

    /// A value that OpenAI takes and this gateway does not.
    pub(crate) fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(param, Some("unsupported_value"), message)
    }

    /// The body is no JSON object.
    pub(crate) fn malformed(reason: impl core::fmt::Display) -> Self {
        let message = format!(
            "We could not parse the JSON body of your request: {reason}. The API expects a JSON object."
        );
        Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, None, message)
    }

    /// Nothing shows who asks.
    pub(crate) fn no_key() -> Self {
        let message = "You didn't provide an API key. Provide it in an Authorization header with Bearer auth (Authorization: Bearer YOUR_KEY).";
        Self::new(StatusCode::UNAUTHORIZED, INVALID_REQUEST, None, message)
    }

    /// The key is not one of ours, or no longer.
    pub(crate) fn wrong_key(shown: &str) -> Self {
        let shown: String = shown.chars().take(6).filter(char::is_ascii).collect();
        let message = format!("Incorrect API key provided: {shown}***.");
        let code = Some("invalid_api_key");
        Self::new(StatusCode::UNAUTHORIZED, INVALID_REQUEST, code, message)
    }

    /// Nobody offers a model of that name.
    pub(crate) fn no_model(name: &str) -> Self {
        let name: String = name.chars().take(128).collect();
        let message = format!("The model `{name}` does not exist or you do not have access to it.");
        let code = Some("model_not_found");
        Self {
            param: Some("model".to_owned()),
            ..Self::new(StatusCode::NOT_FOUND, INVALID_REQUEST, code, message)
        }
    }

    /// Nothing is there.
    pub(crate) fn not_found(message: impl Into<String>, code: Option<&'static str>) -> Self {
        Self::new(StatusCode::NOT_FOUND, INVALID_REQUEST, code, message)
    }

    /// The path is there, for another method.
    pub(crate) fn method(method: &str, path: &str) -> Self {
        let message = format!(
            "Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)"
        );
        let code = Some("method_not_supported");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, INVALID_REQUEST, code, message)
    }

    /// The body is longer than allowed.
    pub(crate) fn too_large(bytes_max: usize) -> Self {
        let message = format!("The request is larger than {bytes_max} bytes.");
        let code = Some("request_too_large");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            INVALID_REQUEST,
            code,
            message,
        )
    }

    /// Prompt and answer do not fit the model's context.
    pub(crate) fn context(param: &str, message: impl Into<String>) -> Self {
        Self::invalid(param, Some("context_length_exceeded"), message)
    }

    /// The key asks too often.
    pub(crate) fn rate(message: impl Into<String>, retry_after: Duration) -> Self {
        let code = Some("rate_limit_exceeded");
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "requests", code, message);
        let seconds = retry_after.as_secs().saturating_add(1);
        error
            .headers
            .push((header::RETRY_AFTER, seconds.to_string()));
        error
    }

    /// The money is spent.
    pub(crate) fn quota(message: impl Into<String>) -> Self {
        let code = "insufficient_quota";
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, Some(code), message)
    }

    /// It took too long.
    pub(crate) fn timeout(message: impl Into<String>) -> Self {
        let code = Some("timeout");
        Self::new(StatusCode::REQUEST_TIMEOUT, INVALID_REQUEST, code, message)
    }

    /// The answer took too long.
    pub(crate) fn too_long(seconds: u64) -> Self {
        let status = StatusCode::GATEWAY_TIMEOUT;
        let message = format!("The answer was not complete within {seconds} seconds.");
        Self::new(status, "server_error", Some("timeout"), message)
    }

    /// The network cannot serve it now.
    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "server_error", Some(code), message)
    }

    /// It should not have happened.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "server_error", Some("internal_error"), message)
    }

    pub(crate) fn body(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
    }
}

impl From<MarketError> for ApiError {
    fn from(error: MarketError) -> Self {
        let message = error.to_string();
        match error {
            MarketError::NoWorker { .. } => Self::unavailable("no_worker", message),
            MarketError::NotTaken(_) => Self::unavailable("kind_not_active", message),
            MarketError::Full(_) => Self::unavailable("network_full", message),
            MarketError::Unreachable(_) => Self::unavailable("network_unreachable", message),
            MarketError::Revoked => Self::unavailable("answer_revoked", message),
            MarketError::Closed => Self::unavailable("shutting_down", message),
            MarketError::NoFunds(_) => Self::quota(message),
            MarketError::Refused => Self::context("messages", message),
            MarketError::Spec(_) => Self {
                param: None,
                ..Self::invalid("", Some("invalid_value"), message)
            },
            MarketError::Failed(_) | MarketError::Refunded(_) => Self::internal(message),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body().to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        response
    }
}
