//! `init` and `serve`.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result};
use leveret::Broker;
use leveret_chat::accounts::Accounts;
use leveret_chat::amqp::{BrokerUrl, Link};
use leveret_chat::gateway::{Gateway, GatewayOptions};
use leveret_chat::management::Management;
use leveret_chat::service::{self, Role, Service, ServiceOptions};
use leveret_chat::settings::{GatewaySettings, Settings};
use leveret_chat::topology::Topology;
use leveret_client::message::properties::VIRTUAL_HOST;
use leveret_client::trust::Trust;
use tokio::signal::unix::{SignalKind, signal};

use super::arguments::ServeOptions;
use super::open::open_store;
use super::options::BrokerOptions;

/// The embedded broker's own login; it lets that one in from this machine alone.
const EMBEDDED_LOGIN: &str = "guest:guest";

/// The broker, wherever it runs.
pub(super) struct Connected {
    embedded: Option<Broker>,
    pub(super) url: BrokerUrl,
    pub(super) management: Management,
}

impl Connected {
    pub(super) async fn new(options: &BrokerOptions) -> Result<Self> {
        if let (Some(url), Some(management)) = (&options.broker, &options.management) {
            let trust = Trust::with_file_if_any(options.ca_file.as_deref())?;
            let url = BrokerUrl::parse(url).map_err(anyhow::Error::msg)?;
            let url = url.trusting(&trust);
            let management = Management::trusting(management, url.virtual_host(), &trust)?;
            return Ok(Self {
                embedded: None,
                url,
                management,
            });
        }
        let broker = Broker::builder()
            .data_dir(options.place.data_dir.join("broker"))
            .amqp(&*options.amqp)
            .management(&*options.amqp_management)
            .start()
            .await
            .context("the embedded broker does not start")?;
        let amqp = broker.amqp_address().context("it speaks AMQP")?;
        let api = broker.management_address().context("it speaks HTTP")?;
        let url = format!("amqp://{EMBEDDED_LOGIN}@{amqp}/{VIRTUAL_HOST}");
        Ok(Self {
            embedded: Some(broker),
            url: BrokerUrl::parse(&url).map_err(anyhow::Error::msg)?,
            management: Management::new(&format!("http://{EMBEDDED_LOGIN}@{api}"), VIRTUAL_HOST)?,
        })
    }

    /// Virtual host, rights and policies. Policies that an operator has changed are left and named.
    async fn prepare(&self, options: &BrokerOptions) -> Result<Vec<String>> {
        self.management.make_virtual_host(self.url.user()).await?;
        let topology = Topology::new(options.shards);
        Ok(self.management.set_policies(&topology.policies).await?)
    }

    pub(super) async fn end(self) -> Result<()> {
        match self.embedded {
            Some(broker) => Ok(broker.shutdown().await?),
            None => Ok(()),
        }
    }
}

/// Sets everything up.
pub(crate) async fn init(options: BrokerOptions) -> Result<()> {
    let store = open_store(&options.place).await?;
    let broker = Connected::new(&options).await?;
    let drift = broker.prepare(&options).await?;
    let link = Link::open(&broker.url, "leveret-chat init").await?;
    let deployment = service::init(&link, &*store, options.shards).await?;
    link.close().await;
    store.close().await;
    broker.end().await?;
    for one in drift {
        say(&format!("drift: {one}"))?;
    }
    if deployment.shards != options.shards {
        say(&format!(
            "drift: shards={} was set up before; {} is not heeded",
            deployment.shards, options.shards
        ))?;
    }
    say(&format!(
        "leveret-chat is set up, shards={}",
        deployment.shards
    ))
}

/// Serves until a signal comes.
pub(crate) async fn serve(options: ServeOptions) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let store = open_store(&options.broker.place).await?;
    let broker = Connected::new(&options.broker).await?;
    for one in broker.prepare(&options.broker).await? {
        tracing::warn!("set up otherwise than usual: {one}");
    }
    let roles = if options.roles.is_empty() {
        BTreeSet::from(Role::ALL)
    } else {
        options.roles.iter().copied().collect()
    };
    let serves_http = roles.contains(&Role::Gateway);
    let service = Service::start(ServiceOptions {
        broker: broker.url.clone(),
        management: Some(broker.management.clone()),
        store: store.clone(),
        roles,
        shards: options.broker.shards,
        trusted: Vec::new(),
        settings: Settings {
            planted: options.planted.into(),
            router_silence_max: Duration::from_millis(options.router_silence),
            ..Settings::from(options.rates)
        },
    });
    let service = service.await?;
    let gateway = match options.gateway.as_str() {
        _ if !serves_http => None,
        "none" => None,
        address => {
            let accounts = Accounts::new(
                store.clone(),
                service.links().clone(),
                broker.management.clone(),
                service.deployment().shards,
                options.registration.into(),
            );
            let mut about =
                GatewayOptions::beside(&service, accounts, address, broker.url.public());
            about.origins.clone_from(&options.origins);
            about.settings = GatewaySettings::from(options.rates);
            let started = Gateway::start(about).await;
            Some(started.with_context(|| format!("cannot listen on {address}"))?)
        }
    };
    announce(&broker, gateway.as_ref())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    if let Some(gateway) = gateway {
        gateway.shutdown().await;
    }
    service.shutdown().await;
    store.close().await;
    broker.end().await
}

/// A line for programs about each, the embedded broker first, and how to go on for people.
fn announce(broker: &Connected, gateway: Option<&Gateway>) -> Result<()> {
    let pid = std::process::id();
    if let Some(embedded) = &broker.embedded {
        let or_none = |address: Option<std::net::SocketAddr>| match address {
            Some(address) => address.to_string(),
            None => "none".to_owned(),
        };
        let amqp = or_none(embedded.amqp_address());
        let management = or_none(embedded.management_address());
        say(&format!(
            "leveret ready amqp={amqp} management={management} pid={pid}"
        ))?;
    }
    let http = gateway.map_or("none".to_owned(), |gateway| gateway.address().to_string());
    let amqp = broker.url.public();
    say(&format!(
        "leveret-chat ready http={http} amqp={amqp} pid={pid}"
    ))?;
    if gateway.is_some() {
        // Nobody need read this.
        let _ = writeln!(
            io::stderr(),
            "open http://{http} in a browser and register; the first person is the administrator\n\
             or in a terminal: chat register http://{http} NAME"
        );
    }
    Ok(())
}

/// For programs.
pub(super) fn say(line: &str) -> Result<()> {
    let mut output = io::stdout();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}
