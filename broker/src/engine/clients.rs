//! Who is connected: facts to show, and a handle to close each.

use std::sync::{Arc, OnceLock};
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::model::{UserName, VirtualHostName};

/// What is known of a connection once it is open.
#[derive(Clone, Debug)]
pub(crate) struct ClientFacts {
    /// Its number, unique in the broker.
    pub(crate) number: u64,
    /// Who it logged in as.
    pub(crate) user: UserName,
    /// The virtual host that it opened.
    pub(crate) virtual_host: VirtualHostName,
    /// The name that the client gives the connection.
    pub(crate) name: Option<String>,
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// What is known of it.
    pub(crate) facts: ClientFacts,
    channels: AtomicU64,
    /// Why somebody wants it closed.
    closing: OnceLock<Arc<str>>,
    closed: Notify,
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
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            next_number: AtomicU64::new(1),
            shutdown: watch::Sender::new(None),
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
            closing: OnceLock::new(),
            closed: Notify::new(),
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

    /// Asks those connections to close of which `is_meant` says so.
    pub(crate) fn close_where(&self, is_meant: impl Fn(&ClientFacts) -> bool, reason: &str) {
        for client in self.all() {
            if is_meant(&client.facts) {
                client.close(reason);
            }
        }
    }

    /// Asks every connection to close.
    pub(crate) fn close_all(&self, reason: &str) {
        self.shutdown.send_replace(Some(Arc::from(reason)));
    }
}
