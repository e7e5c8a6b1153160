//! What requests carry: names in the path, a query, a JSON body (spec 10.1.4).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::routes::HOST_PARAMETER;
use super::{Management, Refusal};
use crate::engine::VirtualHost;

/// The names in a path, decoded. What is not UTF-8 names nothing.
#[derive(Clone, Debug)]
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(names)| Self(names))
            .map_err(|_| Refusal::not_found())
    }
}

/// The virtual host that the path names, which exists.
#[derive(Clone, Debug)]
pub(super) struct Host(pub(super) Arc<VirtualHost>);

impl FromRequestParts<Arc<Management>> for Host {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        management: &Arc<Management>,
    ) -> Result<Self, Refusal> {
        let Segments(names): Segments<BTreeMap<String, String>> =
            Segments::from_request_parts(parts, management).await?;
        names
            .get(HOST_PARAMETER)
            .and_then(|name| management.engine.virtual_host(name))
            .map(Self)
            .ok_or_else(Refusal::not_found)
    }
}

/// The virtual host that the path names, to make or change something in it: a missing one has another
/// name for RabbitMQ there.
#[derive(Clone, Debug)]
pub(super) struct HostToChange(pub(super) Arc<VirtualHost>);

impl FromRequestParts<Arc<Management>> for HostToChange {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        management: &Arc<Management>,
    ) -> Result<Self, Refusal> {
        match Host::from_request_parts(parts, management).await {
            Ok(Host(host)) => Ok(Self(host)),
            Err(_) => Err(Refusal::no_such("vhost_not_found")),
        }
    }
}

/// The query of a request's address. Of equal names the first counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn from_pairs(pairs: Vec<(String, String)>) -> Self {
        let mut query = BTreeMap::new();
        for (name, value) in pairs {
            query.entry(name).or_insert(value);
        }
        Self(query)
    }

    /// The value of that name.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether the value is `true`.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.value(name) == Some("true")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let pairs: axum::extract::Query<Vec<(String, String)>> =
            axum::extract::Query::from_request_parts(parts, state)
                .await
                .map_err(|_| Refusal::bad_request("invalid query string"))?;
        Ok(Self::from_pairs(pairs.0))
    }
}

/// A body that is a JSON object; no body is an empty one.
#[derive(Clone, Debug, Default)]
pub(super) struct JsonBody(pub(super) Map<String, Value>);

impl FromRequest<Arc<Management>> for JsonBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, management: &Arc<Management>) -> Result<Self, Refusal> {
        let bytes = read(management, request.into_body()).await?;
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        // The parser's own limit on nesting is what keeps it from exhausting the stack.
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(Value::String(_)) => Err(Refusal::bad_request(
                "invalid payload: the request body JSON-decoded to a string. Is the input \
                 doubly-JSON-encoded?",
            )),
            Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | Err(_) => {
                Err(Refusal::bad_request("not_json"))
            }
        }
    }
}

impl JsonBody {
    /// The whole object as one thing.
    pub(super) fn parse<T: DeserializeOwned>(self) -> Result<T, Refusal> {
        T::deserialize(Value::Object(self.0))
            .map_err(|error| Refusal::bad_request(error.to_string()))
    }

    /// A truth, which old clients spell as a string; `default` where there is none.
    pub(super) fn truth(&self, name: &str, default: bool) -> Result<bool, Refusal> {
        match self.0.get(name) {
            None => Ok(default),
            Some(Value::Bool(truth)) => Ok(*truth),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(other) => Err(Refusal::bad_value("not_boolean", other)),
        }
    }

    /// A whole number, which old clients spell as a string.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let integer = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        integer
            .map(Some)
            .ok_or_else(|| Refusal::bad_value("not_integer", value))
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Refusal::bad_value("not_string", other)),
        }
    }

    /// Refuses a body that lacks one of these, in RabbitMQ's words.
    pub(super) fn require(&self, names: &[&str]) -> Result<(), Refusal> {
        let missing: Vec<String> = names
            .iter()
            .filter(|name| !self.0.contains_key(**name))
            .map(|name| format!("{{key_missing,{name}}}"))
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            // Erlang's printer breaks lines that do not fit on a screen of 80 with a margin of one on each side.
            const SCREEN: usize = 78;
            let line = format!("[{}]", missing.join(","));
            if line.len() <= SCREEN {
                return Err(Refusal::bad_request(line));
            }
            Err(Refusal::bad_request(format!("[{}]", missing.join(",\n "))))
        }
    }
}

/// Reads a body that is neither too long nor too slow (spec 13.14). Nothing is taken on trust: what
/// counts is what has arrived so far, and encodings that unfold into more are not known here.
pub(super) async fn read(
    management: &Management,
    body: body::Body,
) -> Result<body::Bytes, Refusal> {
    let settings = &management.settings;
    let read = body::to_bytes(body, settings.body_bytes_max);
    tokio::time::timeout(settings.timeout, read)
        .await
        .map_err(|_| Refusal::too_slow())?
        .map_err(|_| Refusal::bad_request("Exceeded HTTP request body size limit"))
}
