//! What a request that is refused is answered with.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use leveret_client::message::RejectionCode;
use serde_json::{Value, json};

use crate::accounts::AccountError;

/// A refusal: status, code and words.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: Value,
    message: String,
}

impl Refusal {
    /// Of a request that is not what it should be.
    pub(super) fn of(status: StatusCode, message: String) -> Self {
        let code = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            _ => "malformed",
        };
        Self {
            status,
            code: code.into(),
            message,
        }
    }

    pub(super) fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: "not_found".into(),
            message: "there is nothing here".to_owned(),
        }
    }
}

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
        Self {
            status,
            code: code.into(),
            message: error.to_string(),
        }
    }
}

impl From<RejectionCode> for Refusal {
    fn from(code: RejectionCode) -> Self {
        let status = match code {
            RejectionCode::NotMember
            | RejectionCode::Banned
            | RejectionCode::Silenced
            | RejectionCode::Forbidden
            | RejectionCode::Forged => StatusCode::FORBIDDEN,
            RejectionCode::NoSuchUser | RejectionCode::NoSuchMessage => StatusCode::NOT_FOUND,
            RejectionCode::Exists | RejectionCode::IdReused | RejectionCode::OutOfTurn => {
                StatusCode::CONFLICT
            }
            RejectionCode::Malformed | RejectionCode::Unsupported | RejectionCode::Clock => {
                StatusCode::BAD_REQUEST
            }
            RejectionCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            RejectionCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            RejectionCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            RejectionCode::WrongShard | RejectionCode::Poison | RejectionCode::Unknown => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self {
            status,
            code: serde_json::to_value(code).unwrap_or_default(),
            message: code.to_string(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self {
            status,
            code,
            message,
        } = self;
        (status, Json(json!({"code": code, "message": message}))).into_response()
    }
}
