//! The HTTP API as the broker starts it; without feature `management` there is none.

#[cfg(feature = "management")]
pub(super) use present::{bind, load_definitions, serve};

#[cfg(not(feature = "management"))]
pub(super) use absent::{bind, load_definitions, serve};

use super::port::Port;

/// The ports that are answered on.
#[derive(Debug, Default)]
pub(super) struct HttpPorts {
    /// The API.
    pub(super) management: Option<Port>,
    /// Metrics.
    pub(super) prometheus: Option<Port>,
}

impl HttpPorts {
    /// Whether there is none.
    pub(super) const fn is_empty(&self) -> bool {
        self.management.is_none() && self.prometheus.is_none()
    }
}

#[cfg(feature = "management")]
mod present {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::watch;

    use super::super::StartError;
    use super::super::port::Port;
    use super::HttpPorts;
    use crate::config::Config;
    use crate::engine::Engine;
    use crate::management::{Listener, Management, ManagementSettings};

    pub(in super::super) fn bind(address: SocketAddr) -> Result<Port, StartError> {
        Port::bind(address)
    }

    /// Brings in what a file defines, or says why not. Blocks.
    pub(in super::super) fn load_definitions(
        engine: &Arc<Engine>,
        text: &[u8],
    ) -> Result<(), String> {
        crate::management::load_definitions(engine, text).map_err(|error| error.to_string())
    }

    /// Answers until told to stop.
    pub(in super::super) fn serve(
        ports: HttpPorts,
        engine: &Arc<Engine>,
        config: &Config,
        amqp: Option<SocketAddr>,
        stop: watch::Receiver<bool>,
    ) -> Result<impl Future<Output = ()> + use<>, StartError> {
        let settings = settings(config, amqp, &ports);
        let management = Management::new(Arc::clone(engine), settings);
        let listener = |port: Port| port.listen().map(Listener::new);
        let api = ports.management.map(listener).transpose()?;
        let metrics = ports.prometheus.map(listener).transpose()?;
        let (api_management, metrics_management) =
            (Arc::clone(&management), Arc::clone(&management));
        let (api_stop, metrics_stop) = (stop.clone(), stop.clone());
        let api = async move {
            if let Some(listener) = api {
                listener.run(api_management, api_stop).await;
            }
        };
        let metrics = async move {
            if let Some(listener) = metrics {
                listener.run_metrics(metrics_management, metrics_stop).await;
            }
        };
        Ok(async move {
            tokio::join!(api, metrics, management.observe(stop));
        })
    }

    fn settings(
        config: &Config,
        amqp: Option<SocketAddr>,
        ports: &HttpPorts,
    ) -> ManagementSettings {
        let limits = &config.limits;
        ManagementSettings {
            amqp,
            management: ports.management.as_ref().map(Port::address),
            prometheus: ports.prometheus.as_ref().map(Port::address),
            data_dir: config.data_dir.clone(),
            product: config.product.clone(),
            product_version: config.product_version.clone(),
            cluster_name: config.cluster_name.clone(),
            amqp_connections_max: limits.connections_max,
            connections_max: limits.management_connections_max,
            message_bytes_max: limits.message_bytes_max,
            body_bytes_max: limits.management_body_bytes_max,
            timeout: Duration::from_millis(limits.management_timeout_ms),
            refusal_delay: Duration::from_millis(limits.refusal_delay_ms),
        }
    }
}

#[cfg(not(feature = "management"))]
mod absent {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use tokio::sync::watch;

    use super::super::StartError;
    use super::super::port::Port;
    use super::HttpPorts;
    use crate::config::Config;
    use crate::engine::Engine;

    pub(in super::super) const fn bind(address: SocketAddr) -> Result<Port, StartError> {
        Err(StartError::NoManagement(address))
    }

    pub(in super::super) fn load_definitions(_: &Arc<Engine>, _: &[u8]) -> Result<(), String> {
        Err("this build has no HTTP API, which reads definitions".to_owned())
    }

    pub(in super::super) fn serve(
        ports: HttpPorts,
        _: &Arc<Engine>,
        _: &Config,
        _: Option<SocketAddr>,
        _: watch::Receiver<bool>,
    ) -> Result<std::future::Ready<()>, StartError> {
        // No port was ever bound, so there is nothing to answer on.
        drop(ports);
        Ok(std::future::ready(()))
    }
}
