//! The HTTP API, as the operator's commands use it.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::verb::Access;

/// No list or definitions file is larger; something else would not fit a terminal either.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// What is asked of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Put,
    Post,
    Delete,
}

/// One request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Below `/api/`, encoded.
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    /// Why, for whoever it hits.
    pub(crate) reason: Option<String>,
}

impl Request {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            body: None,
            reason: None,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::Get, path)
    }

    pub(crate) fn put(path: impl Into<String>, body: Value) -> Self {
        Self {
            body: Some(body),
            ..Self::new(Method::Put, path)
        }
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::Delete, path)
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of a request that was granted; the API's own words if it was not.
    pub(crate) fn granted(self) -> anyhow::Result<Value> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let said = |field: &str| self.body.get(field).and_then(Value::as_str);
        let reason = said("reason")
            .or_else(|| said("error"))
            .unwrap_or("no reason given");
        bail!("the broker refuses ({}): {reason}", self.status)
    }
}

/// A way to the API.
#[derive(Debug)]
pub(crate) struct Api {
    agent: ureq::Agent,
    base: String,
    authorization: String,
}

impl Api {
    pub(crate) fn new(access: &Access) -> Self {
        let address = access.management.trim_end_matches('/');
        let base = if address.contains("://") {
            address.to_owned()
        } else {
            format!("http://{address}")
        };
        let timeout = Duration::from_secs(access.timeout.max(1));
        Self {
            agent: ureq::Agent::config_builder()
                .timeout_global(Some(timeout))
                .http_status_as_error(false)
                .build()
                .into(),
            base,
            authorization: authorization(&access.user, &access.password),
        }
    }

    /// The same API, asked by somebody else.
    pub(crate) fn as_user(mut self, user: &str, password: &str) -> Self {
        self.authorization = authorization(user, password);
        self
    }

    /// Asks, and gives the answer whatever its status.
    pub(crate) fn ask(&self, request: &Request) -> anyhow::Result<Answer> {
        let url = format!("{}/api/{}", self.base, request.path);
        let mut head = ureq::http::Request::builder()
            .method(match request.method {
                Method::Get => "GET",
                Method::Put => "PUT",
                Method::Post => "POST",
                Method::Delete => "DELETE",
            })
            .uri(&url)
            .header("authorization", &self.authorization)
            .header("content-type", "application/json");
        if let Some(reason) = &request.reason {
            head = head.header("x-reason", reason);
        }
        let body = request
            .body
            .as_ref()
            .map(Value::to_string)
            .unwrap_or_default();
        let mut response = self
            .agent
            .run(head.body(body)?)
            .with_context(|| format!("no broker answers at {}", self.base))?;
        let status = response.status().as_u16();
        let mut text = String::new();
        response
            .body_mut()
            .as_reader()
            .take(ANSWER_BYTES_MAX)
            .read_to_string(&mut text)?;
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text)
                .map_err(|_| anyhow!("{} answers no JSON ({status})", self.base))?
        };
        Ok(Answer { status, body })
    }

    /// Asks for something that must be granted.
    pub(crate) fn granted(&self, request: &Request) -> anyhow::Result<Value> {
        self.ask(request)?.granted()
    }
}

fn authorization(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Joins segments of a path, each encoded.
pub(crate) fn path(segments: &[&str]) -> String {
    let encoded: Vec<String> = segments.iter().map(|segment| encode(segment)).collect();
    encoded.join("/")
}

fn encode(segment: &str) -> String {
    let mut encoded = String::new();
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_encoded_one_by_one() {
        assert_eq!(path(&["queues", "/", "a b/ü"]), "queues/%2F/a%20b%2F%C3%BC");
    }

    #[test]
    fn a_refusal_is_told_in_the_brokers_words() {
        let answer = |status, body| Answer { status, body };
        let refused = answer(
            404,
            serde_json::json!({ "error": "not_found", "reason": "Not Found" }),
        );
        let told = refused.granted().expect_err("404").to_string();
        assert_eq!(told, "the broker refuses (404): Not Found");
        assert!(answer(204, Value::Null).granted().is_ok());
    }
}
