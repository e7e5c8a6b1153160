//! HTTP for people's clients: accounts and devices. What is asked and answered is JSON.
//!
//! ```text
//!   POST   /v1/register        {handle, name?, password, bot?}            an account
//!   POST   /v1/login           {handle, password, device?, device_name}   a token
//!   POST   /v1/logout                                                     ends the login
//!   GET    /v1/me                                                         who am I, on which devices
//!   DELETE /v1/me              {texts: "keep" | "erase"}                  ends the account
//!   PUT    /v1/password        {handle, old, new}
//!   POST   /v1/amqp                                                       this device may speak AMQP
//!   DELETE /v1/devices/{id}                                               takes a device away
//!   PUT    /v1/users/{handle}/password   {new}                            administrators
//!   GET    /v1/health
//! ```
//!
//! The token goes into `Authorization: Bearer …`. A refusal is `{"code": …, "message": …}`.

mod accounts;
mod refusal;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::accounts::Accounts;

/// Octets of a request's body, at most.
const BODY_BYTES_MAX: usize = 16 << 10;
/// How long requests that are being answered may take when the gateway stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// What the routes share.
#[derive(Clone, Debug)]
struct State {
    accounts: Arc<Accounts>,
    /// Where devices speak AMQP, without a login.
    amqp_url: Arc<str>,
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<io::Result<()>>,
}

impl Gateway {
    /// Listens on this address. Devices are told to speak AMQP at `amqp_url`.
    pub async fn start(
        address: &str,
        accounts: Arc<Accounts>,
        amqp_url: String,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = State {
            accounts,
            amqp_url: amqp_url.into(),
        };
        let routes = Router::new()
            .merge(accounts::routes())
            .route("/v1/health", get(async || "ok"))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(state);
        let (stop, mut stopped) = watch::channel(false);
        let told = async move {
            // The sender is dropped with the gateway, which is as good as being told.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let serve = axum::serve(listener, routes).with_graceful_shutdown(told);
        Ok(Self {
            address,
            stop,
            task: tokio::spawn(async move { serve.await }),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Finishes what is being answered, and ends.
    pub async fn shutdown(mut self) {
        // It may have ended already.
        let _ = self.stop.send(true);
        if tokio::time::timeout(STOP_PATIENCE, &mut self.task)
            .await
            .is_err()
        {
            self.task.abort();
        }
    }
}
