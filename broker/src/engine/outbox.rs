//! What a connection has still to send to its consumers, bounded.
//!
//! Queues push here while they hold their own lock; the connection drains. The bound holds for
//! every consumer, whatever its prefetch: a peer that does not read costs at most this much.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::meters::{Event, Tally};
use super::queue::Queue;
use super::reply::ReplyConsumer;
use crate::model::{Arguments, ConsumerKey, ConsumerTag, Message, Seq};
use crate::queue::Delivery;

/// What every delivery costs beyond its message's bytes: the entry and its frames.
const DELIVERY_OVERHEAD_BYTES: usize = 128;

/// The room for replies, in rooms for deliveries. Deliveries wait in their queue when there is no
/// room, but replies are lost, so they have more of it, and to themselves.
const REPLY_ROOMS: usize = 16;

/// The thread that ties one consumer to its queue and its connection.
#[derive(Debug)]
pub(crate) struct ConsumerLink {
    /// Unique in the broker.
    pub(crate) key: ConsumerKey,
    /// The queue that it consumes.
    pub(crate) queue: Arc<Queue>,
    /// Where its deliveries wait.
    pub(crate) outbox: Arc<Outbox>,
    /// The number of its connection.
    pub(crate) connection: u64,
    /// The channel that it was started on.
    pub(crate) channel: u16,
    /// Its tag on that channel.
    pub(crate) tag: ConsumerTag,
    /// As it was started with.
    pub(crate) arguments: Arguments,
    /// Whether a delivery is settled by being delivered.
    pub(crate) no_ack: bool,
    /// How long it may hold a delivery.
    pub(crate) timeout: ConsumerTimeout,
    /// The limit that all consumers of the channel share.
    pub(crate) limit: Arc<ChannelLimit>,
}

/// How long a consumer may hold a delivery (spec 5.5.8): what it was started with holds, or else what
/// holds for its queue, which policies may change.
#[derive(Debug)]
pub(crate) struct ConsumerTimeout {
    own_ms: Option<u64>,
    /// That of the queue, in milliseconds.
    queue_ms: AtomicU64,
}

impl ConsumerTimeout {
    const NONE: u64 = u64::MAX;

    /// The consumer's own timeout, if it has one, and its queue's.
    pub(crate) fn new(own_ms: Option<u64>, queue_ms: Option<u64>) -> Self {
        Self {
            own_ms,
            queue_ms: AtomicU64::new(queue_ms.unwrap_or(Self::NONE)),
        }
    }

    /// As it is now, in milliseconds.
    pub(crate) fn ms(&self) -> Option<u64> {
        let of_queue = self.queue_ms.load(Ordering::Relaxed);
        self.own_ms
            .or_else(|| (of_queue != Self::NONE).then_some(of_queue))
    }

    /// Takes over the queue's new timeout. Whether the consumer's is another one for it.
    pub(crate) fn set_of_queue(&self, queue_ms: Option<u64>) -> bool {
        let before = self.ms();
        let queue_ms = queue_ms.unwrap_or(Self::NONE);
        self.queue_ms.store(queue_ms, Ordering::Relaxed);
        self.ms() != before
    }
}

/// The prefetch limit of a whole channel (spec 5.4.3).
#[derive(Debug, Default)]
pub(crate) struct ChannelLimit {
    prefetch: AtomicU32,
    outstanding: AtomicU32,
    starved: Mutex<Vec<Arc<ConsumerLink>>>,
}

impl ChannelLimit {
    /// Sets the limit, 0 for none, and returns the consumers that may go on because of it.
    pub(crate) fn set(&self, prefetch: u32) -> Vec<Arc<ConsumerLink>> {
        self.prefetch.store(prefetch, Ordering::Release);
        self.take_starved()
    }

    /// Whether there is a limit.
    pub(crate) fn is_set(&self) -> bool {
        self.prefetch.load(Ordering::Acquire) != 0
    }

    /// Counts one delivery that waits for its acknowledgement; `false` when the limit is reached.
    fn take(&self) -> bool {
        self.outstanding
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |outstanding| {
                let prefetch = self.prefetch.load(Ordering::Acquire);
                (prefetch == 0 || outstanding < prefetch).then(|| outstanding.saturating_add(1))
            })
            .is_ok()
    }

    /// Counts a delivery that came by `basic.get`, which no limit refuses.
    pub(crate) fn take_unasked(&self) {
        self.outstanding.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts `settled` deliveries as done and returns the consumers that may go on.
    pub(crate) fn give_back(&self, settled: u32) -> Vec<Arc<ConsumerLink>> {
        self.outstanding.fetch_sub(settled, Ordering::AcqRel);
        if self.prefetch.load(Ordering::Acquire) == 0 {
            Vec::new()
        } else {
            self.take_starved()
        }
    }

    /// Deliveries that wait for their acknowledgement.
    pub(super) fn outstanding(&self) -> u32 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// The limit; 0 for none.
    pub(super) fn prefetch(&self) -> u32 {
        self.prefetch.load(Ordering::Relaxed)
    }

    /// Takes back one count for a delivery that was not handed over after all.
    fn undo(&self) {
        self.outstanding.fetch_sub(1, Ordering::AcqRel);
    }

    fn park(&self, link: &Arc<ConsumerLink>) {
        let mut starved = self.starved.lock();
        if !starved.iter().any(|other| other.key == link.key) {
            starved.push(Arc::clone(link));
        }
    }

    fn take_starved(&self) -> Vec<Arc<ConsumerLink>> {
        std::mem::take(&mut *self.starved.lock())
    }
}

/// One thing to tell a consumer.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A message for it.
    Delivery(Arc<ConsumerLink>, Delivery),
    /// Its queue is gone (spec 5.3.9).
    Cancelled(Arc<ConsumerLink>),
    /// It may hold deliveries for another time than before.
    TimeoutChanged(Arc<ConsumerLink>),
    /// A reply that came without a queue (spec 7.6.3).
    Reply(Arc<ReplyConsumer>, Message),
}

impl Outgoing {
    fn bytes(&self) -> usize {
        match self {
            Self::Delivery(_, delivery) => delivery_bytes(delivery),
            Self::Cancelled(_) | Self::TimeoutChanged(_) => DELIVERY_OVERHEAD_BYTES,
            Self::Reply(_, message) => message_bytes(message),
        }
    }
}

fn delivery_bytes(delivery: &Delivery) -> usize {
    message_bytes(&delivery.message)
}

fn message_bytes(message: &Message) -> usize {
    message.encoded().len() + DELIVERY_OVERHEAD_BYTES
}

/// The bounded deliveries of one connection.
#[derive(Debug)]
pub(crate) struct Outbox {
    entries: Mutex<Entries>,
    used_bytes: AtomicUsize,
    room_bytes: usize,
    closed: AtomicBool,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    waiting: VecDeque<Outgoing>,
    starved: Vec<Arc<ConsumerLink>>,
    /// What of the used bytes is replies.
    reply_bytes: usize,
}

impl Outbox {
    /// An outbox that takes messages until `room_bytes` wait in it.
    pub(crate) fn new(room_bytes: usize) -> Self {
        Self {
            entries: Mutex::default(),
            used_bytes: AtomicUsize::new(0),
            room_bytes,
            closed: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// Waits until something may be waiting.
    pub(crate) async fn changed(&self) {
        self.wake.notified().await;
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.used_bytes.load(Ordering::Acquire) == 0
    }

    /// Moves entries worth at least `bytes` (or all) to `drained` and returns the consumers that
    /// were starved and may go on: resume them without holding any lock.
    pub(crate) fn drain(
        &self,
        bytes: usize,
        drained: &mut VecDeque<Outgoing>,
    ) -> Vec<Arc<ConsumerLink>> {
        let mut entries = self.entries.lock();
        let mut taken = 0;
        while taken < bytes {
            let Some(entry) = entries.waiting.pop_front() else {
                break;
            };
            let entry_bytes = entry.bytes();
            taken += entry_bytes;
            if matches!(entry, Outgoing::Reply(..)) {
                entries.reply_bytes -= entry_bytes;
            }
            drained.push_back(entry);
        }
        let left = self.used_bytes.fetch_sub(taken, Ordering::AcqRel) - taken;
        if left > self.room_bytes / 2 {
            Vec::new()
        } else {
            std::mem::take(&mut entries.starved)
        }
    }

    /// Takes out what waits for a consumer and has to be settled. The caller holds the queue's
    /// lock, and has removed the consumer from it: nothing can follow. Consumers that were starved
    /// are added to `resume`.
    pub(super) fn withdraw(
        &self,
        consumer: ConsumerKey,
        resume: &mut Vec<Arc<ConsumerLink>>,
    ) -> Vec<Seq> {
        let mut entries = self.entries.lock();
        let (mut withdrawn, mut bytes) = (Vec::new(), 0);
        entries.waiting.retain(|entry| match entry {
            Outgoing::Delivery(link, delivery) if link.key == consumer => {
                bytes += delivery_bytes(delivery);
                withdrawn.extend((!link.no_ack).then_some(delivery.seq));
                false
            }
            Outgoing::Delivery(..)
            | Outgoing::Cancelled(_)
            | Outgoing::TimeoutChanged(_)
            | Outgoing::Reply(..) => true,
        });
        let left = self.used_bytes.fetch_sub(bytes, Ordering::AcqRel) - bytes;
        if left <= self.room_bytes / 2 {
            resume.append(&mut entries.starved);
        }
        withdrawn
    }

    /// Tells a consumer that its queue is gone.
    pub(crate) fn push_cancelled(&self, link: Arc<ConsumerLink>) {
        self.push_news(Outgoing::Cancelled(link));
    }

    /// Tells a consumer's session that the consumer has another timeout.
    pub(super) fn push_timeout_changed(&self, link: Arc<ConsumerLink>) {
        self.push_news(Outgoing::TimeoutChanged(link));
    }

    /// Adds what has no bytes of its own, and so always fits.
    fn push_news(&self, entry: Outgoing) {
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        self.used_bytes.fetch_add(entry.bytes(), Ordering::AcqRel);
        self.entries.lock().waiting.push_back(entry);
        self.wake.notify_one();
    }

    /// Adds a reply. It is dropped if its consumer's connection is over, or has so many to read that
    /// there is no room: nobody could be told to wait.
    pub(super) fn push_reply(consumer: Arc<ReplyConsumer>, message: Message) {
        let outbox = Arc::clone(&consumer.outbox);
        let mut entries = outbox.entries.lock();
        // One reply always fits among none, however large it is. Whether the outbox is closed is
        // asked under the lock, so that nothing is left behind in a closed one.
        let room_bytes = outbox.room_bytes.saturating_mul(REPLY_ROOMS);
        let fits = entries.reply_bytes == 0 || entries.reply_bytes < room_bytes;
        if !fits || outbox.closed.load(Ordering::Acquire) {
            drop(entries);
            tracing::debug!(consumer = %consumer.tag, "a reply is dropped");
            return;
        }
        let entry = Outgoing::Reply(consumer, message);
        let bytes = entry.bytes();
        entries.reply_bytes += bytes;
        outbox.used_bytes.fetch_add(bytes, Ordering::AcqRel);
        entries.waiting.push_back(entry);
        drop(entries);
        outbox.wake.notify_one();
    }

    /// Takes nothing more, and gives back what still waits.
    pub(crate) fn close(&self) -> VecDeque<Outgoing> {
        self.closed.store(true, Ordering::Release);
        let mut entries = self.entries.lock();
        entries.starved.clear();
        entries.reply_bytes = 0;
        self.used_bytes.store(0, Ordering::Release);
        std::mem::take(&mut entries.waiting)
    }

    fn free_bytes(&self) -> usize {
        if self.closed.load(Ordering::Acquire) {
            return 0;
        }
        self.room_bytes
            .saturating_sub(self.used_bytes.load(Ordering::Acquire))
    }
}

/// Collects what one turn of one queue delivers, so that each outbox is locked and woken once.
///
/// `finish` must be called before the queue is unlocked: that keeps a consumer's deliveries in the
/// queue's order when two turns follow one another on two threads.
#[derive(Default)]
pub(crate) struct BurstSink {
    batches: Vec<Batch>,
    /// What was delivered.
    pub(super) tally: Tally,
}

struct Batch {
    outbox: Arc<Outbox>,
    free_bytes: usize,
    used_bytes: usize,
    entries: Vec<Outgoing>,
    starved: Vec<Arc<ConsumerLink>>,
}

impl crate::queue::Sink<Arc<ConsumerLink>> for BurstSink {
    fn offer(&mut self, link: &Arc<ConsumerLink>, delivery: Delivery) -> Result<(), Delivery> {
        if !link.no_ack && !link.limit.take() {
            link.limit.park(link);
            // The channel may have settled its last delivery between the refusal and the parking;
            // then nobody would ever wake this consumer.
            if !link.limit.take() {
                return Err(delivery);
            }
        }
        let batch = self.batch(&link.outbox);
        let bytes = delivery_bytes(&delivery);
        // One message always fits an empty outbox, however large it is.
        let fits = batch.used_bytes < batch.free_bytes;
        if fits {
            batch.used_bytes += bytes;
            let redelivered = delivery.redelivered.into();
            batch
                .entries
                .push(Outgoing::Delivery(Arc::clone(link), delivery));
            self.tally.add(Event::delivery(link.no_ack), 1);
            self.tally.add(Event::Redeliver, redelivered);
            return Ok(());
        }
        batch.starved.push(Arc::clone(link));
        if !link.no_ack {
            link.limit.undo();
        }
        Err(delivery)
    }
}

impl BurstSink {
    fn batch(&mut self, outbox: &Arc<Outbox>) -> &mut Batch {
        let found = self
            .batches
            .iter()
            .rposition(|batch| Arc::ptr_eq(&batch.outbox, outbox));
        let index = found.unwrap_or_else(|| {
            self.batches.push(Batch {
                outbox: Arc::clone(outbox),
                free_bytes: outbox.free_bytes(),
                used_bytes: 0,
                entries: Vec::new(),
                starved: Vec::new(),
            });
            self.batches.len() - 1
        });
        &mut self.batches[index]
    }

    /// Hands everything over. What comes back is to be done after the queue is unlocked.
    pub(crate) fn finish(self) -> Handover {
        let mut handover = Handover::default();
        for batch in self.batches {
            let mut entries = batch.outbox.entries.lock();
            if batch.outbox.closed.load(Ordering::Acquire) {
                handover.undeliverable.extend(batch.entries);
                continue;
            }
            let pushed = !batch.entries.is_empty();
            batch
                .outbox
                .used_bytes
                .fetch_add(batch.used_bytes, Ordering::AcqRel);
            entries.waiting.extend(batch.entries);
            // The connection may have drained everything since the room was measured, and would
            // then never look at who is starved.
            if batch.outbox.used_bytes.load(Ordering::Acquire) <= batch.outbox.room_bytes / 2 {
                handover.resume.extend(batch.starved);
            } else {
                entries.starved.extend(batch.starved);
            }
            drop(entries);
            if pushed {
                handover.wake.push(batch.outbox);
            }
        }
        handover
    }
}

/// What is left to do once the queue is unlocked.
#[derive(Default)]
pub(crate) struct Handover {
    wake: Vec<Arc<Outbox>>,
    /// Consumers whose outbox has room again already.
    pub(crate) resume: Vec<Arc<ConsumerLink>>,
    /// Deliveries to a connection that has just gone.
    pub(crate) undeliverable: Vec<Outgoing>,
}

impl Handover {
    /// Wakes every connection that got something.
    pub(crate) fn wake(&mut self) {
        for outbox in self.wake.drain(..) {
            outbox.wake.notify_one();
        }
    }
}
