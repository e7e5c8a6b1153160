//! Messages and sinks for tests.

use std::collections::HashMap;

use leveret_log::{Location, Lsn, SegmentId};

use crate::model::{
    ConsumerKey, DeliveryLimit, Message, MessageParts, Now, QueueTerms, Seq, Settlement, Stored,
};
use crate::queue::{
    Admission, BLOCK_PLACES, BlockEntry, Consumer, Delivery, Effect, Expiry, QueueState, Recording,
    Settings, Sharing, Sink,
};

/// What stands before the number in the headers of a message: class, weight, size of the body, the flag
/// of headers, the table's length, and the entry `key`, a number.
const HEADER: &[u8] = b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\x09\x03keyI";

/// A message that knows its number; its header `key` is the number, too.
pub(super) fn message(id: u32, persistent: bool, priority: u8) -> Message {
    let mut encoded = b"\x00\x00".to_vec();
    encoded.extend_from_slice(HEADER);
    encoded.extend_from_slice(&id.to_be_bytes());
    let body_start = encoded.len();
    encoded.extend_from_slice(&id.to_be_bytes());
    // Bodies of different lengths, so that a wrong sum of bytes shows.
    encoded.resize(body_start + 4 + id as usize % 5, 0);
    let parts = MessageParts {
        exchange_bytes: 0,
        routing_key_bytes: 0,
        header_bytes: HEADER.len() as u32 + 4,
        persistent,
        priority,
        ..MessageParts::default()
    };
    Message::new(parts, &encoded).expect("lengths fit")
}

pub(super) fn id(message: &Message) -> u32 {
    u32::from_be_bytes(message.body()[..4].try_into().expect("four bytes"))
}

/// Where the log would keep message `id`.
pub(super) fn stored(id: u32) -> Stored {
    Stored {
        lsn: Lsn(u64::from(id)),
        location: Location {
            segment: SegmentId(1),
            offset: id,
            length: 100,
        },
    }
}

pub(super) fn at(monotonic_ms: u64) -> Now {
    Now {
        monotonic_ms,
        wall_ms: monotonic_ms,
    }
}

pub(super) const DURABLE: Settings = Settings {
    levels: 1,
    default_priority: 0,
    recording: Recording::Persistent,
    sharing: Sharing::Competing,
    expiry: Expiry::OfHighest,
};

pub(super) const TRANSIENT: Settings = Settings {
    levels: 1,
    default_priority: 0,
    recording: Recording::Nothing,
    sharing: Sharing::Competing,
    expiry: Expiry::OfHighest,
};

/// Counts how often messages come back.
pub(super) fn counting() -> QueueTerms {
    QueueTerms {
        delivery_limit: Some(DeliveryLimit::Unlimited),
        ..QueueTerms::default()
    }
}

pub(super) fn consumer(key: u64) -> Consumer<ConsumerKey> {
    Consumer {
        key: ConsumerKey(key),
        handle: ConsumerKey(key),
        no_ack: false,
        prefetch: 0,
        priority: 0,
        exclusive: false,
    }
}

/// Takes as much as there is room for, consumer by consumer; without an entry, anything.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) room: HashMap<ConsumerKey, usize>,
    pub(super) taken: Vec<Delivery>,
    pub(super) offers: usize,
}

impl Sink<ConsumerKey> for Outbox {
    fn offer(&mut self, consumer: &ConsumerKey, delivery: Delivery) -> Result<(), Delivery> {
        self.offers += 1;
        assert_eq!(delivery.consumer, Some(*consumer));
        if let Some(room) = self.room.get_mut(consumer) {
            if *room == 0 {
                return Err(delivery);
            }
            *room -= 1;
        }
        self.taken.push(delivery);
        Ok(())
    }
}

/// A queue with what surrounds it reduced to vectors.
pub(super) struct Bench {
    pub(super) queue: QueueState<ConsumerKey>,
    pub(super) outbox: Outbox,
    pub(super) effects: Vec<Effect>,
    pub(super) now: Now,
}

impl Bench {
    pub(super) fn new(settings: Settings) -> Self {
        Self::with(QueueState::new(settings))
    }

    pub(super) fn with(queue: QueueState<ConsumerKey>) -> Self {
        Self {
            queue,
            outbox: Outbox::default(),
            effects: Vec::new(),
            now: at(1_000),
        }
    }

    pub(super) fn publish(&mut self, message: Message) -> Seq {
        let Admission::Accepted { seq, .. } =
            self.queue.enqueue(self.now, message, &mut self.effects);
        seq
    }

    /// Publishes transient messages with these numbers.
    pub(super) fn fill(&mut self, ids: std::ops::Range<u32>) -> Vec<Seq> {
        ids.map(|id| self.publish(message(id, false, 0))).collect()
    }

    /// Publishes persistent messages with these numbers, which the log has written.
    pub(super) fn fill_stored(&mut self, ids: std::ops::Range<u32>) -> Vec<Seq> {
        ids.map(|id| {
            let message = message(id, true, 0);
            message.set_stored(stored(id));
            self.publish(message)
        })
        .collect()
    }

    /// Dispatches and gives who got what.
    pub(super) fn dispatch(&mut self) -> Vec<(u64, u32)> {
        self.outbox.taken.clear();
        self.queue
            .dispatch(self.now, &mut self.outbox, &mut self.effects);
        self.outbox
            .taken
            .iter()
            .map(|delivery| {
                let key = delivery.consumer.expect("a consumer's delivery");
                (key.0, id(&delivery.message))
            })
            .collect()
    }

    /// Dispatches and gives what came out, whoever got it.
    pub(super) fn dispatched_ids(&mut self) -> Vec<u32> {
        self.dispatch().into_iter().map(|(_, id)| id).collect()
    }

    pub(super) fn settle(&mut self, seqs: &[Seq], settlement: Settlement) {
        self.queue
            .settle(self.now, seqs, settlement, &mut self.effects);
    }

    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Reports every lease that is wanted as written, and forgets the other effects.
    pub(super) fn write_leases(&mut self) {
        for effect in self.take_effects() {
            if let Effect::ExtendLease { up_to, generation } = effect {
                self.queue.lease_written(up_to, generation);
            }
        }
    }

    /// Answers everything that is wanted; index blocks hold all their places.
    pub(super) fn serve(&mut self) -> Served {
        let mut served = Served::default();
        for effect in self.take_effects() {
            match effect {
                Effect::ExtendLease { up_to, generation } => {
                    self.queue.lease_written(up_to, generation);
                }
                Effect::LoadBodies(wanted) => {
                    let ids = wanted.iter().map(|(_, stored)| stored.location.offset);
                    served.bodies.extend(ids);
                    let loaded = wanted.into_iter().map(|(seq, stored)| {
                        let body = message(stored.location.offset, true, 0);
                        (seq, Ok(body))
                    });
                    self.queue
                        .bodies_loaded(loaded.collect(), &mut self.effects);
                }
                Effect::LoadBlock { level, first } => {
                    served.blocks.push(first.position() / BLOCK_PLACES);
                    let block = entries(first.position()..first.position() + BLOCK_PLACES);
                    self.queue
                        .block_loaded(level, first, &block, &mut self.effects);
                }
                other @ (Effect::Settled(_)
                | Effect::SettledBlocks(_)
                | Effect::Requeued { .. }
                | Effect::DeadLetters(_)
                | Effect::Unused
                | Effect::Damaged { .. }
                | Effect::Missing { .. }) => served.other.push(other),
            }
        }
        served
    }

    /// Dispatches and serves until nothing more comes out.
    pub(super) fn drain(&mut self) -> Vec<u32> {
        let mut drained = Vec::new();
        loop {
            let some = self.dispatched_ids();
            if some.is_empty() && self.effects.is_empty() {
                return drained;
            }
            drained.extend(some);
            self.serve();
        }
    }
}

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) bodies: Vec<u32>,
    pub(super) blocks: Vec<u64>,
    pub(super) other: Vec<Effect>,
}

/// Index entries for these places of level 0, where message `n` is at position `n`.
pub(super) fn entries(positions: impl IntoIterator<Item = u64>) -> Vec<BlockEntry> {
    positions
        .into_iter()
        .map(|position| {
            let id = u32::try_from(position).expect("small");
            BlockEntry {
                seq: Seq::new(0, position),
                location: stored(id),
                bytes: 4 + id % 5,
                deadline_ms: 0,
                redelivered: false,
            }
        })
        .collect()
}
