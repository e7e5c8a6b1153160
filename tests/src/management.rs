//! The HTTP API of either target: for tests of it, and for those that need users, virtual hosts or
//! limits, which AMQP cannot make.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer of the API.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; null if there is none.
    pub body: Value,
}

impl Answer {
    /// The status, and the reason that a refusal gives.
    #[must_use]
    pub fn notation(&self) -> String {
        match (self.body.get("error"), self.body.get("reason")) {
            (Some(error), Some(reason)) => {
                let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
                format!("{} {}: {}", self.status, text(error), text(reason))
            }
            _ => self.status.to_string(),
        }
    }
}

/// One user's view of the API.
#[derive(Clone, Debug)]
pub struct Management {
    base: String,
    user: String,
    password: String,
    agent: ureq::Agent,
}

impl Management {
    /// The API at `http://user:password@host:port`.
    pub fn new(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("http://").context("an http url")?;
        let (login, host) = rest.rsplit_once('@').unwrap_or(("guest:guest", rest));
        let (user, password) = login.split_once(':').context("user:password")?;
        Ok(Self {
            base: format!("http://{}", host.trim_end_matches('/')),
            user: user.to_owned(),
            password: password.to_owned(),
            agent: ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(PATIENCE))
                .build()
                .into(),
        })
    }

    /// The same API, as somebody else sees it.
    #[must_use]
    pub fn as_user(&self, user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            ..self.clone()
        }
    }

    /// Sends a request to a path below `/api`, names in it encoded already.
    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Result<Answer> {
        let body = body.map(|body| body.to_string().into_bytes());
        self.send_bytes(method, path, body.unwrap_or_default())
            .await
    }

    /// Sends a request with any body.
    pub async fn send_bytes(&self, method: &str, path: &str, body: Vec<u8>) -> Result<Answer> {
        self.send_typed(method, path, "application/json", body)
            .await
    }

    /// Sends a request with a body of any type.
    pub async fn send_typed(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Answer> {
        let login = base64(format!("{}:{}", self.user, self.password).as_bytes());
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/api/{path}", self.base))
            .header("authorization", format!("Basic {login}"))
            .header("content-type", content_type)
            .body(body)?;
        let agent = self.agent.clone();
        let answered = tokio::task::spawn_blocking(move || {
            let mut response = agent.run(request)?;
            let text = response.body_mut().read_to_string()?;
            anyhow::Ok((response.status().as_u16(), text))
        });
        let (status, text) = answered.await??;
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        Ok(Answer { status, body })
    }

    /// What lies at a path.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, None).await
    }

    /// Sends a request that must succeed.
    pub async fn done(&self, method: &str, path: &str, body: Option<Value>) -> Result<Answer> {
        let answer = self.send(method, path, body).await?;
        ensure!(
            (200..300).contains(&answer.status),
            "{method} {path} was answered with {answer:?}"
        );
        Ok(answer)
    }
}

/// A name as a segment of a path.
#[must_use]
pub fn segment(name: &str) -> String {
    name.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

/// Base64, for the one header that needs it.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes.chunks(3).fold(String::new(), |mut text, chunk| {
        let word = chunk
            .iter()
            .chain([&0, &0])
            .take(3)
            .fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
        for place in 0..4 {
            if place <= chunk.len() {
                text.push(char::from(LETTERS[word >> (18 - 6 * place) & 63]));
            } else {
                text.push('=');
            }
        }
        text
    })
}

/// The same value with the keys of all objects in order, so that equal values have equal texts, whichever
/// order the broker sent them in.
#[must_use]
pub fn in_order(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut fields: Vec<_> = object.into_iter().collect();
            fields.sort_by(|(one, _), (other, _)| one.cmp(other));
            let fields = fields.into_iter();
            Value::Object(fields.map(|(key, value)| (key, in_order(value))).collect())
        }
        Value::Array(items) => items.into_iter().map(in_order).collect(),
        value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_what_does_not_fill_three_bytes() {
        for (bytes, text) in [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(b"guest:guest"), "Z3Vlc3Q6Z3Vlc3Q=");
    }

    #[test]
    fn a_segment_has_nothing_that_means_something_in_a_path() {
        assert_eq!(segment("/a b%"), "%2Fa%20b%25");
    }
}
