//! Counts of what happens to messages, cheap enough for every one of them.
//!
//! A channel's counts have one writer, its connection's task, and are plain stores that anybody may
//! read; a queue's are kept under its lock, which is taken anyway. Nothing on the way of a message
//! adds to a number that other tasks add to: what the whole broker counts is summed up when somebody
//! asks. Channels that close leave their counts behind, so that sums never fall.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Engine;
use super::clients::Client;
use super::outbox::ChannelLimit;
use super::virtual_host::VirtualHost;

/// What may happen to a message, in the words of RabbitMQ's HTTP API (spec 10.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A client published it.
    Publish,
    /// Its publisher was told that it is safe.
    Confirm,
    /// No queue took it, and it went back.
    ReturnUnroutable,
    /// No queue took it, and it is gone.
    DropUnroutable,
    /// A consumer got it and is to acknowledge it.
    Deliver,
    /// A consumer got it for good.
    DeliverNoAck,
    /// `basic.get` got it, to be acknowledged.
    Get,
    /// `basic.get` got it for good.
    GetNoAck,
    /// `basic.get` found none.
    GetEmpty,
    /// It was delivered again.
    Redeliver,
    /// It was acknowledged.
    Acknowledge,
}

impl Event {
    /// All of them.
    pub(crate) const ALL: [Self; 11] = [
        Self::Publish,
        Self::Confirm,
        Self::ReturnUnroutable,
        Self::DropUnroutable,
        Self::Deliver,
        Self::DeliverNoAck,
        Self::Get,
        Self::GetNoAck,
        Self::GetEmpty,
        Self::Redeliver,
        Self::Acknowledge,
    ];

    /// What happens when a consumer gets a message.
    pub(crate) const fn delivery(no_ack: bool) -> Self {
        if no_ack {
            Self::DeliverNoAck
        } else {
            Self::Deliver
        }
    }

    /// What happens when `basic.get` gets a message.
    pub(crate) const fn get(no_ack: bool) -> Self {
        if no_ack { Self::GetNoAck } else { Self::Get }
    }
}

/// Counts of every event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally([u64; Event::ALL.len()]);

impl Tally {
    /// Counts more.
    pub(crate) const fn add(&mut self, event: Event, count: u64) {
        let counted = &mut self.0[event as usize];
        *counted = counted.saturating_add(count);
    }

    /// The count of one event.
    pub(crate) const fn of(&self, event: Event) -> u64 {
        self.0[event as usize]
    }

    /// Everything that reached a client, however.
    pub(crate) const fn deliveries(&self) -> u64 {
        self.of(Event::Deliver)
            + self.of(Event::DeliverNoAck)
            + self.of(Event::Get)
            + self.of(Event::GetNoAck)
    }

    /// Adds all counts of another.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Upper bounds of the sizes that messages are counted by, in bytes, as RabbitMQ has them. What is
/// larger than the last counts beyond them.
pub(crate) const SIZE_BOUNDS: [u64; 8] = [
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
];

/// How large published messages were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Messages up to each bound and above the one before it, and those above the last.
    pub(crate) counts: [u64; SIZE_BOUNDS.len() + 1],
    /// The bytes of all bodies together.
    pub(crate) bytes: u64,
}

impl Sizes {
    /// Which count a message of that size belongs to.
    fn place(bytes: u64) -> usize {
        SIZE_BOUNDS.partition_point(|bound| *bound < bytes)
    }

    fn add(&mut self, bytes: u64) {
        self.counts[Self::place(bytes)] += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn absorb(&mut self, other: &Self) {
        for (sum, more) in self.counts.iter_mut().zip(other.counts) {
            *sum = sum.saturating_add(more);
        }
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// A number that one task alone writes, and anybody may read.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    /// Writes it.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds to it. Not by several tasks: that would lose counts.
    pub(crate) fn add(&self, more: u64) {
        self.set(self.value().wrapping_add(more));
    }

    /// Reads it.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How publishes on a channel are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelMode {
    /// Not at all.
    Plain,
    /// Each by itself.
    Confirm,
    /// With the transaction.
    Transactional,
}

/// What is to be seen of an open channel. Its connection's task writes it.
#[derive(Debug)]
pub(crate) struct ChannelMeter {
    /// Its number.
    pub(crate) number: u16,
    limit: Arc<ChannelLimit>,
    mode: Gauge,
    events: [Gauge; Event::ALL.len()],
    size_counts: [Gauge; SIZE_BOUNDS.len() + 1],
    published_bytes: Gauge,
    /// The prefetch of consumers that are started from now on.
    pub(crate) prefetch: Gauge,
    /// Consumers.
    pub(crate) consumers: Gauge,
    /// Publishes that wait for their confirm.
    pub(crate) unconfirmed: Gauge,
    /// Publishes that wait for the commit.
    pub(crate) uncommitted: Gauge,
    /// Settlements that wait for the commit.
    pub(crate) uncommitted_settlements: Gauge,
}

impl ChannelMeter {
    /// A channel that has just been opened.
    pub(crate) fn new(number: u16, limit: Arc<ChannelLimit>) -> Self {
        Self {
            number,
            limit,
            mode: Gauge::default(),
            events: Default::default(),
            size_counts: Default::default(),
            published_bytes: Gauge::default(),
            prefetch: Gauge::default(),
            consumers: Gauge::default(),
            unconfirmed: Gauge::default(),
            uncommitted: Gauge::default(),
            uncommitted_settlements: Gauge::default(),
        }
    }

    /// Counts more of an event.
    pub(crate) fn add(&self, event: Event, count: u64) {
        self.events[event as usize].add(count);
    }

    /// Counts a publish, and the size of its body.
    pub(crate) fn add_publish(&self, body_bytes: u64) {
        self.add(Event::Publish, 1);
        self.size_counts[Sizes::place(body_bytes)].add(1);
        self.published_bytes.add(body_bytes);
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            counts: self.size_counts.each_ref().map(Gauge::value),
            bytes: self.published_bytes.value(),
        }
    }

    /// All counts.
    pub(crate) fn tally(&self) -> Tally {
        Tally(self.events.each_ref().map(Gauge::value))
    }

    /// Notes how publishes are answered from now on.
    pub(crate) fn set_mode(&self, mode: ChannelMode) {
        self.mode.set(mode as u64);
    }

    /// How publishes are answered.
    pub(crate) fn mode(&self) -> ChannelMode {
        const CONFIRM: u64 = ChannelMode::Confirm as u64;
        const TRANSACTIONAL: u64 = ChannelMode::Transactional as u64;
        match self.mode.value() {
            CONFIRM => ChannelMode::Confirm,
            TRANSACTIONAL => ChannelMode::Transactional,
            _ => ChannelMode::Plain,
        }
    }

    /// Deliveries that wait for their acknowledgement.
    pub(crate) fn unacknowledged(&self) -> u32 {
        self.limit.outstanding()
    }

    /// The prefetch of the channel as a whole; 0 for none.
    pub(crate) fn global_prefetch(&self) -> u32 {
        self.limit.prefetch()
    }
}

/// What is to be seen of an open connection. Its own task writes it.
#[derive(Debug, Default)]
pub(crate) struct ClientMeter {
    /// Bytes that arrived.
    pub(crate) received_bytes: Gauge,
    /// Reads that brought some.
    pub(crate) reads: Gauge,
    /// Bytes that were sent.
    pub(crate) sent_bytes: Gauge,
    /// Writes that took some.
    pub(crate) writes: Gauge,
    /// Bytes that wait to be sent.
    pub(crate) pending_bytes: Gauge,
    /// 1 while the socket is not read because there is enough to do.
    pub(crate) held: Gauge,
    channels: Mutex<BTreeMap<u16, Arc<ChannelMeter>>>,
}

impl ClientMeter {
    /// Notes a channel that was opened.
    pub(crate) fn channel_opened(&self, channel: Arc<ChannelMeter>) {
        self.channels.lock().insert(channel.number, channel);
    }

    /// The open channels, in the order of their numbers.
    pub(crate) fn channels(&self) -> Vec<Arc<ChannelMeter>> {
        self.channels.lock().values().cloned().collect()
    }

    /// What the open channels have counted together.
    pub(crate) fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for channel in self.channels.lock().values() {
            sum.absorb(&channel.tally());
        }
        sum
    }

    fn sizes(&self) -> Sizes {
        let mut sum = Sizes::default();
        for channel in self.channels.lock().values() {
            sum.absorb(&channel.sizes());
        }
        sum
    }
}

/// What was counted on behalf of clients, those included that are gone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// Events.
    pub(crate) events: Tally,
    /// How large what was published was.
    pub(crate) sizes: Sizes,
    /// Bytes that came from clients.
    pub(crate) received_bytes: u64,
    /// Bytes that went to them.
    pub(crate) sent_bytes: u64,
}

impl Traffic {
    fn absorb(&mut self, client: &ClientMeter) {
        self.events.absorb(&client.tally());
        self.sizes.absorb(&client.sizes());
        self.received_bytes += client.received_bytes.value();
        self.sent_bytes += client.sent_bytes.value();
    }
}

/// What is left of those that are gone.
#[derive(Debug, Default)]
pub(crate) struct Past(Mutex<Traffic>);

impl Engine {
    /// Forgets a channel, but not its counts.
    pub(crate) fn channel_gone(&self, host: &VirtualHost, client: &Client, number: u16) {
        // Both are held while the channel changes sides, so that no sum misses it or has it twice.
        let (mut all, mut of_host) = (self.past.0.lock(), host.past.0.lock());
        let channel = client.meter.channels.lock().remove(&number);
        if let Some(channel) = channel {
            let (tally, sizes) = (channel.tally(), channel.sizes());
            all.events.absorb(&tally);
            of_host.events.absorb(&tally);
            all.sizes.absorb(&sizes);
            of_host.sizes.absorb(&sizes);
        }
    }

    /// Forgets a connection, but not its counts.
    pub(crate) fn client_gone(&self, host: &VirtualHost, client: &Client) {
        let (mut all, mut of_host) = (self.past.0.lock(), host.past.0.lock());
        all.absorb(&client.meter);
        of_host.absorb(&client.meter);
        client.meter.channels.lock().clear();
        self.clients.closed(client.facts.number);
    }

    /// Counts something that no channel did.
    pub(crate) fn count(&self, host: &VirtualHost, event: Event, count: u64) {
        self.past.0.lock().events.add(event, count);
        host.past.0.lock().events.add(event, count);
    }

    /// Counts a publish that no channel did.
    pub(crate) fn count_publish(&self, host: &VirtualHost, body_bytes: u64) {
        self.count(host, Event::Publish, 1);
        self.past.0.lock().sizes.add(body_bytes);
        host.past.0.lock().sizes.add(body_bytes);
    }

    /// What all clients did so far.
    pub(crate) fn traffic(&self) -> Traffic {
        let past = self.past.0.lock();
        let mut sum = *past;
        for client in self.clients.all() {
            sum.absorb(&client.meter);
        }
        sum
    }

    #[allow(dead_code, reason = "for the nouns to come")]
    /// What all clients of one virtual host did so far.
    pub(crate) fn traffic_of(&self, host: &VirtualHost) -> Traffic {
        let past = host.past.0.lock();
        let mut sum = *past;
        for client in self.clients.all() {
            if client.facts.virtual_host == *host.name() {
                sum.absorb(&client.meter);
            }
        }
        sum
    }
}
