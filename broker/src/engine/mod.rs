//! The only place where routing, queues and storage meet.
//!
//! Lock order, whole text: `administration → definitions → one Queue → Delay → Outbox | the store's
//! buffer`. Never two queues or delays, but for a transaction and for dead letters, which take those
//! that they enter in the order of their numbers; the last two are leaves, and so are the registry of
//! reply consumers and the timers' schedule. An exchange's table is read-locked for one routing
//! decision and for nothing else. No lock is held across an `.await`.

mod access;
mod administration;
mod afterwork;
mod alarms;
mod backup;
mod budget;
mod burial;
mod clients;
mod consuming;
mod content;
mod counters;
mod declare_exchange;
mod declare_queue;
mod definitions;
mod delay;
mod envelope;
mod exchange;
mod groups;
mod hosts;
mod loading;
mod memory;
mod meters;
mod outbox;
mod parameters;
#[cfg(feature = "management")]
mod peek;
mod policies;
mod publish;
mod queue;
mod recall;
mod recover;
mod reply;
mod rights;
mod settings;
mod shutdown;
mod timers;
mod transaction;
mod turn;
mod virtual_host;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use ahash::AHashMap;
use parking_lot::{Mutex, RwLock};

use self::access::Access;
use self::alarms::Alarms;
use self::budget::BodyBudget;
use self::delay::Delays;
use self::parameters::GlobalParameters;
use self::timers::Timers;
use crate::model::{
    ConsumerKey, Now, Operation, QueueArguments, QueueDefinition, QueueId, QueueTerms, QueueType,
    QueueVariant, VirtualHostName,
};
use crate::queue::{Expiry, QueueState, Recording, Settings as QueueSettings, Sharing, Takeover};
use crate::store::Store;

pub(crate) use self::access::Entrance;
#[cfg(feature = "management")]
pub(crate) use self::access::{LoginRefusal, Logins, PasswordTooShort};
pub(crate) use self::administration::DefaultUser;
#[cfg(feature = "management")]
pub(crate) use self::administration::{Change, GrantError};
pub(crate) use self::alarms::AlarmLimits;
#[cfg(feature = "management")]
pub(crate) use self::backup::BackupError;
pub(crate) use self::clients::{
    ChannelLimits, ChannelsFull, Client, ClientDetails, ClientFacts, Clients, ConnectionLimits,
};
#[cfg(feature = "management")]
pub(crate) use self::counters::Counter;
pub(crate) use self::counters::Counters;
pub(crate) use self::declare_exchange::BindingRequest;
pub(crate) use self::declare_queue::QueueDeclaration;
pub(crate) use self::envelope::{CarbonCopies, check_expiration, check_user_id, text};
#[cfg(feature = "management")]
pub(crate) use self::exchange::Exchange;
pub(crate) use self::groups::Groups;
#[cfg(feature = "management")]
pub(crate) use self::hosts::HostDeletionRefusal;
pub(crate) use self::meters::{ChannelMeter, ChannelMode, Event};
#[cfg(feature = "management")]
pub(crate) use self::meters::{SIZE_BOUNDS, Tally};
pub(crate) use self::outbox::{ChannelLimit, ConsumerLink, ConsumerTimeout, Outbox, Outgoing};
#[cfg(feature = "management")]
pub(crate) use self::parameters::{CLUSTER_NAME, ParameterError};
#[cfg(feature = "management")]
pub(crate) use self::peek::PeekFailure;
pub(crate) use self::publish::{Burst, Flushed, Origin, Route};
#[cfg(feature = "management")]
pub(crate) use self::queue::ConsumerFacts;
pub(crate) use self::queue::{CloseCondition, Queue};
pub(crate) use self::reply::{REPLY_QUEUE, ReplyAddress, ReplyConsumer};
pub(crate) use self::rights::Rights;
pub(crate) use self::settings::{AccessSettings, EngineSettings};
pub(crate) use self::transaction::{PartiallyRefused, Transaction};
pub(crate) use self::virtual_host::VirtualHost;
pub(crate) use crate::queue::{ConsumeRefusal, Consumer, Delivery};
#[cfg(feature = "management")]
pub(crate) use crate::queue::{Counts, Shown};
pub(crate) use crate::store::{Outcome, Progress, Ticket};

/// A broker without its listeners.
#[derive(Debug)]
pub(crate) struct Engine {
    settings: EngineSettings,
    store: Arc<dyn Store>,
    hosts: RwLock<AHashMap<VirtualHostName, Arc<VirtualHost>>>,
    /// Who may log in, and who may do what.
    pub(crate) access: Access,
    /// Who is connected.
    pub(crate) clients: Clients,
    /// What has happened so far, for the overview.
    pub(crate) counters: Counters,
    past: meters::Past,
    /// Whether memory and disk suffice.
    pub(crate) alarms: Alarms,
    bodies: BodyBudget,
    timers: Timers,
    delays: Delays,
    started: Instant,
    next_consumer: AtomicU64,
    next_transient_queue: AtomicU32,
    /// When dead letters that go in circles are worth a line in the log again, in monotonic milliseconds.
    circles_told_from_ms: AtomicU64,
    last_ticket: AtomicU64,
    /// Whether there never was a user or a virtual host.
    is_new: bool,
    /// Serialises changes of users, rights and virtual hosts, and resets.
    administration: Mutex<()>,
    global_parameters: GlobalParameters,
}

impl Engine {
    /// The settings that it was made with.
    pub(crate) const fn settings(&self) -> &EngineSettings {
        &self.settings
    }

    /// Both clocks.
    pub(crate) fn now(&self) -> Now {
        Now::read(self.started)
    }

    /// How long it has been running.
    pub(crate) fn uptime(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    /// The store.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The virtual host of that name.
    pub(crate) fn virtual_host(&self, name: &str) -> Option<Arc<VirtualHost>> {
        self.hosts.read().get(name).cloned()
    }

    fn insert_virtual_host(&self, host: Arc<VirtualHost>) {
        self.hosts.write().insert(host.name().clone(), host);
    }

    fn forget_virtual_host(&self, name: &VirtualHostName) {
        self.hosts.write().remove(name.as_str());
    }

    /// All virtual hosts.
    pub(crate) fn virtual_hosts(&self) -> Vec<Arc<VirtualHost>> {
        self.hosts.read().values().cloned().collect()
    }

    /// How many of something there are in all virtual hosts together.
    fn total(&self, of_host: impl Fn(&VirtualHost) -> usize) -> usize {
        self.hosts.read().values().map(|host| of_host(host)).sum()
    }

    /// A number for a new consumer.
    pub(crate) fn next_consumer_key(&self) -> ConsumerKey {
        ConsumerKey(self.next_consumer.fetch_add(1, Ordering::Relaxed))
    }

    /// Hands records to the store; returns the ticket of the last, or zero if there were none.
    pub(crate) fn submit(&self, operations: &mut Vec<Operation>) -> Ticket {
        if operations.is_empty() || !self.store.records() {
            operations.clear();
            return Ticket::default();
        }
        let ticket = self.store.submit(operations);
        self.last_ticket.fetch_max(ticket.0, Ordering::AcqRel);
        ticket
    }

    /// The ticket of everything that was handed over so far.
    pub(crate) fn last_ticket(&self) -> Ticket {
        Ticket(self.last_ticket.load(Ordering::Acquire))
    }

    /// Waits until the records of `ticket` are as durable as configured.
    pub(crate) async fn durable(&self, ticket: Ticket) -> Result<(), StorageFailed> {
        if ticket == Ticket::default() {
            return Ok(());
        }
        let mut progress = self.store.watch();
        loop {
            match progress.borrow_and_update().outcome(ticket) {
                Outcome::Durable => return Ok(()),
                Outcome::Failed => return Err(StorageFailed),
                Outcome::Pending | Outcome::Written => {}
            }
            if progress.changed().await.is_err() {
                return Err(StorageFailed);
            }
        }
    }

    /// Told at every turn of the commit thread.
    pub(crate) fn progress(&self) -> tokio::sync::watch::Receiver<Progress> {
        self.store.watch()
    }

    /// Whether publishers must wait until the store has written what it holds.
    pub(crate) fn is_store_full(&self) -> bool {
        self.store.pending_bytes() > self.settings.store_backlog_bytes_max
    }

    fn new_queue(
        &self,
        virtual_host: &VirtualHostName,
        definition: QueueDefinition,
        arguments: QueueArguments,
        terms: QueueTerms,
        owner: Option<u64>,
    ) -> Arc<Queue> {
        let recorded = definition.durable && self.store.records();
        let id = if definition.durable {
            self.store.next_queue_id()
        } else {
            self.transient_queue_id()
        };
        let mut state = QueueState::new(queue_settings(&arguments, recorded)).on_terms(terms);
        state.used(self.now());
        let host = virtual_host.clone();
        Arc::new(Queue::new(id, host, definition, arguments, owner, state))
    }
}

impl Engine {
    /// A number for a queue that is never met on disk: transient queues have no records.
    fn transient_queue_id(&self) -> QueueId {
        QueueId(self.next_transient_queue.fetch_add(1, Ordering::Relaxed))
    }
}

/// The store could not make something durable; nothing that waits for it may be confirmed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the store could not make the change durable")]
pub(crate) struct StorageFailed;

/// The highest priority that quorum queues tell from lower ones.
const QUORUM_PRIORITY_MAX: u8 = 31;

/// The priority that messages without one have in quorum queues.
const QUORUM_PRIORITY_DEFAULT: u8 = 4;

fn queue_settings(arguments: &QueueArguments, recorded: bool) -> QueueSettings {
    let sharing = sharing(arguments);
    let mut settings = match &arguments.variant {
        QueueVariant::Classic { max_priority } => QueueSettings {
            levels: u16::from(max_priority.unwrap_or(0)) + 1,
            default_priority: 0,
            recording: Recording::Persistent,
            sharing,
            expiry: Expiry::OfHighest,
        },
        QueueVariant::Quorum(_) => QueueSettings {
            levels: u16::from(QUORUM_PRIORITY_MAX) + 1,
            default_priority: QUORUM_PRIORITY_DEFAULT,
            recording: Recording::Everything,
            sharing,
            expiry: Expiry::OfEvery,
        },
    };
    if !recorded {
        settings.recording = Recording::Nothing;
    }
    settings
}

/// Who of a queue's consumers gets messages (spec 5.3.7).
const fn sharing(arguments: &QueueArguments) -> Sharing {
    if !arguments.single_active_consumer {
        return Sharing::Competing;
    }
    Sharing::SingleActive(match arguments.queue_type() {
        QueueType::Classic => Takeover::WhenGone,
        QueueType::Quorum => Takeover::ByPriority,
    })
}

/// Text that nobody can guess: 128 bits in 22 letters, digits, `-` and `_`.
pub(crate) fn random_text() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random::<16>())
}

/// Bytes that nobody can guess.
///
/// Without a source of randomness there is no safe name or salt to hand out, so this waits for the
/// system's, which cannot fail once the machine has started.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    while getrandom::fill(&mut bytes).is_err() {
        std::thread::yield_now();
    }
    bytes
}
