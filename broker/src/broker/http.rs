//! The HTTP API as the broker starts it; without feature `management` there is none.

#[cfg(feature = "management")]
pub(super) use present::{Listener, bind, serve};

#[cfg(not(feature = "management"))]
pub(super) use absent::{Listener, bind, serve};

#[cfg(feature = "management")]
mod present {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::watch;

    use super::super::StartError;
    use crate::config::Config;
    use crate::engine::Engine;
    use crate::management::{self, Management, ManagementSettings};
    use crate::model::Credentials;

    pub(in super::super) use crate::management::Listener;

    pub(in super::super) fn bind(address: SocketAddr) -> Result<Listener, StartError> {
        management::bind(address).map_err(|source| StartError::Bind { address, source })
    }

    /// Answers until told to stop.
    pub(in super::super) fn serve(
        listener: Listener,
        engine: &Arc<Engine>,
        credentials: Credentials,
        config: &Config,
        amqp: Option<SocketAddr>,
        stop: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + use<> {
        let settings = settings(config, amqp, listener.address());
        let management = Management::new(Arc::clone(engine), credentials, settings);
        let observed = Arc::clone(&management).observe(stop.clone());
        async move {
            tokio::join!(listener.run(management, stop), observed);
        }
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
    use crate::config::Config;
    use crate::engine::Engine;
    use crate::model::Credentials;

    /// There is none.
    #[derive(Debug)]
    pub(in super::super) enum Listener {}

    impl Listener {
        pub(in super::super) const fn address(&self) -> SocketAddr {
            match *self {}
        }
    }

    pub(in super::super) const fn bind(address: SocketAddr) -> Result<Listener, StartError> {
        Err(StartError::NoManagement(address))
    }

    pub(in super::super) fn serve(
        listener: Listener,
        _: &Arc<Engine>,
        _: Credentials,
        _: &Config,
        _: Option<SocketAddr>,
        _: watch::Receiver<bool>,
    ) -> std::future::Ready<()> {
        match listener {}
    }
}
