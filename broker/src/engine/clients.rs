//! Who is connected: facts to show, and a handle to close each.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::meters::ClientMeter;
use crate::model::{AmqpError, Arguments, UserName, VirtualHostName};

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
    channels: AtomicU64,
    is_blocked: AtomicBool,
    /// What the user's connections have together.
    user_load: Arc<Load>,
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

    /// Waits until somebody wants the connection closed. For its own task alone.
    pub(crate) async fn closing(&self) -> Arc<str> {
        loop {
            if let Some(reason) = self.closing.get() {
                return Arc::clone(reason);
            }
            self.closed.notified().await;
        }
    }

    /// Notes that it may not publish.
    pub(crate) fn blocked(&self) {
        self.is_blocked.store(true, Ordering::Relaxed);
    }

    /// Notes that it may publish again.
    pub(crate) fn unblocked(&self) {
        self.is_blocked.store(false, Ordering::Relaxed);
    }

    /// Whether it published while memory or disk were short, and has to wait.
    pub(crate) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Relaxed)
    }

    /// How many channels it has open.
    pub(crate) fn channel_count(&self) -> u64 {
        self.channels.load(Ordering::Relaxed)
    }
}

/// What the connections of one user, or in one virtual host, have together.
#[derive(Debug, Default)]
struct Load {
    connections: AtomicU64,
    channels: AtomicU64,
}

/// All open connections, and what they have together.
#[derive(Debug, Default)]
struct Open {
    clients: AHashMap<u64, Arc<Client>>,
    users: AHashMap<UserName, Arc<Load>>,
    hosts: AHashMap<VirtualHostName, u64>,
}

/// How many connections there may be; `None` for any number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// In the virtual host.
    pub(crate) virtual_host: Option<u64>,
    /// Of the user.
    pub(crate) user: Option<u64>,
}

/// There are as many channels as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelsFull {
    /// On the whole node.
    OfNode(u64),
    /// Of the user's connections together.
    OfUser(u64),
}

/// How many channels there may be; `None` for any number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelLimits {
    /// Of the whole node.
    pub(crate) node: Option<u64>,
    /// Of the user's connections together.
    pub(crate) user: Option<u64>,
}

/// All open connections, and the signal that ends them.
#[derive(Debug)]
pub(crate) struct Clients {
    open: Mutex<Open>,
    /// Channels of the whole node.
    channels: AtomicU64,
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
            channels: AtomicU64::new(0),
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

    /// Notes an open connection, unless there are enough (spec 1.5.1, 1.5.2).
    pub(crate) fn admit(
        &self,
        facts: ClientFacts,
        limits: ConnectionLimits,
    ) -> Result<Arc<Client>, AmqpError> {
        let mut open = self.open.lock();
        let in_host = open.hosts.get(&facts.virtual_host).copied().unwrap_or(0);
        if let Some(limit) = limits.virtual_host.filter(|limit| in_host >= *limit) {
            let (host, user) = (&facts.virtual_host, &facts.user);
            return Err(AmqpError::virtual_host_full(host, user, limit));
        }
        let of_user = open.users.get(&facts.user);
        let of_user = of_user.map_or(0, |load| load.connections.load(Ordering::Relaxed));
        if let Some(limit) = limits.user.filter(|limit| of_user >= *limit) {
            return Err(AmqpError::user_connections_full(&facts.user, limit));
        }
        *open.hosts.entry(facts.virtual_host.clone()).or_default() += 1;
        let user_load = Arc::clone(open.users.entry(facts.user.clone()).or_default());
        user_load.connections.fetch_add(1, Ordering::Relaxed);
        let client = Arc::new(Client {
            facts,
            meter: ClientMeter::default(),
            details: OnceLock::new(),
            channels: AtomicU64::new(0),
            is_blocked: AtomicBool::new(false),
            user_load,
            closing: OnceLock::new(),
            closed: Notify::new(),
        });
        let number = client.facts.number;
        open.clients.insert(number, Arc::clone(&client));
        Ok(client)
    }

    /// Forgets a connection.
    pub(crate) fn closed(&self, number: u64) {
        let mut open = self.open.lock();
        let Some(client) = open.clients.remove(&number) else {
            return;
        };
        let facts = &client.facts;
        if client.user_load.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            open.users.remove(&facts.user);
        }
        if let Some(count) = open.hosts.get_mut(&facts.virtual_host) {
            *count -= 1;
            if *count == 0 {
                open.hosts.remove(&facts.virtual_host);
            }
        }
    }

    /// Counts one more channel of a connection, unless its user or the node have enough (spec 2.2).
    pub(crate) fn open_channel(
        &self,
        client: &Client,
        limits: ChannelLimits,
    ) -> Result<(), ChannelsFull> {
        if !raise(&self.channels, limits.node) {
            return Err(ChannelsFull::OfNode(limits.node.unwrap_or_default()));
        }
        if !raise(&client.user_load.channels, limits.user) {
            self.channels.fetch_sub(1, Ordering::Relaxed);
            return Err(ChannelsFull::OfUser(limits.user.unwrap_or_default()));
        }
        client.channels.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Counts one channel less.
    pub(crate) fn close_channel(&self, client: &Client) {
        client.channels.fetch_sub(1, Ordering::Relaxed);
        client.user_load.channels.fetch_sub(1, Ordering::Relaxed);
        self.channels.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many connections are open.
    pub(crate) fn count(&self) -> usize {
        self.open.lock().clients.len()
    }

    /// The open connection of that number.
    pub(crate) fn client(&self, number: u64) -> Option<Arc<Client>> {
        self.open.lock().clients.get(&number).cloned()
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
        self.open.lock().clients.values().cloned().collect()
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

/// One more, unless that is more than the limit.
fn raise(count: &AtomicU64, limit: Option<u64>) -> bool {
    let raised = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
        limit.is_none_or(|limit| count < limit).then_some(count + 1)
    });
    raised.is_ok()
}
