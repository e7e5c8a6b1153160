//! The HTTP API as the broker starts it; without feature `management` there is none.

#[cfg(feature = "management")]
pub(super) use present::{bind, load_definitions, serve};

#[cfg(not(feature = "management"))]
pub(super) use absent::{bind, load_definitions, serve};

#[cfg(feature = "management")]
mod present {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::watch;

    use super::super::StartError;
    use super::super::port::Port;
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
        port: Port,
        engine: &Arc<Engine>,
        config: &Config,
        amqp: Option<SocketAddr>,
        stop: watch::Receiver<bool>,
    ) -> Result<impl Future<Output = ()> + use<>, StartError> {
        let settings = settings(config, amqp, port.address());
        let management = Management::new(Arc::clone(engine), settings);
        let listener = Listener::new(port.listen()?);
        Ok(listener.run(management, stop))
    }

    fn settings(
        config: &Config,
        amqp: Option<SocketAddr>,
        management: SocketAddr,
    ) -> ManagementSettings {
        let limits = &config.limits;
        ManagementSettings {
            amqp,
            management,
            data_dir: config.data_dir.clone(),
            product: config.product.clone(),
            product_version: config.product_version.clone(),
            cluster_name: config.cluster_name.clone(),
            amqp_connections_max: limits.connections_max,
            connections_max: limits.management_connections_max,
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
    use crate::config::Config;
    use crate::engine::Engine;

    pub(in super::super) const fn bind(address: SocketAddr) -> Result<Port, StartError> {
        Err(StartError::NoManagement(address))
    }

    pub(in super::super) fn load_definitions(_: &Arc<Engine>, _: &[u8]) -> Result<(), String> {
        Err("this build has no HTTP API, which reads definitions".to_owned())
    }

    pub(in super::super) fn serve(
        port: Port,
        _: &Arc<Engine>,
        _: &Config,
        _: Option<SocketAddr>,
        _: watch::Receiver<bool>,
    ) -> Result<std::future::Ready<()>, StartError> {
        Err(StartError::NoManagement(port.address()))
    }
}
