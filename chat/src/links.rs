//! One connection for all workers of a process, opened again when it is gone.

use std::sync::Arc;

use crate::amqp::{BrokerUrl, Link, LinkError};

/// The connection to the broker.
#[derive(Debug)]
pub struct Links {
    url: BrokerUrl,
    name: String,
    current: tokio::sync::Mutex<Option<Arc<Link>>>,
}

impl Links {
    /// To this broker, under this name.
    #[must_use]
    pub fn new(url: BrokerUrl, name: &str) -> Self {
        Self {
            url,
            name: name.to_owned(),
            current: tokio::sync::Mutex::default(),
        }
    }

    /// Where it leads.
    #[must_use]
    pub fn url(&self) -> &BrokerUrl {
        &self.url
    }

    /// The connection, opened if there is none. Whoever calls waits between tries.
    pub async fn current(&self) -> Result<Arc<Link>, LinkError> {
        let mut current = self.current.lock().await;
        if let Some(link) = current.as_ref().filter(|link| link.is_open()) {
            return Ok(link.clone());
        }
        let link = Arc::new(Link::open(&self.url, &self.name).await?);
        *current = Some(link.clone());
        Ok(link)
    }

    /// Ends it in order, if there is one.
    pub async fn close(&self) {
        if let Some(link) = self.current.lock().await.take() {
            link.close().await;
        }
    }
}
