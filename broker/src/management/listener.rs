//! Accepting HTTP connections: few of them, and none for ever.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Uri;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::access::Peer;
use super::{Management, ManagementSettings};

/// How long to wait when the system has no descriptor left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// How long answers under way may take at a shutdown.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a request's line and headers may take, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// An open port.
#[derive(Debug)]
pub(crate) struct Listener(TcpListener);

impl Listener {
    pub(crate) const fn new(listener: TcpListener) -> Self {
        Self(listener)
    }

    /// Answers requests to the API until told to stop, and then what is under way.
    pub(crate) async fn run(self, management: Arc<Management>, stop: watch::Receiver<bool>) {
        self.answer(management.router(), &management.settings, stop)
            .await;
    }

    /// The same for those who scrape metrics.
    pub(crate) async fn run_metrics(
        self,
        management: Arc<Management>,
        stop: watch::Receiver<bool>,
    ) {
        self.answer(management.metrics(), &management.settings, stop)
            .await;
    }

    async fn answer(
        self,
        router: Router,
        settings: &ManagementSettings,
        mut stop: watch::Receiver<bool>,
    ) {
        let places = Arc::new(Semaphore::new(settings.connections_max));
        let timeout = settings.timeout;
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.0.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                () = told_to(&mut stop) => break,
            };
            match accepted {
                Ok((stream, peer)) => match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => {
                        let served = serve(stream, peer, router.clone(), timeout, stop.clone());
                        connections.spawn(async move {
                            served.await;
                            drop(place);
                        });
                    }
                    Err(_) => {
                        tracing::warn!(%peer, "too many HTTP connections; this one is dropped")
                    }
                },
                Err(error) => {
                    tracing::error!(%error, "no HTTP connection can be accepted for the moment");
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
        drop(self.0);
        let goodbye = async { while connections.join_next().await.is_some() {} };
        // What is not done by then is aborted with the set.
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    timeout: Duration,
    mut stop: watch::Receiver<bool>,
) {
    limit_writes(&stream, timeout);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        drop_last_slash(request.uri_mut());
        TowerToHyperService::new(router.clone()).call(request)
    });
    // The time limit counts while a connection is idle, too.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told_to(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "HTTP connection broke off");
    }
}

/// RabbitMQ takes a path with and without a slash at its end for the same.
fn drop_last_slash(uri: &mut Uri) {
    let Some(path) = uri.path().strip_suffix('/').filter(|path| !path.is_empty()) else {
        return;
    };
    let shorter = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    // What is left of an address without its last slash is one.
    if let Ok(shorter) = shorter.parse() {
        *uri = shorter;
    }
}

async fn told_to(stop: &mut watch::Receiver<bool>) {
    // A broker that is gone says stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A client that does not take its answer must not keep its place.
#[cfg(target_os = "linux")]
fn limit_writes(stream: &TcpStream, timeout: Duration) {
    let socket = socket2::SockRef::from(stream);
    if let Err(error) = socket.set_tcp_user_timeout(Some(timeout)) {
        tracing::debug!(%error, "the socket has no time limit");
    }
}

/// Elsewhere the number of connections is the only bound.
#[cfg(not(target_os = "linux"))]
fn limit_writes(_: &TcpStream, _: Duration) {}
