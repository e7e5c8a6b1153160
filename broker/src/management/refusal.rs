//! Answers that say no, in RabbitMQ's words (spec 10.1).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::engine::{PasswordTooShort, StorageFailed};
use crate::model::policy::PolicyError;
use crate::model::{AmqpError, ReplyCode};

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    error: &'static str,
    reason: Value,
    /// Whether the client is asked to log in.
    challenges: bool,
}

impl Refusal {
    fn new(status: StatusCode, error: &'static str, reason: impl Into<Value>) -> Self {
        Self {
            status,
            error,
            reason: reason.into(),
            challenges: false,
        }
    }

    /// Nobody is logged in.
    pub(super) fn unauthenticated() -> Self {
        Self {
            challenges: true,
            ..Self::wrong_login()
        }
    }

    /// The login is wrong; which part of it is, nobody learns.
    pub(super) fn wrong_login() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "not_authorized", "Not_Authorized")
    }

    /// The user may not do that. RabbitMQ spells this one differently.
    pub(super) fn not_authorised(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "not_authorised", reason.into())
    }

    /// A page of another site tries to use the login that the browser keeps for this one.
    pub(super) fn cross_origin() -> Self {
        let reason = "requests from other origins may not change anything";
        Self::new(StatusCode::FORBIDDEN, "forbidden", reason)
    }

    /// There is nothing at that address.
    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Object Not Found", "Not Found")
    }

    /// There is nothing of a name that the request gives.
    pub(super) fn no_such(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", reason.into())
    }

    /// The request makes no sense.
    pub(super) fn bad_request(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", reason.into())
    }

    /// A value in the request makes no sense: what it is not, and what it is.
    pub(super) fn bad_value(flaw: &'static str, value: &Value) -> Self {
        let reason = json!([flaw, value]);
        Self::new(StatusCode::BAD_REQUEST, "bad_request", reason)
    }

    /// There is no such page.
    pub(super) fn bad_page(error: &'static str, reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, reason.into())
    }

    #[allow(dead_code, reason = "for the nouns to come")]
    /// What the request presupposes is not so.
    pub(super) fn precondition_failed(reason: impl Into<String>) -> Self {
        let status = StatusCode::PRECONDITION_FAILED;
        Self::new(status, "precondition_failed", reason.into())
    }

    /// It makes sense, but not now.
    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable",
            reason.into(),
        )
    }

    /// The request took too long to arrive.
    pub(super) fn too_slow() -> Self {
        let reason = "the request did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", reason)
    }

    /// The reason, as text.
    pub(super) fn reason(&self) -> String {
        self.reason
            .as_str()
            .map_or_else(|| self.reason.to_string(), str::to_owned)
    }

    /// It was tried and failed.
    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            reason.into(),
        )
    }
}

/// What AMQP refuses, HTTP refuses in the same words (spec 10.1.2).
impl From<AmqpError> for Refusal {
    fn from(error: AmqpError) -> Self {
        match error.code {
            ReplyCode::NotFound => Self::no_such(error.text),
            ReplyCode::AccessRefused | ReplyCode::NotAllowed => {
                Self::not_authorised("Access refused.")
            }
            ReplyCode::InternalError => Self::failed(error.text),
            ReplyCode::ContentTooLarge
            | ReplyCode::NoRoute
            | ReplyCode::ConnectionForced
            | ReplyCode::InvalidPath
            | ReplyCode::ResourceLocked
            | ReplyCode::PreconditionFailed
            | ReplyCode::FrameError
            | ReplyCode::SyntaxError
            | ReplyCode::CommandInvalid
            | ReplyCode::ChannelError
            | ReplyCode::UnexpectedFrame
            | ReplyCode::ResourceError
            | ReplyCode::NotImplemented => Self::bad_request(error.text),
        }
    }
}

impl From<PolicyError> for Refusal {
    fn from(error: PolicyError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<PasswordTooShort> for Refusal {
    fn from(error: PasswordTooShort) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<StorageFailed> for Refusal {
    fn from(error: StorageFailed) -> Self {
        Self::failed(error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.error, "reason": self.reason }));
        let mut response = (self.status, body).into_response();
        if self.challenges {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"RabbitMQ Management\""),
            );
        }
        response
    }
}
