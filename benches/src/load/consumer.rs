//! The consumers of one connection, each on a channel of its own, in one thread.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::load::latency::Latency;
use crate::load::shared::Shared;
use crate::load::stamp::Stamp;
use crate::load::tally::Tally;
use crate::wire::{
    ClientError, Connection, Delivery, DeliveryAssembler, MethodFrame, control, method,
};

/// When deliveries are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledge {
    /// By the broker, on delivery.
    Automatic,
    /// Each by an ack of its own.
    Each,
    /// That many by one ack.
    Every(u64),
}

/// What the consumers of one connection are to do.
#[derive(Debug)]
pub(crate) struct ConsumerPlan {
    /// The place of this connection's counters.
    pub(crate) index: usize,
    /// The queue of each consumer; channel n consumes from the n-th, counted from 1.
    pub(crate) queues: Vec<usize>,
    pub(crate) acknowledge: Acknowledge,
    pub(crate) body_bytes: usize,
    /// Messages sent in this time have their latency measured.
    pub(crate) measured: Range<u64>,
}

/// What the consumers of one connection saw.
#[derive(Debug)]
pub(crate) struct Consumed {
    /// The queue's number and what one consumer saw of it.
    pub(crate) tallies: Vec<(usize, Tally)>,
    pub(crate) latency: Latency,
}

/// The consumers on their connection.
#[derive(Debug)]
pub(crate) struct Consumers {
    plan: ConsumerPlan,
    connection: Connection,
    lanes: Vec<Lane>,
    shared: Arc<Shared>,
}

/// One consumer, and what it owes.
#[derive(Debug)]
struct Lane {
    queue: usize,
    assembler: DeliveryAssembler,
    tally: Tally,
    /// Delivered since the last ack.
    unacknowledged: u64,
    delivery_tag: u64,
    /// The ack frame, ready but for its tag.
    ack: Box<[u8]>,
}

impl Consumers {
    pub(crate) fn new(
        plan: ConsumerPlan,
        connection: Connection,
        shared: Arc<Shared>,
    ) -> Result<Self, ClientError> {
        let producers = shared.producers.len();
        let lane = |(channel, queue): (u16, &usize)| Lane::new(channel, *queue, producers, &plan);
        let lanes = (1..)
            .zip(&plan.queues)
            .map(lane)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            plan,
            connection,
            lanes,
            shared,
        })
    }

    /// Consumes until the run is finished.
    pub(crate) fn run(mut self) -> Result<Consumed, ClientError> {
        let mut latency = Latency::default();
        let mut acks = Vec::with_capacity(64 * 1024);
        while !self.shared.finished() {
            if !self.connection.read()? {
                continue;
            }
            let now = self.shared.now();
            while let Some(frame) = self.connection.next_frame()? {
                let lane = match frame.channel.checked_sub(1) {
                    Some(index) => self.lanes.get_mut(usize::from(index)),
                    None => None,
                };
                let Some(lane) = lane else {
                    let control = control(&frame)?;
                    self.connection.note(&control)?;
                    continue;
                };
                let Some(delivery) = lane.assembler.take(&frame)? else {
                    continue;
                };
                lane.acknowledge(&delivery, &self.plan, &mut acks);
                let sent_at = lane.count(&delivery, &self.shared)?;
                if let Some(sent_at) = sent_at.filter(|at| self.plan.measured.contains(at)) {
                    latency.record(now.saturating_sub(sent_at));
                }
            }
            if !acks.is_empty() {
                let shared = &self.shared;
                self.connection.write_unless(&acks, || shared.failed())?;
                acks.clear();
            }
            self.count(now);
        }
        if self.shared.failed() {
            return Err(ClientError::Stopped);
        }
        self.lanes
            .iter_mut()
            .for_each(|lane| lane.acknowledge_rest(&self.plan, &mut acks));
        self.connection.write(&acks)?;
        self.connection.close()?;
        let tallies = self
            .lanes
            .into_iter()
            .map(|lane| (lane.queue, lane.tally))
            .collect();
        Ok(Consumed { tallies, latency })
    }

    fn count(&self, now: u64) {
        let counters = &self.shared.consumers[self.plan.index];
        let (mut received, mut unique) = (0, 0);
        for lane in &self.lanes {
            received += lane.tally.received;
            unique += lane.tally.unique;
        }
        if counters.received.swap(received, Ordering::Relaxed) != received {
            counters.received_at.store(now, Ordering::Relaxed);
        }
        counters.unique.store(unique, Ordering::Relaxed);
    }
}

impl Lane {
    fn new(
        channel: u16,
        queue: usize,
        producers: usize,
        plan: &ConsumerPlan,
    ) -> Result<Self, ClientError> {
        let multiple = matches!(plan.acknowledge, Acknowledge::Every(_));
        let ack = MethodFrame::new(channel, method::BASIC_ACK)
            .u64(0)
            .u8(u8::from(multiple));
        Ok(Self {
            queue,
            assembler: DeliveryAssembler::new(plan.body_bytes),
            tally: Tally::new(producers),
            unacknowledged: 0,
            delivery_tag: 0,
            ack: ack.finish()?.into_boxed_slice(),
        })
    }

    /// Counts a delivery; gives the time its message was sent at, if it carries one.
    #[inline]
    fn count(&mut self, delivery: &Delivery, shared: &Shared) -> Result<Option<u64>, ClientError> {
        let Some(stamp) = Stamp::read(delivery.head()) else {
            self.tally.mark_unnumbered(delivery.redelivered);
            return Ok(None);
        };
        let producer = usize::from(stamp.producer);
        // Nothing is believed about a sequence number that was not sent.
        let stamped = shared.producers.get(producer);
        let stamped = stamped.map_or(0, |counters| counters.stamped.load(Ordering::Acquire));
        if stamp.sequence >= stamped {
            let (sequence, known) = (stamp.sequence, stamped);
            let wrong = format!("message {sequence} of producer {producer}, which sent {known}");
            return Err(ClientError::WrongMessage(wrong));
        }
        self.tally
            .mark(producer, stamp.sequence, delivery.redelivered);
        Ok(Some(stamp.sent_at))
    }

    #[inline]
    fn acknowledge(&mut self, delivery: &Delivery, plan: &ConsumerPlan, acks: &mut Vec<u8>) {
        self.delivery_tag = delivery.tag;
        self.unacknowledged += 1;
        let due = match plan.acknowledge {
            Acknowledge::Automatic => false,
            Acknowledge::Each => true,
            Acknowledge::Every(count) => self.unacknowledged >= count,
        };
        if due {
            self.unacknowledged = 0;
            self.append_ack(acks);
        }
    }

    fn acknowledge_rest(&mut self, plan: &ConsumerPlan, acks: &mut Vec<u8>) {
        if plan.acknowledge != Acknowledge::Automatic && self.unacknowledged > 0 {
            self.unacknowledged = 0;
            self.append_ack(acks);
        }
    }

    #[inline]
    fn append_ack(&self, acks: &mut Vec<u8>) {
        // Envelope and method id take eleven octets, then comes the tag.
        acks.extend_from_slice(&self.ack[..11]);
        acks.extend_from_slice(&self.delivery_tag.to_be_bytes());
        acks.extend_from_slice(&self.ack[19..]);
    }
}
