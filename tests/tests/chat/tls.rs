//! TLS between everybody and everything. It comes from something in front of the servers, as an operator
//! would put it there.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use leveret_chat::amqp::{BrokerUrl, Link};
use leveret_chat::management::Management;
use leveret_chat::settings::GatewaySettings;
use leveret_client::http::ServiceHttp;
use leveret_client::transport::{AmqpConnector, AmqpOptions, Connector, WebSocketConnector};
use leveret_client::trust::Trust;
use leveret_tests::Context;
use tempfile::NamedTempFile;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::stage::{Person, Stage};

chat_tests![
    everything_works_over_tls,
    a_server_that_nobody_vouches_for_is_not_spoken_to,
    a_server_of_another_name_is_not_spoken_to,
];

/// A server that speaks TLS for one that does not.
struct Secured {
    port: u16,
    certificate: NamedTempFile,
    task: JoinHandle<()>,
}

impl Secured {
    /// In front of the server at that address, with a certificate for `name`.
    async fn new(name: &str, server: &str) -> Result<Self> {
        let certified = rcgen::generate_simple_self_signed([name.to_owned()])?;
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der());
        let key = key.map_err(anyhow::Error::msg)?;
        let chain = vec![certified.cert.der().clone()];
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let mut certificate = NamedTempFile::new()?;
        certificate.write_all(certified.cert.pem().as_bytes())?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let task = tokio::spawn(pass_on(listener, acceptor, server.to_owned()));
        Ok(Self {
            port,
            certificate,
            task,
        })
    }

    fn trust(&self) -> Result<Trust> {
        Ok(Trust::with_file(self.certificate.path())?)
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(listener: TcpListener, acceptor: TlsAcceptor, server: String) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, server) = (acceptor.clone(), server.clone());
        tokio::spawn(async move {
            // Whoever does not like the certificate leaves.
            let Ok(mut secure) = acceptor.accept(stream).await else {
                return;
            };
            if let Ok(mut plain) = TcpStream::connect(server).await {
                let _ = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
            }
        });
    }
}

/// `host:port` of a URL.
fn authority(url: &str) -> Result<&str> {
    let (_, rest) = url.split_once("://").context("a URL")?;
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    Ok(rest.split('/').next().unwrap_or(rest))
}

/// The same URL, with TLS and another server.
fn secured(url: &str, port: u16) -> Result<String> {
    let moved = url.replace(authority(url)?, &format!("localhost:{port}"));
    Ok(moved.replacen("://", "s://", 1))
}

/// How each of them is reached: the broker, its management API, the gateway.
struct Site {
    broker: (String, Trust),
    management: (String, Trust),
    gateway: (String, Trust),
    _servers: [Secured; 3],
}

impl Site {
    async fn new(stage: &Stage, gateway: &str, name: &str) -> Result<Self> {
        let broker = Secured::new(name, authority(&stage.url)?).await?;
        let management = Secured::new(name, authority(&stage.management_url)?).await?;
        let web = Secured::new(name, gateway).await?;
        Ok(Self {
            broker: (secured(&stage.url, broker.port)?, broker.trust()?),
            management: (
                secured(&stage.management_url, management.port)?,
                management.trust()?,
            ),
            gateway: (format!("https://localhost:{}", web.port), web.trust()?),
            _servers: [broker, management, web],
        })
    }

    /// The same, reached by somebody who was not given the certificates.
    fn trusting_the_system_alone(mut self) -> Self {
        for (_, trust) in [&mut self.broker, &mut self.management, &mut self.gateway] {
            *trust = Trust::system();
        }
        self
    }

    fn broker(&self) -> Result<BrokerUrl> {
        let url = BrokerUrl::parse(&self.broker.0).map_err(anyhow::Error::msg)?;
        Ok(url.trusting(&self.broker.1))
    }

    async fn ask_management(&self) -> Result<()> {
        let (url, trust) = &self.management;
        let broker = self.broker()?;
        let management = Management::trusting(url, broker.virtual_host(), trust)?;
        Ok(management.make_virtual_host(broker.user()).await?)
    }

    fn device(&self, person: &Person) -> Result<AmqpConnector> {
        let connector = AmqpConnector::new(AmqpOptions {
            url: self.broker()?.public(),
            user: person.login.device.clone(),
            password: person.login.password.clone(),
            shards: person.login.shards,
        });
        let connector = connector.map_err(anyhow::Error::msg)?;
        Ok(connector.trusting(&self.broker.1))
    }

    fn http(&self) -> ServiceHttp {
        ServiceHttp::trusting(&self.gateway.0, &self.gateway.1)
    }

    fn socket(&self, token: &str) -> Result<WebSocketConnector> {
        let connector = WebSocketConnector::new(&self.gateway.0, token);
        let connector = connector.map_err(anyhow::Error::msg)?;
        Ok(connector.trusting(&self.gateway.1))
    }
}

async fn everything_works_over_tls(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let gateway = stage.gateway(GatewaySettings::default()).await?;
    let site = Site::new(&stage, &gateway.address().to_string(), "localhost").await?;
    let ana = stage.person("ana").await?;
    site.ask_management().await?;
    Link::open(&site.broker()?, "a service")
        .await?
        .close()
        .await;
    let device = site.device(&ana)?;
    ensure!(
        device.peer().starts_with("amqps://localhost:"),
        "{}",
        device.peer()
    );
    device.connect().await?;
    let http = site.http();
    let login = http
        .login(&"ana".parse()?, "ana's password", None, "a browser")
        .await?;
    site.socket(&login.token)?.connect().await?;
    Ok(())
}

/// What everybody says who tries.
async fn complaints(stage: &Stage, site: &Site) -> Result<Vec<String>> {
    let ana = stage.person("ana").await?;
    let mut complaints = Vec::new();
    match Link::open(&site.broker()?, "a service").await {
        Ok(_) => bail!("the service has a connection"),
        Err(error) => complaints.push(error.to_string()),
    }
    match site.ask_management().await {
        Ok(()) => bail!("the management API has answered"),
        Err(error) => complaints.push(error.to_string()),
    }
    match site.device(&ana)?.connect().await {
        Ok(_) => bail!("the device has a connection"),
        Err(error) => complaints.push(error.to_string()),
    }
    match site
        .http()
        .login(&"ana".parse()?, "ana's password", None, "x")
        .await
    {
        Ok(_) => bail!("the gateway has answered"),
        Err(error) => complaints.push(error.to_string()),
    }
    match site.socket("token")?.connect().await {
        Ok(_) => bail!("the gateway has a socket"),
        Err(error) => complaints.push(error.to_string()),
    }
    Ok(complaints)
}

async fn a_server_that_nobody_vouches_for_is_not_spoken_to(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let gateway = stage.gateway(GatewaySettings::default()).await?;
    let site = Site::new(&stage, &gateway.address().to_string(), "localhost").await?;
    let site = site.trusting_the_system_alone();
    for complaint in complaints(&stage, &site).await? {
        ensure!(complaint.contains("UnknownIssuer"), "{complaint}");
    }
    Ok(())
}

async fn a_server_of_another_name_is_not_spoken_to(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let gateway = stage.gateway(GatewaySettings::default()).await?;
    let site = Site::new(&stage, &gateway.address().to_string(), "elsewhere.test").await?;
    for complaint in complaints(&stage, &site).await? {
        ensure!(complaint.contains("not valid for name"), "{complaint}");
    }
    Ok(())
}
