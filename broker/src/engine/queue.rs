//! A queue at run time: a lock around the pure state machine, and nothing else.
//!
//! Every change is one *turn*: lock, change, dispatch, hand the records to the store and the
//! deliveries to the outboxes, unlock, and only then wake, load and report. Lock order:
//! `definitions → one Queue → Delay → Outbox | the store's buffer`; the last two are leaves.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::Engine;
use super::afterwork::Afterwork;
use super::content::Content;
use super::meters::{Event, Tally};
use super::outbox::{ConsumerLink, Outgoing};
use super::turn::{Aftermath, State, Turn};
use crate::model::{
    Now, QueueArguments, QueueDefinition, QueueId, QueueName, QueueTerms, Seq, SeqRange,
    Settlement, VirtualHostName,
};
use crate::queue::{
    Activity, ConsumeRefusal, Consumer, Counts, Effect, Expiry, Recording, Settings, Sharing,
};
use crate::store::Ticket;

/// Blocks at either end of a level whose slots stay in memory: 32 thousand places.
const BLOCKS_KEPT: usize = 64;
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// A queue.
#[derive(Debug)]
pub(crate) struct Queue {
    number: u64,
    id: QueueId,
    virtual_host: VirtualHostName,
    definition: QueueDefinition,
    /// Most queues have none.
    arguments: Option<Box<QueueArguments>>,
    owner: Option<u64>,
    guarded: Mutex<Guarded>,
    /// Told whenever something was read back from disk, for those who wait in `get`.
    pub(super) loaded: Notify,
    /// What this queue last added to the broker-wide count of resident bytes.
    resident_bytes: AtomicUsize,
    /// When the timer looks at the queue next; `u64::MAX` for never. Changed by the timers alone.
    pub(super) scheduled_ms: AtomicU64,
}

#[derive(Debug)]
struct Guarded {
    content: Content,
    phase: Phase,
    /// What has happened here so far; nothing until something has.
    tally: Option<Box<Tally>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// A panic left the state half changed; it serves nothing until the broker restarts.
    Crashed,
    Deleted,
}

/// What must hold for a deletion.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CloseCondition {
    /// No message may be ready.
    pub(crate) if_empty: bool,
    /// No consumer may be there.
    pub(crate) if_unused: bool,
    /// It must have expired by then (spec 4.2.4).
    pub(crate) if_expired: Option<Now>,
}

impl CloseCondition {
    /// The flag that makes it one, as clients call it; the one that RabbitMQ looks at first.
    pub(super) const fn flag(self) -> Option<&'static str> {
        if self.if_unused {
            Some("if-unused")
        } else if self.if_empty {
            Some("if-empty")
        } else {
            None
        }
    }
}

/// Why a queue is not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseRefusal {
    /// Messages are ready.
    NotEmpty,
    /// Consumers are there.
    InUse,
}

/// A consumer as it is.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerFacts {
    /// Who it is.
    pub(crate) link: Arc<ConsumerLink>,
    /// How many messages it may have unacked; 0 for any number.
    pub(crate) prefetch: u32,
    /// No other consumer may be beside it.
    pub(crate) exclusive: bool,
    /// Whether it gets messages.
    pub(crate) activity: Activity,
}

/// What a deleted queue leaves behind.
#[derive(Debug)]
pub(crate) struct Closed {
    /// Messages that were ready.
    pub(crate) ready: u64,
    /// Consumers to be told.
    pub(crate) consumers: Vec<Arc<ConsumerLink>>,
}

impl Queue {
    pub(super) fn new(
        id: QueueId,
        virtual_host: VirtualHostName,
        definition: QueueDefinition,
        arguments: QueueArguments,
        owner: Option<u64>,
        state: State,
    ) -> Self {
        Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            id,
            virtual_host,
            definition,
            arguments: (arguments != QueueArguments::default()).then(|| Box::new(arguments)),
            owner,
            guarded: Mutex::new(Guarded {
                content: Content::new(state),
                phase: Phase::Running,
                tally: None,
            }),
            loaded: Notify::new(),
            resident_bytes: AtomicUsize::new(0),
            scheduled_ms: AtomicU64::new(u64::MAX),
        }
    }

    /// Tells queues of the same name apart, and orders their locks.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// The queue's number on disk.
    pub(crate) const fn id(&self) -> QueueId {
        self.id
    }

    /// The virtual host that it lives in.
    pub(crate) const fn virtual_host(&self) -> &VirtualHostName {
        &self.virtual_host
    }

    /// The queue's name.
    pub(crate) const fn name(&self) -> &QueueName {
        &self.definition.name
    }

    /// As declared.
    pub(crate) const fn definition(&self) -> &QueueDefinition {
        &self.definition
    }

    /// The declared arguments, parsed.
    pub(crate) fn arguments(&self) -> &QueueArguments {
        const NONE: &QueueArguments = &QueueArguments::none();
        self.arguments.as_deref().unwrap_or(NONE)
    }

    /// Whether it survives a restart.
    pub(crate) const fn is_durable(&self) -> bool {
        self.definition.durable
    }

    /// The connection that it belongs to, if it is exclusive.
    pub(crate) const fn owner(&self) -> Option<u64> {
        self.owner
    }

    /// Whether it is exclusive to another connection than `connection` (spec 4.2.2).
    pub(crate) fn is_locked_for(&self, connection: u64) -> bool {
        self.owner.is_some_and(|owner| owner != connection)
    }

    /// Counts of what it holds, for a client that asks: that counts as use (spec 4.2.4).
    pub(super) fn inspect(&self, engine: &Engine) -> Counts {
        let mut guarded = self.guarded.lock();
        guarded.content.touch(engine.now());
        guarded.content.counts()
    }

    /// What has happened to its messages so far.
    pub(crate) fn tally(&self) -> Tally {
        let guarded = self.guarded.lock();
        guarded.tally.as_deref().copied().unwrap_or_default()
    }

    /// Whether it serves: one that a panic left half changed does not.
    pub(crate) fn is_running(&self) -> bool {
        self.guarded.lock().phase == Phase::Running
    }

    /// Counts of what it holds.
    pub(crate) fn counts(&self) -> Counts {
        self.guarded.lock().content.counts()
    }

    /// What holds for the queue now.
    pub(crate) fn terms(&self) -> Arc<QueueTerms> {
        Arc::clone(self.guarded.lock().content.terms())
    }

    /// Puts the queue on other terms, at once (spec 7.7.6). A queue that is gone has none.
    pub(crate) fn set_terms(self: &Arc<Self>, engine: &Arc<Engine>, terms: QueueTerms) {
        let timeout_ms = terms.consumer_timeout_ms;
        let links = self.turn(engine, |state, turn| {
            if state.terms().expires_ms != terms.expires_ms {
                // Another time to be unused begins now.
                state.used(turn.now);
            }
            let has_new_timeout = state.terms().consumer_timeout_ms != timeout_ms;
            state.set_terms(terms);
            let consumers = state.consumers().filter(|_| has_new_timeout);
            let links: Vec<_> = consumers
                .map(|consumer| Arc::clone(consumer.handle))
                .collect();
            links
        });
        for link in links.into_iter().flat_map(|(links, _)| links) {
            if link.timeout.set_of_queue(timeout_ms) && !link.no_ack {
                link.outbox.push_timeout_changed(Arc::clone(&link));
            }
        }
    }

    /// Settles deliveries.
    pub(crate) fn settle(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        seqs: &[Seq],
        settlement: Settlement,
    ) -> Ticket {
        self.turn(engine, |state, turn| {
            state.settle(turn.now, seqs, settlement, &mut turn.effects);
            turn.absorb();
            if settlement.is_requeue() {
                self.count_returned(state, turn);
            }
            if settlement == Settlement::Acknowledge {
                turn.tally.add(Event::Acknowledge, seqs.len() as u64);
            }
        })
        .map_or_else(Ticket::default, |((), ticket)| ticket)
    }

    /// Told when something was read back from disk.
    #[cfg(feature = "management")]
    pub(super) fn loaded(&self) -> tokio::sync::futures::Notified<'_> {
        self.loaded.notified()
    }

    /// Removes what is ready and says how much that was.
    pub(crate) fn purge(self: &Arc<Self>, engine: &Arc<Engine>) -> (u64, Ticket) {
        self.turn(engine, |state, turn| {
            let purged = state.purge(&mut turn.effects);
            turn.absorb();
            purged
        })
        .unwrap_or_default()
    }

    /// Adds a consumer. Its deliveries start with `resume`, so that `consume-ok` comes first.
    pub(crate) fn consume(
        &self,
        consumer: Consumer<Arc<ConsumerLink>>,
    ) -> Result<(), ConsumeRefusal> {
        let mut guarded = self.guarded.lock();
        match guarded.phase {
            Phase::Running => guarded.content.state().consume(consumer),
            // A queue that is gone never delivers; the caller looked it up a moment ago.
            Phase::Crashed | Phase::Deleted => Ok(()),
        }
    }

    /// How long consumers that say nothing else may hold a delivery, in milliseconds.
    pub(crate) fn consumer_timeout_ms(&self) -> Option<u64> {
        self.guarded.lock().content.terms().consumer_timeout_ms
    }

    /// The consumers, in no particular order.
    pub(crate) fn consumers(&self) -> Vec<ConsumerFacts> {
        let guarded = self.guarded.lock();
        let used = guarded.content.used().into_iter();
        let facts = used
            .flat_map(State::consumers)
            .map(|consumer| ConsumerFacts {
                link: Arc::clone(consumer.handle),
                prefetch: consumer.prefetch,
                exclusive: consumer.exclusive,
                activity: consumer.activity,
            });
        facts.collect()
    }

    /// When time has something to do for the queue, in monotonic milliseconds.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.guarded.lock().content.deadline()
    }

    /// Wakes those who wait in `get`.
    pub(super) fn wake_waiting(&self) {
        self.loaded.notify_waiters();
    }

    /// A lease is on disk: what it covers may be delivered.
    pub(super) fn lease_written(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        up_to: Seq,
        generation: u32,
    ) {
        self.turn(engine, |state, _| state.lease_written(up_to, generation));
        self.loaded.notify_waiters();
    }

    /// Records exactly what was delivered: this is a clean stop.
    pub(super) fn tighten(self: &Arc<Self>, engine: &Arc<Engine>) {
        self.turn(engine, |state, turn| {
            state.tighten(&mut turn.effects);
            turn.absorb();
            turn.holds = true;
        });
    }

    /// Gives up the slots of blocks below `up_to` that the store's index holds, if the queue is
    /// long.
    pub(super) fn page_out(self: &Arc<Self>, engine: &Arc<Engine>, level: u8, up_to: u64) {
        self.turn(engine, |state, _| {
            let is_held = |block: u64| {
                block
                    .checked_add(1)
                    .and_then(|next| next.checked_mul(crate::queue::BLOCK_PLACES))
                    .is_some_and(|end| end <= up_to)
            };
            state.page_out(level, BLOCKS_KEPT, &is_held);
        });
    }

    /// Deletes the queue if the condition holds. `None` if it was deleted before.
    pub(super) fn close(
        &self,
        engine: &Engine,
        condition: CloseCondition,
    ) -> Result<Option<Closed>, CloseRefusal> {
        let mut guarded = self.guarded.lock();
        if guarded.phase == Phase::Deleted {
            return Ok(None);
        }
        let counts = guarded.content.counts();
        if condition.if_empty && counts.ready > 0 {
            return Err(CloseRefusal::NotEmpty);
        }
        let used = guarded.content.used();
        let is_young = |now| !used.is_some_and(|state| state.is_expired(now));
        if condition.if_unused && counts.consumers > 0 || condition.if_expired.is_some_and(is_young)
        {
            return Err(CloseRefusal::InUse);
        }
        let consumers = used
            .into_iter()
            .flat_map(State::consumers)
            .map(|consumer| Arc::clone(consumer.handle))
            .collect();
        guarded.phase = Phase::Deleted;
        // The messages go now, not when the last handle does.
        guarded.content = Content::new(State::new(Settings {
            levels: 1,
            default_priority: 0,
            recording: Recording::Nothing,
            sharing: Sharing::Competing,
            expiry: Expiry::default(),
        }));
        drop(guarded);
        self.account(engine, 0);
        engine.unschedule(self);
        self.loaded.notify_waiters();
        Ok(Some(Closed {
            ready: counts.ready,
            consumers,
        }))
    }

    /// Locks for a change that spans several queues; `None` if it is gone.
    pub(super) fn lock(&self) -> Option<LockedQueue<'_>> {
        let mut guarded = self.guarded.lock();
        if guarded.phase != Phase::Running {
            return None;
        }
        guarded.phase = Phase::Crashed;
        Some(LockedQueue { guarded })
    }

    /// Runs one turn, and everything that follows from it. `None` if the queue is deleted or
    /// crashed.
    pub(super) fn turn<R>(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        act: impl FnOnce(&mut State, &mut Turn<'_>) -> R,
    ) -> Option<(R, Ticket)> {
        let mut work = Afterwork::default();
        let outcome = self.turn_leaving(engine, &mut work, act);
        engine.work_off(work);
        outcome
    }

    /// Runs one turn, and adds what follows from it to `work`. `None` if the queue is deleted or
    /// crashed.
    pub(super) fn turn_leaving<R>(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        work: &mut Afterwork,
        act: impl FnOnce(&mut State, &mut Turn<'_>) -> R,
    ) -> Option<(R, Ticket)> {
        let mut turn = Turn::new(engine, self.id);
        let mut guarded = self.guarded.lock();
        if guarded.phase != Phase::Running {
            return None;
        }
        // A panic below leaves the phase as it is set here.
        guarded.phase = Phase::Crashed;
        let state = guarded.content.state();
        let result = act(state, &mut turn);
        turn.dispatch(state);
        turn.enforce(state);
        turn.count(&mut guarded.tally);
        let aftermath = turn.hand_over();
        let state = guarded.content.state();
        self.keep_within_budget(engine, state);
        let deadline = state.deadline();
        guarded.content.rest();
        guarded.phase = Phase::Running;
        drop(guarded);
        let ticket = aftermath.ticket;
        engine.schedule(self, deadline);
        self.finish(engine, aftermath, work);
        Some((result, ticket))
    }

    /// Drops bodies that the log holds when the whole broker keeps too many.
    pub(super) fn keep_within_budget(&self, engine: &Engine, state: &mut State) {
        let resident = state.counts().resident_bytes;
        let excess = self.account(engine, resident).min(resident);
        if excess > 0 && state.release_bodies(excess) > 0 {
            self.account(engine, state.counts().resident_bytes);
        }
    }

    /// Tells the broker-wide count what this queue keeps now; returns how much the whole is over.
    fn account(&self, engine: &Engine, resident: usize) -> usize {
        let before = self.resident_bytes.swap(resident, Ordering::Relaxed);
        engine.bodies.replace(before, resident)
    }

    /// Does what must not be done under the lock, and leaves further turns to `work`.
    pub(super) fn finish(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        aftermath: Aftermath,
        work: &mut Afterwork,
    ) {
        let Aftermath {
            ticket,
            later,
            letters,
            mut handover,
        } = aftermath;
        handover.wake();
        for effect in later {
            self.run(engine, effect, ticket);
        }
        work.resumes.extend(handover.resume);
        let undeliverable: Vec<Seq> = handover
            .undeliverable
            .into_iter()
            .filter_map(returnable)
            .collect();
        if !undeliverable.is_empty() {
            work.returns.push((Arc::clone(self), undeliverable));
        }
        work.bury(self, letters);
    }

    fn run(self: &Arc<Self>, engine: &Arc<Engine>, effect: Effect, ticket: Ticket) {
        match effect {
            Effect::ExtendLease { up_to, generation } => {
                engine.await_lease(self, ticket, up_to, generation);
            }
            Effect::LoadBlock { level, first } => self.load_block(engine, level, first),
            Effect::LoadBodies(places) => self.load_bodies(engine, places),
            Effect::Damaged { ranges } => tracing::error!(
                queue = %self.definition.name,
                places = ranges.iter().map(|range: &SeqRange| range.count()).sum::<u64>(),
                first = ranges.first().map_or(0, |range| range.first.0),
                "messages could not be read back and are lost to damage"
            ),
            Effect::Missing { messages } => tracing::error!(
                queue = %self.definition.name,
                messages,
                "the index held fewer messages than it had counted"
            ),
            Effect::Unused => engine.expire_queue(self),
            Effect::Settled(_)
            | Effect::SettledBlocks(_)
            | Effect::Requeued { .. }
            | Effect::DeadLetters(_) => {}
        }
    }
}

// Two queues are the same only if they are one: a name may be deleted and declared again.
impl PartialEq for Queue {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Queue {}

impl Hash for Queue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

/// The place of a delivery that its queue still counts as unacknowledged.
fn returnable(entry: Outgoing) -> Option<Seq> {
    match entry {
        Outgoing::Delivery(link, delivery) if !link.no_ack => Some(delivery.seq),
        Outgoing::Delivery(..)
        | Outgoing::Cancelled(_)
        | Outgoing::TimeoutChanged(_)
        | Outgoing::Reply(..) => None,
    }
}

/// A queue that is locked together with others.
pub(super) struct LockedQueue<'a> {
    guarded: MutexGuard<'a, Guarded>,
}

impl LockedQueue<'_> {
    pub(super) fn state(&mut self) -> &mut State {
        self.guarded.content.state()
    }

    pub(super) fn count(&mut self, turn: &Turn<'_>) {
        turn.count(&mut self.guarded.tally);
    }

    /// Unlocks. A queue dropped without this was left half changed by a panic.
    pub(super) fn finish(mut self) {
        self.guarded.content.rest();
        self.guarded.phase = Phase::Running;
    }
}
