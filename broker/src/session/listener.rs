//! Accepting connections: TCP, and streams inside the process.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Sessions;
use super::connection::{Ends, serve};

/// What a stream inside the process buffers in each direction, in bytes.
const DUPLEX_BYTES: usize = 256 << 10;

/// How long to wait when the system has no descriptor left: trying at once would only burn a core.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// How many connections there may be, and how many of one address that have not logged in.
#[derive(Debug)]
pub(crate) struct Door {
    state: Mutex<Inside>,
    connections_max: usize,
    handshakes_per_address_max: usize,
}

#[derive(Debug, Default)]
struct Inside {
    connections: usize,
    handshakes: AHashMap<IpAddr, usize>,
}

impl Door {
    pub(super) fn new(connections_max: usize, handshakes_per_address_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            connections_max,
            handshakes_per_address_max,
        }
    }

    /// Lets one more in, or not. A few more than may be open get in, so that they can be told why.
    fn enter(&self, address: IpAddr) -> bool {
        const TOLD_WHY: usize = 64;
        let mut inside = self.state.lock();
        let handshakes = inside.handshakes.get(&address).copied().unwrap_or(0);
        let admitted = inside.connections < self.connections_max.saturating_add(TOLD_WHY)
            && handshakes < self.handshakes_per_address_max;
        if admitted {
            inside.connections += 1;
            *inside.handshakes.entry(address).or_default() += 1;
        }
        admitted
    }

    fn greeted(&self, address: IpAddr) {
        let mut inside = self.state.lock();
        if let Some(handshakes) = inside.handshakes.get_mut(&address) {
            *handshakes -= 1;
            if *handshakes == 0 {
                inside.handshakes.remove(&address);
            }
        }
    }

    fn leave(&self) {
        self.state.lock().connections -= 1;
    }
}

/// A connection's place among those that have not logged in.
struct Handshaking {
    sessions: Arc<Sessions>,
    address: IpAddr,
}

impl Drop for Handshaking {
    fn drop(&mut self) {
        self.sessions.door.greeted(self.address);
    }
}

/// A connection's place among all.
struct Inhabitant(Arc<Sessions>);

impl Drop for Inhabitant {
    fn drop(&mut self) {
        self.0.door.leave();
    }
}

/// An open port.
#[derive(Debug)]
pub(crate) struct Listener(TcpListener);

impl Listener {
    pub(crate) const fn new(listener: TcpListener) -> Self {
        Self(listener)
    }

    /// Accepts until told to stop.
    pub(crate) async fn run(self, sessions: Arc<Sessions>, mut stop: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                accepted = self.0.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok((stream, peer)) => admit(&sessions, stream, peer),
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a connection was gone before it was accepted");
                }
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted for the moment");
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }
}

/// Errors of `accept` that concern the connection which was accepted, not the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn admit(sessions: &Arc<Sessions>, stream: TcpStream, peer: SocketAddr) {
    let address = peer.ip().to_canonical();
    if !sessions.door.enter(address) {
        tracing::warn!(%peer, "too many connections; this one is dropped");
        return;
    }
    let inhabitant = Inhabitant(Arc::clone(sessions));
    let handshaking = Handshaking {
        sessions: Arc::clone(sessions),
        address,
    };
    // Small frames are written together where they can be; what is left must not wait.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "nagle's algorithm stays on");
    }
    tracing::debug!(%peer, "accepting AMQP connection");
    let sessions = Arc::clone(sessions);
    tokio::spawn(async move {
        let _inhabitant = inhabitant;
        let ends = stream.local_addr().map(|local| Ends { peer, local });
        let (reader, writer) = stream.into_split();
        match ends {
            Ok(ends) => serve(sessions, reader, writer, Some(ends), handshaking).await,
            Err(error) => tracing::debug!(%peer, %error, "the connection is gone already"),
        }
    });
}

impl Sessions {
    /// Opens a connection inside the process: a stream that speaks AMQP without a socket.
    pub(crate) fn connect(self: &Arc<Self>) -> DuplexStream {
        let (near, far) = tokio::io::duplex(DUPLEX_BYTES);
        let sessions = Arc::clone(self);
        tokio::spawn(async move {
            let (reader, writer) = tokio::io::split(far);
            serve(sessions, reader, writer, None, ()).await;
        });
        near
    }
}
