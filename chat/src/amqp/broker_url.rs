//! Where the broker is.

use std::fmt;

use lapin::uri::AMQPUri;
use leveret_client::trust::Trust;

/// Where the broker is, with the service's login, and who may vouch for it. Not to be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    pub(super) uri: AMQPUri,
    pub(super) trust: Trust,
}

impl BrokerUrl {
    /// Reads `amqp://user:password@host:port/virtual-host`, or `amqps://…` for TLS.
    pub fn parse(url: &str) -> Result<Self, String> {
        let uri = url.parse()?;
        let trust = Trust::system();
        Ok(Self { uri, trust })
    }

    /// The same, with others who may vouch for the broker.
    #[must_use]
    pub fn trusting(mut self, trust: &Trust) -> Self {
        self.trust = trust.clone();
        self
    }

    /// The service's user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.uri.authority.userinfo.username
    }

    /// The virtual host.
    #[must_use]
    pub fn virtual_host(&self) -> &str {
        &self.uri.vhost
    }

    /// The same without user and password, for a client.
    #[must_use]
    pub fn public(&self) -> String {
        let (scheme, authority) = (&self.uri.scheme, &self.uri.authority);
        let virtual_host = self.uri.vhost.replace('%', "%25").replace('/', "%2f");
        format!(
            "{scheme}://{}:{}/{virtual_host}",
            authority.host, authority.port
        )
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.public())
    }
}
