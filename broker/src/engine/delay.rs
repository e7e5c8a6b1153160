//! Delayed exchanges: a hidden queue ordered by time, and what happens when a time has come (spec
//! 3.7.3).
//!
//! What waits is in the store like the messages of any queue, each with the wall-clock time at which
//! it is due. When that has come, the message is routed as by an exchange of the inner kind; that it
//! left here and what it entered is one operation, so that a crash neither loses nor doubles it.
//!
//! The lock of such a queue comes after those of queues, several of them in the order of their
//! numbers; nothing is locked under it but the store's buffer. It is held until what was added is
//! handed to the store, so that the log's order is the queue's.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use super::Engine;
use super::afterwork::Afterwork;
use super::exchange::Exchange;
use super::publish::Route;
use super::transaction::Transaction;
use super::virtual_host::VirtualHost;
use crate::model::{ExchangeName, Message, Operation, QueueId, Seq, VirtualHostName};
use crate::queue::{DelayedMessages, DueMessage, LoadFailure, Wishes};
use crate::store::{LoadError, Ticket};

/// Messages that are moved in one go.
const DUE_MAX: usize = 256;

/// A clock that was set is noticed after this time at the latest.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// What failed is not tried again sooner.
const SLEEP_MIN: Duration = Duration::from_millis(5);

/// All delayed exchanges of a broker.
#[derive(Debug, Default)]
pub(super) struct Delays {
    all: Mutex<Vec<Weak<Delay>>>,
    work: Notify,
}

/// The messages that wait at one exchange.
#[derive(Debug)]
pub(crate) struct Delay {
    id: QueueId,
    host: VirtualHostName,
    exchange: ExchangeName,
    /// Whether what waits is on disk. Everything is, persistent or not.
    recorded: bool,
    /// `None` once the exchange is deleted.
    messages: Mutex<Option<DelayedMessages>>,
}

impl Delay {
    /// Its number on disk.
    pub(super) const fn id(&self) -> QueueId {
        self.id
    }

    /// Takes a message in. It is safe once the ticket is durable.
    pub(super) fn add(&self, engine: &Engine, message: &Message) -> Ticket {
        let mut operations = Vec::new();
        let ticket = {
            let mut messages = self.messages.lock();
            operations.extend(self.enter(engine, &mut messages, message));
            engine.submit(&mut operations)
        };
        engine.look_at_delays();
        ticket
    }

    /// Locks it for something larger.
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<DelayedMessages>> {
        self.messages.lock()
    }

    /// Takes a message in while it is locked; gives what is to be recorded. The engine is to be
    /// [told](Engine::look_at_delays) afterwards.
    pub(super) fn enter(
        &self,
        engine: &Engine,
        messages: &mut Option<DelayedMessages>,
        message: &Message,
    ) -> Option<Operation> {
        let messages = messages.as_mut()?;
        let delay_ms = message.delay_ms().unwrap_or_default();
        let deadline_ms = engine.now().wall_ms.saturating_add(delay_ms);
        let seq = messages.add(message.clone(), deadline_ms);
        self.recorded.then(|| Operation::Enqueue {
            message: message.clone(),
            queue: self.id,
            seq,
            deadline_ms,
        })
    }

    /// Forgets everything: the exchange is gone.
    pub(super) fn close(&self) {
        *self.messages.lock() = None;
    }

    /// Lets go of what the index holds up to position `up_to` and is far off.
    pub(super) fn page_out(&self, engine: &Engine, up_to: u64) {
        if let Some(messages) = self.messages.lock().as_mut() {
            messages.page_out(up_to, engine.now().wall_ms);
        }
    }

    /// Moves what is due, asks for what is to be read; says when to come again, in wall-clock
    /// milliseconds.
    fn tick(self: &Arc<Self>, engine: &Arc<Engine>) -> Option<u64> {
        let now_ms = engine.now().wall_ms;
        let (due, wishes, next) = {
            let mut messages = self.messages.lock();
            let messages = messages.as_mut()?;
            let due = messages.take_due(now_ms, DUE_MAX);
            let wishes = messages.wishes(now_ms);
            messages.release_bodies(engine.settings().body_cache_bytes / 4, now_ms);
            (due, wishes, messages.next_ms())
        };
        self.move_on(engine, due);
        self.read(engine, wishes);
        next
    }

    /// Routes messages whose time has come.
    fn move_on(&self, engine: &Arc<Engine>, due: Vec<DueMessage>) {
        if due.is_empty() {
            return;
        }
        let mut transaction = Transaction::default();
        for DueMessage { seq, message } in due {
            if let Some((message, route)) = self.readdress(engine, &message) {
                transaction.publish(&route, &message);
            }
            if self.recorded {
                transaction.leave(self.id, seq);
            }
        }
        let mut work = Afterwork::default();
        transaction.inter(engine, &mut work);
        engine.work_off(work);
    }

    /// The message as it goes on, and where it goes.
    fn readdress(&self, engine: &Engine, message: &Message) -> Option<(Message, Route)> {
        let host = engine.virtual_host(self.host.as_str())?;
        let exchange = host.exchange(self.exchange.as_str())?;
        let message = message
            .after_delay()
            .inspect_err(|error| {
                tracing::error!(exchange = %self.exchange, %error, "a delayed message is dropped");
            })
            .ok()?;
        let keys = message.routing_keys();
        let route = Route::find(&host, &exchange, keys, message.properties());
        (!route.is_empty()).then_some((message, route))
    }

    fn read(self: &Arc<Self>, engine: &Arc<Engine>, wishes: Wishes) {
        for block in wishes.blocks {
            let (delay, engine_again) = (Arc::clone(self), Arc::clone(engine));
            let reply = move |loaded: Result<Vec<_>, LoadError>| {
                delay.with_messages(&engine_again, |messages, now_ms| match loaded {
                    Ok(entries) => {
                        let entries: Vec<_> =
                            entries.into_iter().map(super::recover::entry).collect();
                        messages.block_loaded(block, &entries, now_ms);
                    }
                    Err(error) => {
                        tracing::error!(%error, "a block of delayed messages could not be read");
                        messages.block_failed(block, super::loading::load_failure(&error));
                    }
                });
            };
            engine
                .store()
                .load_block(self.id, 0, block, Box::new(reply));
        }
        if !wishes.bodies.is_empty() {
            let (delay, engine_again) = (Arc::clone(self), Arc::clone(engine));
            let reply = move |bodies: Vec<(Seq, Result<Message, LoadError>)>| {
                delay.bodies_loaded(&engine_again, bodies);
            };
            engine
                .store()
                .load_bodies(self.id, wishes.bodies, Box::new(reply));
        }
    }

    fn bodies_loaded(&self, engine: &Engine, bodies: Vec<(Seq, Result<Message, LoadError>)>) {
        let failure = |error| -> LoadFailure { super::loading::load_failure(&error) };
        let bodies = bodies
            .into_iter()
            .map(|(seq, body)| (seq, body.map_err(failure)))
            .collect();
        self.with_messages(engine, |messages, _| {
            let lost = messages.bodies_loaded(bodies);
            if !lost.is_empty() {
                tracing::error!(
                    exchange = %self.exchange,
                    messages = lost.len(),
                    "delayed messages could not be read back and are lost to damage"
                );
            }
        });
    }

    fn with_messages(&self, engine: &Engine, act: impl FnOnce(&mut DelayedMessages, u64)) {
        if let Some(messages) = self.messages.lock().as_mut() {
            act(messages, engine.now().wall_ms);
        }
        engine.delays.work.notify_one();
    }
}

impl Engine {
    /// The hidden queue of a delayed exchange.
    pub(super) fn new_delay(
        &self,
        host: &VirtualHost,
        exchange: &Exchange,
        id: QueueId,
        messages: DelayedMessages,
    ) -> Arc<Delay> {
        let delay = Arc::new(Delay {
            id,
            host: host.name().clone(),
            exchange: exchange.definition.name.clone(),
            recorded: exchange.definition.durable && self.store().records(),
            messages: Mutex::new(Some(messages)),
        });
        self.delays.all.lock().push(Arc::downgrade(&delay));
        self.delays.work.notify_one();
        delay
    }

    /// Something waits that did not before.
    pub(super) fn look_at_delays(&self) {
        self.delays.work.notify_one();
    }

    /// All that there are.
    pub(super) fn all_delays(&self) -> Vec<Arc<Delay>> {
        let mut all = self.delays.all.lock();
        all.retain(|delay| delay.strong_count() > 0);
        all.iter().filter_map(Weak::upgrade).collect()
    }

    /// Runs until the engine is dropped or told to stop.
    pub(crate) async fn run_delays(engine: Weak<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            let Some(engine) = engine.upgrade() else {
                return;
            };
            let sleep = engine.tick_delays();
            tokio::select! {
                changed = stop.changed() => if changed.is_err() || *stop.borrow() { return },
                () = engine.delays.work.notified() => {}
                () = tokio::time::sleep(sleep.unwrap_or(SLEEP_MAX)), if sleep.is_some() => {}
            }
        }
    }

    /// Looks at every delayed exchange; says when to look again, if ever by itself.
    fn tick_delays(self: &Arc<Self>) -> Option<Duration> {
        let delays = self.all_delays();
        let next = delays.iter().filter_map(|delay| delay.tick(self)).min()?;
        let wait = Duration::from_millis(next.saturating_sub(self.now().wall_ms));
        Some(wait.clamp(SLEEP_MIN, SLEEP_MAX))
    }
}
