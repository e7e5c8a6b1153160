//! What an API answered, in words that two brokers can be compared by.

use anyhow::Result;
use leveret_tests::management::in_order;
use serde_json::{Map, Value};
use ureq::Body;
use ureq::http::Response;

/// Fields whose values are the same wherever the same was done before.
const FIELDS: [&str; 37] = [
    "name",
    "vhost",
    "type",
    "durable",
    "auto_delete",
    "exclusive",
    "internal",
    "arguments",
    "policy",
    "operator_policy",
    "effective_policy_definition",
    "source",
    "destination",
    "destination_type",
    "routing_key",
    "properties_key",
    "user",
    "configure",
    "write",
    "read",
    "exchange",
    "tags",
    "hashing_algorithm",
    "pattern",
    "apply-to",
    "definition",
    "priority",
    "component",
    "value",
    "error",
    "reason",
    "routed",
    "payload",
    "payload_bytes",
    "payload_encoding",
    "redelivered",
    "properties",
];

/// Status and body.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    location: Option<String>,
    pub(super) body: Option<Value>,
    text: String,
    prefix: String,
}

impl Answer {
    pub(super) fn read(mut response: Response<Body>, prefix: &str) -> Result<Self> {
        let clean = |text: &str| {
            if prefix.is_empty() {
                text.to_owned()
            } else {
                text.replace(prefix, "")
            }
        };
        let location = response.headers().get("location");
        let location = location
            .and_then(|text| text.to_str().ok())
            .map(|text| clean(text.rsplit('/').next().unwrap_or_default()))
            .map(|text| without_hash(&text));
        let whole = response.body_mut().read_to_string()?;
        // Others use the same virtual host: what is theirs is left out before the names are cleaned.
        let body = serde_json::from_str(&whole).ok();
        let body = body.map(|body| in_order(only_own(body, prefix)));
        let text = clean(&body.as_ref().map_or(whole, Value::to_string));
        Ok(Self {
            status: response.status().as_u16(),
            location,
            body: serde_json::from_str(&text).ok(),
            text,
            prefix: prefix.to_owned(),
        })
    }

    /// One line for each fact.
    pub(super) fn lines(&self) -> Vec<String> {
        debug_assert!(self.prefix.is_empty() || !self.text.contains(&self.prefix));
        let mut lines = vec![format!("status {}", self.status)];
        if let Some(location) = &self.location {
            lines.push(format!("location …/{location}"));
        }
        match &self.body {
            Some(Value::Array(items)) => {
                let mut items: Vec<_> = items.iter().map(stable).collect();
                items.sort_by_key(Value::to_string);
                lines.push(format!("{} items", items.len()));
                lines.extend(items.iter().map(Value::to_string));
            }
            Some(Value::Object(fields)) => {
                let fields = stable_fields(fields);
                lines.extend(fields.iter().map(|(key, value)| format!("{key}: {value}")));
            }
            Some(other) => lines.push(other.to_string()),
            // Pages for people are everybody's own.
            None if self.text.starts_with('<') => {}
            None => lines.push(self.text.clone()),
        }
        lines
    }
}

/// A binding's key without the hash of its arguments, which is a broker's own.
fn without_hash(key: &str) -> String {
    let key = key.replace("%7E", "~");
    match key.split_once('~') {
        Some((start, hash)) if !hash.is_empty() => format!("{start}~…"),
        _ => key,
    }
}

/// A list without what does not bear the run's prefix.
fn only_own(body: Value, prefix: &str) -> Value {
    match body {
        Value::Array(items) if !prefix.is_empty() => {
            let own = |item: &Value| match item {
                Value::Object(_) => item.to_string().contains(prefix),
                _ => true,
            };
            let is_named = items.iter().all(|item| item.get("payload").is_none());
            Value::Array(
                items
                    .into_iter()
                    .filter(|item| !is_named || own(item))
                    .collect(),
            )
        }
        other => other,
    }
}

fn stable(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(stable_fields(fields)),
        other => other.clone(),
    }
}

fn stable_fields(fields: &Map<String, Value>) -> Map<String, Value> {
    let fields = fields.iter();
    fields
        .filter(|(key, value)| FIELDS.contains(&key.as_str()) && !says_nothing(key, value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// RabbitMQ shows that no policy applies only some seconds after a queue was made, and in some lists never.
fn says_nothing(key: &str, value: &Value) -> bool {
    match key {
        "policy" | "operator_policy" => value.is_null(),
        "effective_policy_definition" => {
            value.as_object().is_some_and(Map::is_empty)
                || value.as_array().is_some_and(Vec::is_empty)
        }
        _ => false,
    }
}
