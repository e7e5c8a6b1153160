//! The service's HTTP: accounts and devices. The one file of the client that knows HTTP.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::message::{DeviceId, Handle, ShardCount, UserId};
use crate::trust::{self, Trust};

/// For everything that the service should answer at once; a password takes it some time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Nobody answers.
    #[error("cannot reach the service: {0}")]
    Unreachable(String),
    /// The service says no.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The service's code for it, for programs.
        code: String,
        /// The service's words for it, for people.
        message: String,
    },
}

/// A login. Not to be shown.
#[derive(Clone, Serialize, Deserialize)]
pub struct LoggedIn {
    /// To be given with every request.
    pub token: String,
    /// Who.
    pub user: UserId,
    /// The name.
    pub handle: Handle,
    /// On which device.
    pub device: DeviceId,
}

impl fmt::Debug for LoggedIn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LoggedIn")
            .field("user", &self.user)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// What a device needs to speak AMQP. Not to be shown.
#[derive(Clone, Serialize, Deserialize)]
pub struct AmqpAccess {
    /// Where, without a login.
    pub url: String,
    /// The device's password.
    pub password: String,
    /// How many send shards there are.
    pub shards: ShardCount,
}

impl fmt::Debug for AmqpAccess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AmqpAccess")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum Method {
    Post,
    Delete,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: String,
    message: String,
}

/// The service's HTTP, at one URL.
#[derive(Clone, Debug)]
pub struct ServiceHttp {
    agent: ureq::Agent,
    base: String,
}

impl ServiceHttp {
    /// At `http[s]://host:port`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self::trusting(url, &Trust::system())
    }

    /// The same, with others who may vouch for the service.
    #[must_use]
    pub fn trusting(url: &str, trust: &Trust) -> Self {
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false);
        if url.starts_with("https://") {
            config = config.tls_config(tls(trust));
        }
        Self {
            agent: config.build().into(),
            base: url.trim_end_matches('/').to_owned(),
        }
    }

    /// Makes an account.
    pub async fn register(
        &self,
        handle: &Handle,
        password: &str,
        bot: bool,
    ) -> Result<(), HttpError> {
        let body = json!({"handle": handle, "password": password, "bot": bot});
        self.post("v1/register", None, body).await.map(drop)
    }

    /// Logs in, on this device if it is known, or on a new one.
    pub async fn login(
        &self,
        handle: &Handle,
        password: &str,
        device: Option<&DeviceId>,
        device_name: &str,
    ) -> Result<LoggedIn, HttpError> {
        let body = json!({
            "handle": handle,
            "password": password,
            "device": device,
            "device_name": device_name,
        });
        read(self.post("v1/login", None, body).await?)
    }

    /// Ends a login.
    pub async fn logout(&self, token: &str) -> Result<(), HttpError> {
        self.post("v1/logout", Some(token), json!({}))
            .await
            .map(drop)
    }

    /// Ends the account; what it said stays.
    pub async fn delete_account(&self, token: &str) -> Result<(), HttpError> {
        let body = json!({"texts": "keep"});
        self.call(Method::Delete, "v1/me", Some(token), body)
            .await
            .map(drop)
    }

    /// Lets the device speak AMQP, with a new password.
    pub async fn amqp(&self, token: &str) -> Result<AmqpAccess, HttpError> {
        read(self.post("v1/amqp", Some(token), json!({})).await?)
    }

    async fn post(
        &self,
        path: &str,
        token: Option<&str>,
        body: Value,
    ) -> Result<Vec<u8>, HttpError> {
        self.call(Method::Post, path, token, body).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Value,
    ) -> Result<Vec<u8>, HttpError> {
        let url = format!("{}/{path}", self.base);
        let mut request = match method {
            Method::Post => self.agent.post(url),
            Method::Delete => self.agent.delete(url).force_send_body(),
        };
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let unreachable = |error: ureq::Error| HttpError::Unreachable(error.to_string());
        let call = move || {
            let mut answer = request.send_json(body).map_err(unreachable)?;
            let status = answer.status().as_u16();
            let bytes = answer.body_mut().read_to_vec().map_err(unreachable)?;
            if (200..300).contains(&status) {
                return Ok(bytes);
            }
            let refusal: Refusal = serde_json::from_slice(&bytes).unwrap_or_default();
            let message = if refusal.message.is_empty() {
                format!("the service refuses: {status}")
            } else {
                refusal.message
            };
            Err(HttpError::Refused {
                status,
                code: refusal.code,
                message,
            })
        };
        match tokio::task::spawn_blocking(call).await {
            Ok(result) => result,
            Err(error) => Err(HttpError::Unreachable(error.to_string())),
        }
    }
}

/// A client's side of TLS on these terms.
#[must_use]
pub fn tls(trust: &Trust) -> TlsConfig {
    let authorities = trust.authorities();
    let authorities = authorities
        .iter()
        .map(|authority| Certificate::from_der(authority).to_owned());
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(authorities.collect::<Vec<_>>().into()))
        .unversioned_rustls_crypto_provider(trust::provider())
        .build()
}

fn read<T: serde::de::DeserializeOwned>(bytes: Vec<u8>) -> Result<T, HttpError> {
    serde_json::from_slice(&bytes)
        .map_err(|error| HttpError::Unreachable(format!("an answer that cannot be read: {error}")))
}
