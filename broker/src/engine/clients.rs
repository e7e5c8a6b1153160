//! Who is connected: facts to show, and a handle to close each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::watch;

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

/// One open connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// What is known of it.
    pub(crate) facts: ClientFacts,
    channels: AtomicU64,
}

impl Client {
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
