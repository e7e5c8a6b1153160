//! Where a test runs: our broker, embedded, or a RabbitMQ named by the environment. This is the
//! one file that knows how either is reached.

use std::env;

use anyhow::{Context as _, Result};

/// What a test is run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Our broker: embedded, in memory, one for each test; or the one that `LEVERET_URL` names.
    Leveret,
    /// A real RabbitMQ, named by `RABBITMQ_URL`.
    RabbitMq,
}

/// The parts of an AMQP URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host and port.
    pub socket: String,
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
    /// Virtual host.
    pub virtual_host: String,
}

impl Address {
    /// Reads `amqp://user:password@host:port/virtual-host`; what is left out is as RabbitMQ's
    /// clients have it.
    pub fn parse(url: &str) -> Result<Self> {
        let rest = url
            .strip_prefix("amqp://")
            .with_context(|| format!("no amqp url: {url}"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, "%2f"));
        let (login, host) = authority
            .rsplit_once('@')
            .unwrap_or(("guest:guest", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let socket = if host.contains(':') {
            host.to_owned()
        } else {
            format!("{host}:5672")
        };
        let virtual_host = path.replace("%2f", "/").replace("%2F", "/");
        Ok(Self {
            socket,
            user: user.to_owned(),
            password: password.to_owned(),
            virtual_host,
        })
    }
}

/// A broker that a test may use.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: Address,
    /// Base of its HTTP API, if it has one.
    pub management: Option<String>,
    broker: Option<leveret::Broker>,
}

impl Target {
    /// Starts or finds the broker; the inner error says why there is none to be had.
    pub async fn start(self) -> Result<std::result::Result<Running, String>> {
        let (url, management) = match self {
            Self::Leveret => ("LEVERET_URL", "LEVERET_MANAGEMENT_URL"),
            Self::RabbitMq => ("RABBITMQ_URL", "RABBITMQ_MANAGEMENT_URL"),
        };
        if let Ok(given) = env::var(url) {
            let address = Address::parse(&given)?;
            return Ok(Ok(Running {
                address,
                management: env::var(management).ok(),
                broker: None,
            }));
        }
        match self {
            Self::Leveret => start_embedded().await,
            Self::RabbitMq => Ok(Err("RABBITMQ_URL is not set".to_owned())),
        }
    }

    /// Whether the lack of this target fails its tests instead of skipping them.
    #[must_use]
    pub fn is_required(self) -> bool {
        let required = |name| env::var(name).is_ok_and(|value| value == "1");
        match self {
            Self::Leveret => true,
            Self::RabbitMq => required("LEVERET_REQUIRE_RABBITMQ"),
        }
    }
}
async fn start_embedded() -> Result<std::result::Result<Running, String>> {
    let broker = leveret::Broker::builder()
        .amqp("127.0.0.1:0")
        .management("127.0.0.1:0")
        .start()
        .await?;
    let address = Address::parse(&broker.amqp_url())?;
    Ok(Ok(Running {
        address,
        management: broker
            .management_address()
            .map(|address| format!("http://guest:guest@{address}")),
        broker: Some(broker),
    }))
}

impl Running {
    /// Stops what [`Target::start`] started; whether there was anything.
    pub async fn stop(self) -> Result<bool> {
        let Some(broker) = self.broker else {
            return Ok(false);
        };
        broker.shutdown().await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_its_parts_and_what_it_leaves_out_is_the_usual() {
        let full = Address::parse("amqp://u:p@localhost:5673/%2f").unwrap();
        assert_eq!(
            (full.socket.as_str(), full.user.as_str()),
            ("localhost:5673", "u")
        );
        assert_eq!(
            (full.password.as_str(), full.virtual_host.as_str()),
            ("p", "/")
        );
        let short = Address::parse("amqp://localhost").unwrap();
        assert_eq!(
            (short.socket.as_str(), short.user.as_str()),
            ("localhost:5672", "guest")
        );
        assert!(Address::parse("http://localhost").is_err());
    }
}
