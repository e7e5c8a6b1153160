//! Who is connected: facts to show, and a handle to close each.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::meters::ClientMeter;
use crate::model::Arguments;

/// What is known of a connection once it is open.
#[derive(Clone, Debug)]
pub(crate) struct ClientFacts {
    /// Its number, unique in the broker.
    pub(crate) number: u64,
    /// Who it logged in as.
    pub(crate) user: String,
    /// The virtual host that it opened.
    pub(crate) virtual_host: String,
    /// The name that the client gives the connection.
    pub(crate) name: Option<String>,
}

/// What is known of a connection and decides nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientDetails {
    /// Its two ends, the client's first; `None` inside the process.
    pub(crate) ends: Option<(SocketAddr, SocketAddr)>,
    /// When it was opened, in milliseconds since 1970.
    pub(crate) opened_ms: u64,
    /// How the client logged in.
    pub(crate) mechanism: &'static str,
    /// What the client told about itself.
    pub(crate) properties: Arguments,
    /// Channels that it may have; 0 for any number.
    pub(crate) channel_max: u16,
    /// Bytes of a frame; 0 for any number.
    pub(crate) frame_max: u32,
    /// Seconds between heartbeats; 0 for none.
    pub(crate) heartbeat_seconds: u16,
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// What is known of it.
    pub(crate) facts: ClientFacts,
    /// What it does.
    pub(crate) meter: ClientMeter,
    details: OnceLock<ClientDetails>,
    /// Why somebody wants it closed.
    closing: OnceLock<Arc<str>>,
    closed: Notify,
    channels: AtomicU64,
}

impl Client {
    /// Asks the connection to close, with 320 and this text. The first who asks gives the reason.
    pub(crate) fn close(&self, reason: &str) {
        if self.closing.set(Arc::from(reason)).is_ok() {
            self.closed.notify_one();
        }
    }

    /// Waits until somebody wants the connection closed. For its own task alone.
    pub(crate) async fn closing(&self) -> Arc<str> {
        loop {
            if let Some(reason) = self.closing.get() {
                return Arc::clone(reason);
            }
            self.closed.notified().await;
        }
    }

    /// Notes what else is known of it. Only the first note counts.
    pub(crate) fn describe(&self, details: ClientDetails) {
        // There is one task that describes a connection, and it does so once.
        let _ = self.details.set(details);
    }

    /// What else is known of it; `None` for the moment before it is noted.
    pub(crate) fn details(&self) -> Option<&ClientDetails> {
        self.details.get()
    }

    /// The name that RabbitMQ gives a connection: its two ends.
    pub(crate) fn title(&self) -> String {
        match self.details().and_then(|details| details.ends) {
            Some((peer, local)) => format!("{peer} -> {local}"),
            None => format!("<leveret.{}>", self.facts.number),
        }
    }

    /// Counts a channel that was opened.
    pub(crate) fn channel_opened(&self) {
        self.channels.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a channel that was closed.
    pub(crate) fn channel_closed(&self) {
        self.channels.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many channels it has open.
    pub(crate) fn channel_count(&self) -> u64 {
        self.channels.load(Ordering::Relaxed)
    }
}

/// All open connections, and the signal that ends them.
#[derive(Debug)]
pub(crate) struct Clients {
    open: Mutex<AHashMap<u64, Arc<Client>>>,
    next_number: AtomicU64,
    shutdown: watch::Sender<Option<Arc<str>>>,
    farewells: Arc<AtomicUsize>,
}

/// A connection that is no longer open, while it tells its client why.
#[derive(Debug)]
pub(crate) struct FarewellGuard(Arc<AtomicUsize>);

impl Drop for FarewellGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            next_number: AtomicU64::new(1),
            shutdown: watch::Sender::new(None),
            farewells: Arc::default(),
        }
    }
}

impl Clients {
    /// A number for a new connection.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes an open connection.
    pub(crate) fn opened(&self, facts: ClientFacts) -> Arc<Client> {
        let client = Arc::new(Client {
            facts,
            meter: ClientMeter::default(),
            details: OnceLock::new(),
            closing: OnceLock::new(),
            closed: Notify::new(),
            channels: AtomicU64::new(0),
        });
        self.open
            .lock()
            .insert(client.facts.number, Arc::clone(&client));
        client
    }

    /// Forgets a connection.
    pub(crate) fn closed(&self, number: u64) {
        self.open.lock().remove(&number);
    }

    /// How many connections are open.
    pub(crate) fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// The open connection of that number.
    pub(crate) fn client(&self, number: u64) -> Option<Arc<Client>> {
        self.open.lock().get(&number).cloned()
    }

    /// Counts a connection that says goodbye, until the guard is dropped. To be called before the
    /// connection is [`closed`](Self::closed), so that it is counted in one way or the other.
    pub(crate) fn farewell(&self) -> FarewellGuard {
        self.farewells.fetch_add(1, Ordering::AcqRel);
        FarewellGuard(Arc::clone(&self.farewells))
    }

    /// Whether nobody is connected, and everybody who was has been told why.
    pub(crate) fn are_gone(&self) -> bool {
        self.count() == 0 && self.farewells.load(Ordering::Acquire) == 0
    }

    /// All open connections, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        self.open.lock().values().cloned().collect()
    }

    /// Tells when all connections are to close, and why.
    pub(crate) fn shutdown_signal(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.shutdown.subscribe()
    }

    /// Lets connections in again after [`close_all`](Self::close_all).
    pub(crate) fn open_again(&self) {
        self.shutdown.send_replace(None);
    }

    /// Asks every connection to close.
    pub(crate) fn close_all(&self, reason: &str) {
        self.shutdown.send_replace(Some(Arc::from(reason)));
    }
}
