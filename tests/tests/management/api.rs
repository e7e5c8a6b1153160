//! Brokers with an HTTP API, and requests to them.

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use leveret::Broker;
use leveret_tests::target::Address;
use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) allow: Option<String>,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON; null if there is none.
    pub(crate) fn json(&self) -> Result<Value> {
        if self.text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&self.text).with_context(|| self.text.clone())
    }
}

/// A request's body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body<'a> {
    Nothing,
    Text(&'a str),
}

/// A broker that answers HTTP.
pub(crate) struct Api {
    pub(crate) name: &'static str,
    pub(crate) base: String,
    pub(crate) amqp: Address,
    login: Option<String>,
    broker: Option<(Broker, tokio::runtime::Runtime)>,
}

impl Api {
    /// A Leveret of its own, in memory.
    pub(crate) fn leveret() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let builder = Broker::builder()
            .amqp("127.0.0.1:0")
            .management("127.0.0.1:0")
            .prometheus("127.0.0.1:0");
        let broker = runtime.block_on(builder.start())?;
        let address = broker.management_address().context("it answers HTTP")?;
        Ok(Self {
            name: "Leveret",
            base: format!("http://{address}"),
            amqp: Address::parse(&broker.amqp_url())?,
            login: Some("guest:guest".to_owned()),
            broker: Some((broker, runtime)),
        })
    }

    /// The RabbitMQ that the environment names.
    pub(crate) fn rabbitmq() -> Result<Option<Self>> {
        let (Ok(amqp), Ok(url)) = (
            env::var("RABBITMQ_URL"),
            env::var("RABBITMQ_MANAGEMENT_URL"),
        ) else {
            anyhow::ensure!(
                env::var("LEVERET_REQUIRE_RABBITMQ").as_deref() != Ok("1"),
                "RABBITMQ_URL and RABBITMQ_MANAGEMENT_URL are not set"
            );
            return Ok(None);
        };
        let rest = url.strip_prefix("http://").context("an http url")?;
        let (login, host) = rest.rsplit_once('@').unwrap_or(("guest:guest", rest));
        Ok(Some(Self {
            name: "RabbitMQ",
            base: format!("http://{}", host.trim_end_matches('/')),
            amqp: Address::parse(&amqp)?,
            login: Some(login.to_owned()),
            broker: None,
        }))
    }

    /// Both, or Leveret alone.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let mut all = vec![Self::leveret()?];
        match Self::rabbitmq()? {
            Some(rabbitmq) => all.push(rabbitmq),
            None => eprintln!("SKIPPED: the HTTP API of RabbitMQ: no URL is given"),
        }
        Ok(all)
    }

    /// Where Leveret's metrics are.
    pub(crate) fn metrics_base(&self) -> Result<String> {
        let (broker, _) = self.broker.as_ref().context("a Leveret")?;
        let address = broker.prometheus_address().context("it has metrics")?;
        Ok(format!("http://{address}"))
    }

    /// Sends a request.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Body<'_>) -> Result<Answer> {
        self.send(method, &format!("{}{path}", self.base), body, &[])
    }

    /// Sends a request as somebody else: `user:password`.
    pub(crate) fn ask_as(
        &self,
        login: &str,
        method: &str,
        path: &str,
        body: Body<'_>,
    ) -> Result<Answer> {
        let url = format!("{}{path}", self.base);
        send(Some(login), method, &url, body, &[])
    }

    /// Sends no login from now on.
    pub(crate) fn log_out(&mut self) {
        self.login = None;
    }

    /// Asks for something.
    pub(crate) fn get(&self, path: &str) -> Result<Answer> {
        self.ask("GET", path, Body::Nothing)
    }

    /// Sends a request with more headers, to any address.
    pub(crate) fn send(
        &self,
        method: &str,
        url: &str,
        body: Body<'_>,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        send(self.login.as_deref(), method, url, body, headers)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        if let Some((broker, runtime)) = self.broker.take() {
            // A broker that does not stop is another test's business.
            let _ = runtime.block_on(broker.shutdown());
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

fn send(
    login: Option<&str>,
    method: &str,
    url: &str,
    body: Body<'_>,
    headers: &[(&str, &str)],
) -> Result<Answer> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    if let Some(login) = login {
        request = request.header("authorization", format!("Basic {}", base64(login)));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let sent = match body {
        Body::Nothing => agent.run(request.body(())?)?,
        Body::Text(text) => {
            let request = request.header("content-type", "application/json");
            agent.run(request.body(text.to_owned())?)?
        }
    };
    let mut sent = sent;
    let header = |name: &str| {
        let value = sent.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let (location, allow) = (header("location"), header("allow"));
    Ok(Answer {
        status: sent.status().as_u16(),
        location,
        allow,
        text: sent.body_mut().read_to_string()?,
    })
}

/// A name that nothing has on a broker that others use, too.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("mg-{}-{number}", std::process::id())
}

/// A text as a segment of a path, whatever it holds.
pub(crate) fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let mut bits = [0; 4];
        bits[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(bits);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            let used = digit <= chunk.len();
            encoded.push(if used {
                char::from(DIGITS[index as usize])
            } else {
                '='
            });
        }
    }
    encoded
}
