//! The consumers of one connection, each on a channel of its own, in one thread.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::load::latency::Latency;
use crate::load::shared::Shared;
use crate::load::stamp::Stamp;
use crate::load::tally::Tally;
use crate::wire::{
    Arguments, ClientError, Connection, Frame, FrameKind, MethodFrame, control,
    header_body_bytes, method,
};

/// What a stamp takes of a body.
const STAMP_BYTES: usize = 16;

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

/// One consumer: the message it is in the middle of, and what it owes.
#[derive(Debug)]
struct Lane {
    queue: usize,
    tally: Tally,
    content: Content,
    redelivered: bool,
    delivery_tag: u64,
    /// Delivered since the last ack.
    unacknowledged: u64,
    head: [u8; STAMP_BYTES],
    head_bytes: usize,
    /// The ack frame, ready but for its tag.
    ack: Box<[u8]>,
}

/// Which frame of a message comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Method,
    Header,
    Body { missing: u64 },
}

impl Consumers {
    pub(crate) fn new(
        plan: ConsumerPlan,
        connection: Connection,
        shared: Arc<Shared>,
    ) -> Result<Self, ClientError> {
        let producers = shared.producers.len();
        let lane = |(channel, queue): (u16, &usize)| Lane::new(channel, *queue, producers, &plan);
        let lanes = (1..).zip(&plan.queues).map(lane).collect::<Result<_, _>>()?;
        Ok(Self { plan, connection, lanes, shared })
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
                if let Some(sent_at) = lane.take(&frame, &self.plan, &self.shared, &mut acks)?
                    && self.plan.measured.contains(&sent_at)
                {
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
        self.lanes.iter_mut().for_each(|lane| lane.acknowledge_rest(&self.plan, &mut acks));
        self.connection.write(&acks)?;
        self.connection.close()?;
        let tallies = self.lanes.into_iter().map(|lane| (lane.queue, lane.tally)).collect();
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
        let ack = MethodFrame::new(channel, method::BASIC_ACK).u64(0).u8(u8::from(multiple));
        Ok(Self {
            queue,
            tally: Tally::new(producers),
            content: Content::Method,
            redelivered: false,
            delivery_tag: 0,
            unacknowledged: 0,
            head: [0; STAMP_BYTES],
            head_bytes: 0,
            ack: ack.finish()?.into_boxed_slice(),
        })
    }

    /// Takes one frame; gives the send time of the message that it completes, if it has one.
    #[inline]
    fn take(
        &mut self,
        frame: &Frame<'_>,
        plan: &ConsumerPlan,
        shared: &Shared,
        acks: &mut Vec<u8>,
    ) -> Result<Option<u64>, ClientError> {
        match (self.content, frame.kind) {
            (Content::Method, FrameKind::Method) => {
                self.take_method(frame)?;
                return Ok(None);
            }
            (Content::Header, FrameKind::Header) => {
                let missing = header_body_bytes(frame.payload)?;
                if missing != plan.body_bytes as u64 {
                    let wrong = format!("{missing} body bytes instead of {}", plan.body_bytes);
                    return Err(ClientError::WrongMessage(wrong));
                }
                self.content = Content::Body { missing };
            }
            (Content::Body { missing }, FrameKind::Body) => {
                let size = frame.payload.len() as u64;
                let Some(missing) = missing.checked_sub(size) else {
                    let wrong = "more body than its header announced".to_owned();
                    return Err(ClientError::WrongMessage(wrong));
                };
                self.keep_head(frame.payload);
                self.content = Content::Body { missing };
            }
            (_, FrameKind::Method) => {
                control(frame)?;
                return Err(self.out_of_turn(frame));
            }
            (_, FrameKind::Header | FrameKind::Body | FrameKind::Heartbeat) => {
                return Err(self.out_of_turn(frame));
            }
        }
        if self.content == (Content::Body { missing: 0 }) {
            return self.complete(plan, shared, acks);
        }
        Ok(None)
    }

    #[inline]
    fn take_method(&mut self, frame: &Frame<'_>) -> Result<(), ClientError> {
        let (id, arguments) = method::split(frame.payload)?;
        match id {
            method::BASIC_DELIVER => {
                let mut arguments = Arguments::new(arguments);
                arguments.short_string()?;
                self.delivery_tag = arguments.u64()?;
                self.redelivered = arguments.u8()? & 1 != 0;
                self.content = Content::Header;
                self.head_bytes = 0;
                Ok(())
            }
            method::BASIC_CONSUME_OK => Ok(()),
            method::BASIC_CANCEL => {
                let got = "basic.cancel: the queue is gone".to_owned();
                Err(ClientError::Unexpected { got, waiting_for: "a delivery" })
            }
            _ => {
                control(frame)?;
                Err(self.out_of_turn(frame))
            }
        }
    }

    fn out_of_turn(&self, frame: &Frame<'_>) -> ClientError {
        let got = match (frame.kind, method::split(frame.payload)) {
            (FrameKind::Method, Ok((id, _))) => method::name(id),
            (kind, _) => format!("{kind:?} frame"),
        };
        let waiting_for = match self.content {
            Content::Method => "a delivery",
            Content::Header => "a content header",
            Content::Body { .. } => "a body",
        };
        ClientError::Unexpected { got, waiting_for }
    }

    #[inline]
    fn keep_head(&mut self, payload: &[u8]) {
        let count = payload.len().min(STAMP_BYTES - self.head_bytes);
        self.head[self.head_bytes..self.head_bytes + count].copy_from_slice(&payload[..count]);
        self.head_bytes += count;
    }

    /// Counts and acknowledges the message that is now whole.
    #[inline]
    fn complete(
        &mut self,
        plan: &ConsumerPlan,
        shared: &Shared,
        acks: &mut Vec<u8>,
    ) -> Result<Option<u64>, ClientError> {
        self.content = Content::Method;
        self.acknowledge(plan, acks);
        let Some(stamp) = Stamp::read(&self.head[..self.head_bytes]) else {
            self.tally.mark_unnumbered(self.redelivered);
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
        self.tally.mark(producer, stamp.sequence, self.redelivered);
        Ok(Some(stamp.sent_at))
    }

    #[inline]
    fn acknowledge(&mut self, plan: &ConsumerPlan, acks: &mut Vec<u8>) {
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
