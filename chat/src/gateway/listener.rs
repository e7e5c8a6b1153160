//! Accepting connections: so many, and none for ever.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::caller::Peer;
use crate::settings::GatewaySettings;

/// How long to wait when the system has no descriptor left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How long what is under way may take at a shutdown.
const GOODBYE: Duration = Duration::from_secs(2);
/// What a request's line and headers may take, in octets.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Answers until told to stop, and then what is under way.
pub(super) async fn run(
    listener: TcpListener,
    router: Router,
    settings: GatewaySettings,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(settings.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = told_to(&mut stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let patience = settings.hello_patience;
                    let router = router.clone();
                    let place = Place(Arc::new(place));
                    connections.spawn(serve(stream, peer, router, patience, place, stop.clone()));
                }
                Err(_) => tracing::warn!(%peer, "too many connections; this one is dropped"),
            },
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted for the moment");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
    drop(listener);
    // When all places are free, WebSockets have ended as well. Who does not end is left behind.
    let all = u32::try_from(settings.connections_max).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(GOODBYE, places.acquire_many(all)).await;
}

/// A connection's place among those that there may be. What becomes a WebSocket keeps it.
#[derive(Clone, Debug)]
pub(super) struct Place(
    #[expect(dead_code, reason = "held, not read")] Arc<tokio::sync::OwnedSemaphorePermit>,
);

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    patience: Duration,
    place: Place,
    mut stop: watch::Receiver<bool>,
) {
    // A frame is small, and somebody waits for it. Without the option it only comes a little later.
    let _ = stream.set_nodelay(true);
    limit_writes(&stream, patience);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(place.clone());
        TowerToHyperService::new(router.clone()).call(request)
    });
    // The time limit counts while a connection is idle, too.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told_to(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection broke off");
    }
}

/// A client that does not take its answer must not keep its place.
#[cfg(target_os = "linux")]
fn limit_writes(stream: &TcpStream, patience: Duration) {
    let socket = socket2::SockRef::from(stream);
    if let Err(error) = socket.set_tcp_user_timeout(Some(patience * 3)) {
        tracing::debug!(%error, "the socket has no time limit");
    }
}

/// Elsewhere the number of connections is the only bound.
#[cfg(not(target_os = "linux"))]
fn limit_writes(_: &TcpStream, _: Duration) {}

pub(super) async fn told_to(stop: &mut watch::Receiver<bool>) {
    // A gateway that is gone says stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}
