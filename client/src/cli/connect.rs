//! From a login and a flag to connections.

use std::sync::Arc;

use async_trait::async_trait;
use leveret_client::http::AmqpAccess;
use leveret_client::transport::{
    AmqpConnector, AmqpOptions, ClientTransport, ConnectError, Connector, WebSocketConnector,
};
use tokio::sync::Mutex;

use super::Failure;
use super::home::{Home, Login};

/// The way that messages take: the one that is asked for, or the broker that the service named.
pub(crate) async fn connector(
    home: &Home,
    login: &Login,
    via: Option<&str>,
) -> Result<Arc<dyn Connector>, Failure> {
    match via {
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
            let connector = WebSocketConnector::new(url, &login.account.token);
            let connector = connector.map_err(Failure::Usage)?;
            Ok(Arc::new(connector.trusting(&home.trust)))
        }
        Some(url) if url.starts_with("amqp://") || url.starts_with("amqps://") => {
            broker(home, login, Some(url)).await
        }
        Some(url) => Err(Failure::Usage(format!(
            "{url:?} is neither amqp[s]:// nor http[s]://"
        ))),
        // A device that was never given a queue speaks to the gateway.
        None if login.amqp.is_none() => {
            let connector = WebSocketConnector::new(&login.url, &login.account.token);
            let connector = connector.map_err(Failure::Usage)?;
            Ok(Arc::new(connector.trusting(&home.trust)))
        }
        None => broker(home, login, None).await,
    }
}

async fn broker(
    home: &Home,
    login: &Login,
    url: Option<&str>,
) -> Result<Arc<dyn Connector>, Failure> {
    let mut login = login.clone();
    let access = match login.amqp.clone() {
        Some(access) => access,
        None => {
            let http = home.service(&login.url);
            let access = http.amqp(&login.account.token).await?;
            login.amqp = Some(access.clone());
            home.keep(&login)?;
            access
        }
    };
    let url = url.map(str::to_owned);
    let current = amqp(home, &login, &access, url.as_deref()).map_err(Failure::Usage)?;
    Ok(Arc::new(Renewing {
        peer: current.peer(),
        home: home.clone(),
        login,
        url,
        current: Mutex::new(current),
    }))
}

fn amqp(
    home: &Home,
    login: &Login,
    access: &AmqpAccess,
    url: Option<&str>,
) -> Result<AmqpConnector, String> {
    let connector = AmqpConnector::new(AmqpOptions {
        url: url.unwrap_or(&access.url).to_owned(),
        user: login.device(),
        password: access.password.clone(),
        shards: access.shards,
    })?;
    Ok(connector.trusting(&home.trust))
}

/// Connects, and has the device set up again if the broker does not know it any more: its queue goes
/// when nobody has used it for long.
#[derive(Debug)]
struct Renewing {
    peer: String,
    home: Home,
    login: Login,
    url: Option<String>,
    current: Mutex<AmqpConnector>,
}

#[async_trait]
impl Connector for Renewing {
    async fn connect(&self) -> Result<Box<dyn ClientTransport>, ConnectError> {
        let mut current = self.current.lock().await;
        let error = match current.connect().await {
            Err(error @ (ConnectError::Forgotten { .. } | ConnectError::Denied { .. })) => error,
            other => return other,
        };
        let http = self.home.service(&self.login.url);
        // A device that the service does not know either stays outside.
        let Ok(access) = http.amqp(&self.login.account.token).await else {
            return Err(error);
        };
        let Ok(fresh) = amqp(&self.home, &self.login, &access, self.url.as_deref()) else {
            return Err(error);
        };
        let login = Login {
            amqp: Some(access),
            ..self.login.clone()
        };
        if let Err(failure) = self.home.keep(&login) {
            return Err(ConnectError::Denied {
                peer: self.peer.clone(),
                reason: failure.to_string(),
            });
        }
        *current = fresh;
        current.connect().await
    }

    fn peer(&self) -> String {
        self.peer.clone()
    }
}
