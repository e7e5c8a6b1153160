//! An open connection without its socket: frames in, frames out.
//!
//! Owns its channels without locks. Publishes and settlements of one read are collected and handed
//! to their queues together, so that each queue is locked once per read; everything that must see
//! their effect flushes them first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::channel::{Channel, Mode, Phase};
use super::handshake::{ClientProperties, Tuning};
use super::rights::CurrentRights;
use super::routes::RouteCache;
use super::settings::SessionSettings;
use super::settlements::Settlements;
use super::throttle::{Change, Throttle};
use crate::engine::{
    Burst, Client, Engine, Event, Flushed, Outbox, Outgoing, Progress, Ticket, VirtualHost,
};
use crate::model::{AmqpError, ReplyCode, Scope, Shortage};
use crate::wire::method::{channel, connection};
use crate::wire::{FrameKind, FrameLimit, Method, RawFrame, encoder, scan};

/// What ends a session.
#[derive(Debug)]
pub(super) enum End {
    /// The client asked for it, and gets `close-ok`.
    ClientClosed,
    /// An error that the client is told.
    Error(AmqpError),
    /// An error after which the stream makes no sense any more; the client is told, and nothing
    /// of what it sends is read again.
    Desynchronised(AmqpError),
}

impl From<AmqpError> for End {
    fn from(error: AmqpError) -> Self {
        Self::Error(error)
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) engine: Arc<Engine>,
    pub(super) settings: Arc<SessionSettings>,
    pub(super) host: Arc<VirtualHost>,
    pub(super) client: Arc<Client>,
    pub(super) rights: CurrentRights,
    pub(super) routes: RouteCache,
    pub(super) properties: ClientProperties,
    pub(super) tuning: Tuning,
    pub(super) channels: BTreeMap<u16, Channel>,
    /// Numbers that were open once: a late settlement for them is a race, not a fault (spec 2.4).
    pub(super) closed_before: BTreeSet<u16>,
    pub(super) outbox: Arc<Outbox>,
    /// What is to be written to the socket.
    pub(super) out: Vec<u8>,
    pub(super) burst: Burst,
    pub(super) settlements: Settlements,
    /// Channels that published in confirm mode since the last flush.
    pub(super) confirming: BTreeSet<u16>,
    /// Channels with publishes that wait for the disk.
    pub(super) unconfirmed: BTreeSet<u16>,
    /// When a delivery may have been held for too long, in monotonic milliseconds.
    pub(super) overdue_ms: Option<u64>,
    pub(super) throttle: Throttle,
    drained: VecDeque<Outgoing>,
    released: bool,
}

impl Session {
    /// A connection that has just been opened.
    pub(super) fn new(
        engine: Arc<Engine>,
        settings: Arc<SessionSettings>,
        host: Arc<VirtualHost>,
        client: Arc<Client>,
        rights: CurrentRights,
        properties: ClientProperties,
        tuning: Tuning,
    ) -> Self {
        let outbox = Arc::new(Outbox::new(engine.settings().outbox_bytes));
        Self {
            engine,
            settings,
            host,
            client,
            rights,
            routes: RouteCache::default(),
            properties,
            tuning,
            channels: BTreeMap::new(),
            closed_before: BTreeSet::new(),
            outbox,
            out: Vec::new(),
            burst: Burst::default(),
            settlements: Settlements::default(),
            confirming: BTreeSet::new(),
            unconfirmed: BTreeSet::new(),
            overdue_ms: None,
            throttle: Throttle::default(),
            drained: VecDeque::new(),
            released: false,
        }
    }

    /// The connection's number in the broker.
    pub(super) fn number(&self) -> u64 {
        self.client.facts.number
    }

    /// Takes all complete frames of `input` and returns how many bytes they were.
    pub(super) async fn process(&mut self, input: &[u8]) -> Result<usize, End> {
        let mut consumed = 0;
        while self.out.len() < self.settings.write_buffer_bytes_max && !self.throttle.is_blocked() {
            let rest = &input[consumed..];
            let frame = match scan(rest, self.tuning.frame_limit) {
                Ok(Some((frame, length))) => {
                    consumed += length;
                    frame
                }
                Ok(None) => break,
                Err(error) => {
                    let is_readable = error.consumed().is_some();
                    let error = AmqpError::new(ReplyCode::FrameError, error.to_string());
                    return Err(if is_readable {
                        End::Error(error)
                    } else {
                        End::Desynchronised(error)
                    });
                }
            };
            self.frame(&frame, rest).await?;
            let change = self.throttle.taken(frame.kind);
            self.tell(change);
        }
        self.flush();
        Ok(consumed)
    }

    /// Takes notice of what is short now (spec 1.9.1).
    pub(super) fn heed(&mut self, shortage: Shortage) {
        let change = self.throttle.heed(shortage);
        self.tell(change);
    }

    fn tell(&mut self, change: Option<Change>) {
        let understands = self.properties.connection_blocked;
        match change {
            None => {}
            Some(Change::Blocked(reason)) => {
                self.client.blocked();
                if understands {
                    self.reply(0, connection::Blocked { reason });
                }
            }
            Some(Change::Unblocked) => {
                self.client.unblocked();
                if understands {
                    self.reply(0, connection::Unblocked {});
                }
            }
        }
    }

    async fn frame(&mut self, frame: &RawFrame, buffer: &[u8]) -> Result<(), End> {
        let payload = frame.payload(buffer);
        if frame.channel == 0 {
            return self.frame_on_connection(frame, buffer).await;
        }
        if frame.kind == FrameKind::Heartbeat {
            return Err(unexpected_frame(frame, buffer).into());
        }
        let Some(channel) = self.channels.get_mut(&frame.channel) else {
            return self.frame_on_unopened(frame, payload).await;
        };
        if channel.phase == Phase::Closing {
            return self.frame_on_closing(frame, payload);
        }
        let outcome = match frame.kind {
            FrameKind::Method => self.method(frame.channel, payload).await,
            FrameKind::Header => self.content_header(frame.channel, payload),
            FrameKind::Body => self.content_body(frame.channel, payload),
            FrameKind::Heartbeat => Ok(()),
        };
        match outcome {
            Err(error) if error.scope == Scope::Channel => {
                self.close_channel(frame.channel, &error);
                Ok(())
            }
            Err(error) => Err(error.into()),
            Ok(()) => Ok(()),
        }
    }

    async fn frame_on_connection(&mut self, frame: &RawFrame, buffer: &[u8]) -> Result<(), End> {
        match frame.kind {
            FrameKind::Heartbeat => Ok(()),
            FrameKind::Header | FrameKind::Body => Err(unexpected_frame(frame, buffer).into()),
            FrameKind::Method => {
                let method = parse(frame.payload(buffer))?;
                self.connection_method(&method).await
            }
        }
    }

    /// Spec 2.1 and 2.4.
    async fn frame_on_unopened(&mut self, frame: &RawFrame, payload: &[u8]) -> Result<(), End> {
        let expected_open = || AmqpError::new(ReplyCode::ChannelError, "expected 'channel.open'");
        if frame.kind != FrameKind::Method {
            return Err(expected_open().into());
        }
        let method = parse(payload)?;
        let blame = (method.class_id(), method.method_id());
        if let Method::Channel(channel::Method::Open(_)) = method {
            return self.open_channel(frame.channel).map_err(End::from);
        }
        let settles = method.is_settlement() || method.is_close_ok();
        if settles && self.closed_before.contains(&frame.channel) {
            return Ok(());
        }
        Err(expected_open().blaming(blame.0, blame.1).into())
    }

    /// Spec 2.3: everything is swallowed until the client agrees or closes the channel itself.
    fn frame_on_closing(&mut self, frame: &RawFrame, payload: &[u8]) -> Result<(), End> {
        if frame.kind != FrameKind::Method {
            return Ok(());
        }
        match Method::parse(payload) {
            Ok(Method::Channel(channel::Method::CloseOk(_))) => {
                self.forget_channel(frame.channel);
                Ok(())
            }
            Ok(Method::Channel(channel::Method::Close(_))) => {
                self.forget_channel(frame.channel);
                self.reply(frame.channel, channel::CloseOk {});
                Ok(())
            }
            Ok(Method::Channel(channel::Method::Open(_))) => Err(second_open().into()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn open_channel(&mut self, number: u16) -> Result<(), AmqpError> {
        let (open, max) = (self.channels.len(), usize::from(self.tuning.channel_max));
        if max != 0 && (open >= max || usize::from(number) > max) {
            let text = format!(
                "number of channels opened ({open}) has reached the negotiated channel_max ({max})"
            );
            return Err(AmqpError::new(ReplyCode::NotAllowed, text).blaming(20, 10));
        }
        let limits = self.channel_limits();
        self.engine
            .clients
            .open_channel(&self.client, limits)
            .map_err(|full| self.channels_full(full))?;
        let channel = Channel::new(number);
        let meter = Arc::clone(&channel.meter);
        self.client.meter.channel_opened(meter);
        self.channels.insert(number, channel);
        self.engine.counters.channels_created.add(1);
        self.reply(number, channel::OpenOk { channel_id: b"" });
        Ok(())
    }

    /// Ends a channel because of an error; the client must agree before the number is free.
    pub(super) fn close_channel(&mut self, number: u16, error: &AmqpError) {
        self.flush();
        self.deliver_confirms();
        self.release_channel(number);
        let text = error.reply_text();
        tracing::warn!(
            connection = self.number(),
            channel = number,
            code = error.code.number(),
            "channel error: {text:?}"
        );
        self.reply(
            number,
            channel::Close {
                reply_code: error.code.number(),
                reply_text: &text,
                class_id: error.method.class,
                method_id: error.method.method,
            },
        );
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.phase = Phase::Closing;
        }
    }

    /// Frees a channel's number.
    pub(super) fn forget_channel(&mut self, number: u16) {
        if self.channels.remove(&number).is_some() {
            self.closed_before.insert(number);
            self.engine.channel_gone(&self.host, &self.client, number);
            self.engine.clients.close_channel(&self.client);
            self.engine.counters.channels_closed.add(1);
        }
    }

    /// Appends a method to what is to be written.
    pub(super) fn reply<'a>(&mut self, channel: u16, method: impl Into<Method<'a>>) {
        // Every string in a reply is a short string that came from the wire or is cut to fit.
        let limit = self.limit();
        if let Err(error) = encoder::method(&mut self.out, channel, method, limit) {
            tracing::error!(%error, channel, "a reply could not be encoded");
        }
    }

    /// The largest frame that may be sent.
    pub(super) const fn limit(&self) -> FrameLimit {
        self.tuning.frame_limit
    }

    /// Hands collected publishes and settlements to their queues.
    pub(super) fn flush(&mut self) {
        if !self.burst.is_empty() || !self.confirming.is_empty() {
            let flushed = self.burst.flush(&self.engine);
            self.cover(flushed);
        }
        self.flush_settlements();
    }

    fn cover(&mut self, flushed: Flushed) {
        for origin in flushed.refused.iter().filter(|origin| origin.number > 0) {
            if let Some(Mode::Confirm(tracker)) = self
                .channels
                .get_mut(&origin.channel)
                .map(|channel| &mut channel.mode)
            {
                tracker.refuse(origin.number);
            }
        }
        for number in std::mem::take(&mut self.confirming) {
            if let Some(Mode::Confirm(tracker)) = self
                .channels
                .get_mut(&number)
                .map(|channel| &mut channel.mode)
            {
                tracker.cover(flushed.ticket);
                self.unconfirmed.insert(number);
            }
        }
    }

    /// Whether some publish waits for the disk.
    pub(super) fn awaits_confirms(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// Sends the confirms that can be sent.
    pub(super) fn deliver_confirms(&mut self) {
        if self.unconfirmed.is_empty() {
            return;
        }
        let progress = self.engine.store().progress();
        for number in std::mem::take(&mut self.unconfirmed) {
            self.deliver_confirms_of(number, &progress);
        }
    }

    fn deliver_confirms_of(&mut self, number: u16, progress: &Progress) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        if channel.phase != Phase::Open {
            return;
        }
        let Mode::Confirm(tracker) = &mut channel.mode else {
            return;
        };
        while let Some(confirm) = tracker.next(progress) {
            channel.meter.add(Event::Confirm, confirm.count);
            let encode = if confirm.accepted {
                encoder::ack
            } else {
                encoder::nack
            };
            encode(&mut self.out, number, confirm.number, confirm.multiple);
        }
        channel.meter.unconfirmed.set(tracker.unanswered());
        if tracker.is_waiting() {
            self.unconfirmed.insert(number);
        }
    }

    /// Moves deliveries from the outbox to what is to be written, as far as there is room.
    pub(super) fn drain_outbox(&mut self) {
        let room = self
            .settings
            .write_buffer_bytes
            .saturating_sub(self.out.len());
        if room > 0 && !self.outbox.is_empty() {
            self.drain(room);
        }
    }

    /// Moves deliveries worth `bytes` from the outbox to what is to be written.
    pub(super) fn drain(&mut self, bytes: usize) {
        let mut drained = std::mem::take(&mut self.drained);
        let starved = self.outbox.drain(bytes, &mut drained);
        for entry in drained.drain(..) {
            self.send(entry);
        }
        self.drained = drained;
        self.flush_settlements();
        for link in starved {
            link.queue.resume(&self.engine, &link);
        }
    }

    /// Gives everything back that the connection holds: consumers, deliveries, exclusive queues.
    /// The ticket covers what of it is durable.
    pub(super) fn release(&mut self) -> Ticket {
        if std::mem::replace(&mut self.released, true) {
            return Ticket::default();
        }
        let _ = self.burst.flush(&self.engine);
        self.flush_settlements();
        let numbers: Vec<u16> = self.channels.keys().copied().collect();
        let ticket = self.release_channels(&numbers);
        for number in numbers {
            self.forget_channel(number);
        }
        for entry in self.outbox.close() {
            self.give_back(entry);
        }
        self.flush_settlements();
        let deleted = self
            .host
            .delete_exclusive_queues(&self.engine, self.number());
        self.engine.client_gone(&self.host, &self.client);
        self.engine.counters.connections_closed.add(1);
        ticket.max(deleted)
    }

    /// Tells the client that the connection is over.
    pub(super) fn send_close(&mut self, error: &AmqpError) {
        let text = error.reply_text();
        self.reply(
            0,
            connection::Close {
                reply_code: error.code.number(),
                reply_text: &text,
                class_id: error.method.class,
                method_id: error.method.method,
            },
        );
    }
}

impl Drop for Session {
    // A session that panicked still gives back what it holds.
    fn drop(&mut self) {
        self.release();
    }
}

/// Reads a method or says what is wrong with it (spec 1.6.7, 1.6.8).
pub(super) fn parse(payload: &[u8]) -> Result<Method<'_>, AmqpError> {
    use crate::wire::MethodError;
    Method::parse(payload).map_err(|error| {
        let (class, method) = error.ids();
        let code = match error {
            MethodError::Unknown { .. } => ReplyCode::CommandInvalid,
            MethodError::Undecodable { .. } | MethodError::MalformedText { .. } => {
                ReplyCode::FrameError
            }
        };
        AmqpError::new(code, error.to_string()).blaming(class, method)
    })
}

/// Spec 2.1.
pub(super) fn second_open() -> AmqpError {
    AmqpError::new(ReplyCode::ChannelError, "second 'channel.open' seen").blaming(20, 10)
}

/// Spec 1.6.4.
fn unexpected_frame(frame: &RawFrame, buffer: &[u8]) -> AmqpError {
    AmqpError::new(
        ReplyCode::UnexpectedFrame,
        frame.describe(buffer).to_string(),
    )
}
