//! What cannot be answered, in one shape with stable codes.

use crate::{explorer::error::IndexError, server::json_response};
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

/// Every code with what it means.
pub(crate) const CODES: [(&str, &str); 7] = [
    ("malformed", "a parameter has another form than documented"),
    ("unknown_parameter", "there is no such parameter"),
    ("not_found", "the index has no such thing"),
    ("method_not_allowed", "this path answers GET and HEAD alone"),
    (
        "too_many_streams",
        "as many streams are open as there may be, or as one address may have",
    ),
    (
        "too_many_connections",
        "the address that asks has as many connections as one may have",
    ),
    ("unavailable", "the index does not answer now; ask again"),
];

/// Something that cannot be answered.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Failure {
    const fn new(status: StatusCode, code: &'static str, message: String) -> Self {
        Self {
            status,
            code,
            message,
        }
    }

    pub(crate) fn malformed(name: &str, says: &str) -> Self {
        let message = format!("{name} {says}");
        Self::new(StatusCode::BAD_REQUEST, "malformed", message)
    }

    pub(crate) fn unknown_parameter(name: &str) -> Self {
        let shown: String = name.chars().take(64).collect();
        let message = format!("there is no parameter {shown:?} here");
        Self::new(StatusCode::BAD_REQUEST, "unknown_parameter", message)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        let message = format!("the index has no such {what}");
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn unknown_path(path: &str) -> Self {
        let shown: String = path.chars().take(128).collect();
        let message = format!("nothing is at {shown:?}; /api/v1/openapi.json says what is");
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn method(method: &str) -> Self {
        let message = format!("{method} is not answered here; GET is");
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            message,
        )
    }

    pub(crate) fn too_many_streams() -> Self {
        let message = "as many streams are open as this explorer takes, or takes from one address; ask again later".to_owned();
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", message)
    }
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        // What a database says of itself is for the log, not for readers.
        tracing::warn!(%error, source = ?std::error::Error::source(&error), "a question was not answered");
        let message = "the index does not answer now; ask again in a second".to_owned();
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = json!({"error": {"code": self.code, "message": self.message}});
        let mut response = json_response(body.to_string());
        *response.status_mut() = self.status;
        response
    }
}
