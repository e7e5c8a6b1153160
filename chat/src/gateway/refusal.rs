//! What a request that is refused is answered with.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::accounts::AccountError;

/// A refusal: status, code and words.
#[derive(Debug)]
pub(super) struct Refusal(StatusCode, &'static str, String);

impl From<AccountError> for Refusal {
    fn from(error: AccountError) -> Self {
        let (status, code) = match &error {
            AccountError::Taken => (StatusCode::CONFLICT, "taken"),
            AccountError::Closed => (StatusCode::FORBIDDEN, "closed"),
            AccountError::Wrong => (StatusCode::UNAUTHORIZED, "wrong"),
            AccountError::Throttled => (StatusCode::TOO_MANY_REQUESTS, "throttled"),
            AccountError::NotLoggedIn => (StatusCode::UNAUTHORIZED, "not_logged_in"),
            AccountError::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            AccountError::BadPassword { .. } => (StatusCode::BAD_REQUEST, "bad_password"),
            AccountError::BadName => (StatusCode::BAD_REQUEST, "bad_name"),
            AccountError::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            AccountError::TooManyDevices => (StatusCode::CONFLICT, "too_many_devices"),
            AccountError::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        Self(status, code, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        (status, Json(json!({"code": code, "message": message}))).into_response()
    }
}
