//! The management API: RabbitMQ's, which the embedded broker serves as well. The one file that knows
//! HTTP on the client's side.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use leveret_client::http::tls;
use leveret_client::message::properties::BrokerUser;
use leveret_client::trust::Trust;
use serde::Serialize;
use serde_json::{Value, json};

use crate::topology::Policy;

/// For everything that the management API should answer at once.
const PATIENCE: Duration = Duration::from_secs(20);
/// Connections and channels of one device: its client has one connection with three channels, and a
/// second while it comes back from a broken one.
const CONNECTIONS_MAX: u32 = 2;
const CHANNELS_MAX: u32 = 8;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManagementError {
    /// Nobody answers.
    #[error("the broker's management API cannot be reached: {0}")]
    Unreachable(String),
    /// The answer is no.
    #[error("the broker's management API refuses {what}: {status}")]
    Refused {
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
    },
    /// The URL is none.
    #[error("{0:?} is no http URL")]
    InvalidUrl(String),
}

/// The management API of the chat's broker.
#[derive(Clone)]
pub struct Management {
    agent: ureq::Agent,
    base: Arc<str>,
    authorization: Arc<str>,
    virtual_host: Arc<str>,
}

impl fmt::Debug for Management {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Management")
            .field("base", &self.base)
            .field("virtual_host", &self.virtual_host)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum Method {
    Put,
    Delete,
    /// The same of a connection, whose client is told why.
    Close(&'static str),
}

impl Management {
    /// At `http[s]://user:password@host:port`, for this virtual host.
    pub fn new(url: &str, virtual_host: &str) -> Result<Self, ManagementError> {
        Self::trusting(url, virtual_host, &Trust::system())
    }

    /// The same, with others who may vouch for it.
    pub fn trusting(url: &str, virtual_host: &str, trust: &Trust) -> Result<Self, ManagementError> {
        let invalid = || ManagementError::InvalidUrl(without_login(url));
        let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
        let is_secure = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(invalid()),
        };
        let (login, host) = rest.rsplit_once('@').unwrap_or(("guest:guest", rest));
        let host = host.trim_end_matches('/');
        if host.is_empty() {
            return Err(invalid());
        }
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let login = format!("{}:{}", percent_decoded(user), percent_decoded(password));
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false);
        if is_secure {
            config = config.tls_config(tls(trust));
        }
        Ok(Self {
            agent: config.build().into(),
            base: format!("{scheme}://{host}/api").into(),
            authorization: format!("Basic {}", data_encoding::BASE64.encode(login.as_bytes()))
                .into(),
            virtual_host: virtual_host.into(),
        })
    }

    async fn call(
        &self,
        method: Method,
        path: String,
        body: Option<Value>,
        missing_is_fine: bool,
    ) -> Result<(), ManagementError> {
        let this = self.clone();
        let call = move || this.call_blocking(method, &path, body, missing_is_fine);
        match tokio::task::spawn_blocking(call).await {
            Ok(result) => result,
            Err(error) => Err(ManagementError::Unreachable(error.to_string())),
        }
    }

    fn call_blocking(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        missing_is_fine: bool,
    ) -> Result<(), ManagementError> {
        let url = format!("{}/{path}", self.base);
        let unreachable = |error: ureq::Error| ManagementError::Unreachable(error.to_string());
        let authorization = &*self.authorization;
        let answer = match method {
            Method::Put => {
                let request = self.agent.put(&url).header("authorization", authorization);
                request.send_json(body.unwrap_or_else(|| json!({})))
            }
            Method::Delete => {
                let request = self
                    .agent
                    .delete(&url)
                    .header("authorization", authorization);
                request.call()
            }
            Method::Close(reason) => {
                let request = self.agent.delete(&url).header("x-reason", reason);
                request.header("authorization", authorization).call()
            }
        };
        let status = answer.map_err(unreachable)?.status().as_u16();
        if (200..300).contains(&status) || (missing_is_fine && status == 404) {
            return Ok(());
        }
        let what = path.to_owned();
        Err(ManagementError::Refused { what, status })
    }

    async fn put(&self, path: String, body: impl Serialize) -> Result<(), ManagementError> {
        // What is sent has only string keys.
        let body = serde_json::to_value(body).unwrap_or_default();
        self.call(Method::Put, path, Some(body), false).await
    }

    /// Makes the chat's virtual host, unless it is there, and lets the service's own user in.
    pub async fn make_virtual_host(&self, service_user: &str) -> Result<(), ManagementError> {
        let host = encoded(&self.virtual_host);
        self.put(format!("vhosts/{host}"), json!({})).await?;
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        let user = encoded(service_user);
        self.put(format!("permissions/{host}/{user}"), all).await
    }

    /// Takes the chat's virtual host away, with everything in it, and the users of its devices.
    pub async fn delete_virtual_host(&self) -> Result<(), ManagementError> {
        let host = encoded(&self.virtual_host);
        let permissions = self.get(format!("vhosts/{host}/permissions")).await?;
        let users = permissions.as_array().into_iter().flatten();
        let users = users.filter_map(|permission| permission["user"].as_str());
        for device in users.filter_map(BrokerUser::parse) {
            self.remove_device(&device).await?;
        }
        self.call(Method::Delete, format!("vhosts/{host}"), None, true)
            .await
    }

    /// Sets the policies that say how much queues take, unless there are some of their names: those are an
    /// operator's, and how they differ is said.
    pub async fn set_policies(&self, policies: &[Policy]) -> Result<Vec<String>, ManagementError> {
        let host = encoded(&self.virtual_host);
        let known = self.get(format!("policies/{host}")).await?;
        let known = known.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut drift = Vec::new();
        for policy in policies {
            match known.iter().find(|known| known["name"] == policy.name) {
                Some(known) => drift.extend(differences(policy, known)),
                None => {
                    let path = format!("policies/{host}/{}", policy.name);
                    self.put(path, policy).await?;
                }
            }
        }
        Ok(drift)
    }

    async fn get(&self, path: String) -> Result<Value, ManagementError> {
        let this = self.clone();
        let get = move || {
            let url = format!("{}/{path}", this.base);
            let request = this.agent.get(&url);
            let request = request.header("authorization", &*this.authorization);
            let unreachable = |error: ureq::Error| ManagementError::Unreachable(error.to_string());
            let mut answer = request.call().map_err(unreachable)?;
            match answer.status().as_u16() {
                200 => answer.body_mut().read_json().map_err(unreachable),
                status => Err(ManagementError::Refused { what: path, status }),
            }
        };
        match tokio::task::spawn_blocking(get).await {
            Ok(result) => result,
            Err(error) => Err(ManagementError::Unreachable(error.to_string())),
        }
    }

    /// Lets a device in, with this password: it may read its own queue and publish for itself, and may
    /// declare nothing, since whoever may declare a queue can forge a sender by dead-lettering.
    pub async fn put_device(
        &self,
        device: &BrokerUser,
        password: &str,
    ) -> Result<(), ManagementError> {
        let user = device.name();
        let host = encoded(&self.virtual_host);
        let login = json!({"password": password, "tags": ""});
        self.put(format!("users/{user}"), login).await?;
        for (limit, value) in [
            ("max-connections", CONNECTIONS_MAX),
            ("max-channels", CHANNELS_MAX),
        ] {
            let value = json!({ "value": value });
            self.put(format!("user-limits/{user}/{limit}"), value)
                .await?;
        }
        let permissions = json!({
            "configure": "^$",
            "write": r"^chat\.(send|rcpt|eph|rpc)$",
            "read": format!("^{}$", device.inbox().replace('.', r"\.")),
        });
        self.put(format!("permissions/{host}/{user}"), permissions)
            .await
    }

    /// Shuts a device out, and ends its connections.
    pub async fn remove_device(&self, device: &BrokerUser) -> Result<(), ManagementError> {
        let user = device.name();
        self.call(Method::Delete, format!("users/{user}"), None, true)
            .await?;
        let connections = format!("connections/username/{user}");
        self.call(Method::Delete, connections, None, true).await
    }

    /// Ends the connections in the chat's virtual host to which their client gave this name, and gives how many there
    /// were. The client is told the reason if it listens; what it holds goes back in any case.
    pub async fn close_connections(
        &self,
        client_name: &str,
        reason: &'static str,
    ) -> Result<usize, ManagementError> {
        let host = encoded(&self.virtual_host);
        // There is one for each device that is connected: no more of each than is needed.
        let list = format!("vhosts/{host}/connections?columns=name,user_provided_name");
        let list = self.get(list).await?;
        let all = list.as_array().into_iter().flatten();
        let same = all.filter(|connection| connection["user_provided_name"] == client_name);
        let names: Vec<_> = same
            .filter_map(|connection| connection["name"].as_str())
            .collect();
        for name in &names {
            let path = format!("connections/{}", encoded(name));
            self.call(Method::Close(reason), path, None, true).await?;
        }
        Ok(names.len())
    }
}

/// How a policy that is there differs from what the chat would set.
fn differences(policy: &Policy, known: &Value) -> Vec<String> {
    // What is sent has only string keys.
    let wanted = serde_json::to_value(policy).unwrap_or_default();
    let fields = wanted.as_object().into_iter().flatten();
    let changed = fields.filter(|(field, value)| known[field.as_str()] != **value);
    let name = policy.name;
    changed
        .map(|(field, value)| {
            let there = &known[field.as_str()];
            format!("policy {name} has {field} {there} and not {value}")
        })
        .collect()
}

/// A name as a part of a path.
fn encoded(name: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
    name.bytes()
        .map(|octet| match octet {
            octet if plain(octet) => char::from(octet).to_string(),
            octet => format!("%{octet:02X}"),
        })
        .collect()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = (*first == b'%').then(|| after.get(..2)).flatten();
        let octet = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match octet {
            Some(octet) => {
                bytes.push(octet);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A URL that can be shown.
fn without_login(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_an_operator_changed_is_told_from_one_that_is_as_it_was() {
        let topology = crate::topology::Topology::new(Default::default());
        let policy = &topology.policies[0];
        let mut known = serde_json::to_value(policy).unwrap();
        known["name"] = policy.name.into();
        known["vhost"] = "chat".into();
        assert_eq!(differences(policy, &known), Vec::<String>::new());
        known["definition"]["max-length"] = 5.into();
        let differences = differences(policy, &known);
        assert_eq!(differences.len(), 1);
        assert!(differences[0].contains("chat-send"), "{differences:?}");
    }

    #[test]
    fn names_and_logins_are_written_as_urls_want_them() {
        assert_eq!(encoded("/"), "%2F");
        assert_eq!(encoded("c.uana.d-1"), "c.uana.d-1");
        assert_eq!(percent_decoded("a%2fb%zz%"), "a/b%zz%");
        let management = Management::new("http://me:p%40ss@host:15672/", "chat").unwrap();
        assert_eq!(&*management.base, "http://host:15672/api");
        assert_eq!(&*management.authorization, "Basic bWU6cEBzcw==");
        assert!(!format!("{management:?}").contains("bWU6"));
        let error = Management::new("ftp://me:secret@host", "chat").unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
