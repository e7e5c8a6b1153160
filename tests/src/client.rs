//! A small AMQP client on the raw peer: one request at a time, and everything else that arrives is
//! kept in its order, so that a test can say what came before what.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::outcome::{Close, Outcome};
use crate::raw::content::Properties;
use crate::raw::method::{self, Method, MethodId};
use crate::raw::value::{Table, one};
use crate::raw::{self, Frame, PATIENCE, PROTOCOL_HEADER, Peer};
use crate::received::Assembler;
use crate::target::Address;

pub use crate::received::{Delivery, Received, declared};

/// How to open a connection.
#[derive(Clone, Debug)]
pub struct Options {
    /// SASL mechanism.
    pub mechanism: String,
    /// SASL response; PLAIN with the address's user if `None`.
    pub response: Option<Vec<u8>>,
    /// Virtual host; the address's if `None`.
    pub virtual_host: Option<String>,
    /// Client properties.
    pub properties: Table,
    /// What tune-ok says; the server's own values if `None`.
    pub tune: Option<Tune>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mechanism: "PLAIN".to_owned(),
            response: None,
            virtual_host: None,
            properties: one("capabilities", all_capabilities()),
            tune: None,
        }
    }
}

/// The capabilities that a full client announces.
#[must_use]
pub fn all_capabilities() -> Table {
    [
        "consumer_cancel_notify",
        "connection.blocked",
        "authentication_failure_close",
    ]
    .iter()
    .fold(Table::new(), |table, name| table.with(name, true))
}

/// The arguments of connection.tune and tune-ok.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tune {
    /// Highest number of channels, 0 for no limit.
    pub channel_max: u16,
    /// Largest frame, 0 for no limit.
    pub frame_max: u32,
    /// Seconds, 0 for none.
    pub heartbeat: u16,
}

impl Tune {
    fn read(method: &Method) -> Result<Self> {
        let mut reader = method.reader();
        let (channel_max, frame_max) = (reader.u16()?, reader.u32()?);
        Ok(Self {
            channel_max,
            frame_max,
            heartbeat: reader.u16()?,
        })
    }
}

/// A client whose connection is open.
#[derive(Debug)]
pub struct Client {
    /// The connection beneath, for what this client would never send.
    pub peer: Peer,
    /// What the server's connection.tune said.
    pub offered: Tune,
    /// What was agreed.
    pub tune: Tune,
    /// The server's connection.start, arguments only.
    pub start: Method,
    pending: VecDeque<Received>,
    assembler: Assembler,
}

/// PLAIN's response.
#[must_use]
pub fn plain(user: &str, password: &str) -> Vec<u8> {
    format!("\0{user}\0{password}").into_bytes()
}

impl Client {
    /// Connects with `options`; anything but open-ok is an error.
    pub async fn connect(address: &Address, options: &Options) -> Result<Self> {
        match Self::try_connect(address, options).await? {
            Ok(client) => Ok(client),
            Err(outcome) => Err(outcome.unexpected("the connection was refused".to_owned())),
        }
    }

    /// Connects with `options`; a refusal is the inner error.
    pub async fn try_connect(
        address: &Address,
        options: &Options,
    ) -> Result<std::result::Result<Self, Outcome>> {
        let mut peer = Peer::connect(&address.socket).await?;
        peer.send(PROTOCOL_HEADER).await?;
        let start = peer.expect(0, method::CONNECTION_START).await?;
        let response = options.response.clone();
        let response = response.unwrap_or_else(|| plain(&address.user, &address.password));
        let start_ok = method::start_ok(&options.properties, &options.mechanism, &response);
        peer.send_method(0, &start_ok).await?;
        let offered = match Self::handshake_step(&mut peer, method::CONNECTION_TUNE).await? {
            Ok(tune) => Tune::read(&tune)?,
            Err(outcome) => return Ok(Err(outcome)),
        };
        let tune = options.tune.unwrap_or(offered);
        let tune_ok = method::tune_ok(tune.channel_max, tune.frame_max, tune.heartbeat);
        peer.send_method(0, &tune_ok).await?;
        let virtual_host = options
            .virtual_host
            .as_ref()
            .unwrap_or(&address.virtual_host);
        // A server that dislikes the tuning may have hung up by now.
        let open = Frame::method(0, &method::connection_open(virtual_host)).encode();
        peer.send_or_hang_up(&open).await;
        if let Err(outcome) = Self::handshake_step(&mut peer, method::CONNECTION_OPEN_OK).await? {
            return Ok(Err(outcome));
        }
        let (pending, assembler) = (VecDeque::new(), Assembler::default());
        Ok(Ok(Self {
            peer,
            offered,
            tune,
            start,
            pending,
            assembler,
        }))
    }

    async fn handshake_step(
        peer: &mut Peer,
        expected: MethodId,
    ) -> Result<std::result::Result<Method, Outcome>> {
        let Some((_, method)) = peer.method().await? else {
            return Ok(Err(Outcome::Dropped));
        };
        if method.id == method::CONNECTION_CLOSE {
            let close = Close::read(&method.arguments)?;
            peer.send_or_hang_up(&Frame::method(0, &close_ok(0)).encode())
                .await;
            return Ok(Err(Outcome::ConnectionClosed(close)));
        }
        ensure!(
            method.id == expected,
            "expected {expected:?}, got {method:?}"
        );
        Ok(Ok(method))
    }

    /// Opens a channel.
    pub async fn open(&mut self, channel: u16) -> Result<()> {
        self.ok(channel, method::channel_open()).await?;
        Ok(())
    }

    /// Sends a method and awaits nothing.
    pub async fn send(&mut self, channel: u16, method: &Method) -> Result<()> {
        self.peer.send_method(channel, method).await
    }

    /// Sends a method and awaits its reply, or what is said instead of it.
    pub async fn call(&mut self, channel: u16, method: Method) -> Result<Outcome> {
        self.peer
            .send_or_hang_up(&Frame::method(channel, &method).encode())
            .await;
        self.reply(channel).await
    }

    /// The next synchronous reply or close on a channel; everything else is kept for later.
    pub async fn reply(&mut self, channel: u16) -> Result<Outcome> {
        if let Some(outcome) = self.kept_close(channel).await? {
            return Ok(outcome);
        }
        loop {
            let Some(received) = self.receive(PATIENCE).await? else {
                return Ok(Outcome::Dropped);
            };
            if let Some(outcome) = self.as_close(channel, &received).await? {
                return Ok(outcome);
            }
            if received.channel == channel && !is_spontaneous(received.method.id) {
                return Ok(Outcome::Reply(Box::new(received)));
            }
            self.pending.push_back(received);
        }
    }

    async fn kept_close(&mut self, channel: u16) -> Result<Option<Outcome>> {
        let found = self.pending.iter().position(|kept| {
            kept.method.id == method::CONNECTION_CLOSE
                || kept.channel == channel && kept.method.id == method::CHANNEL_CLOSE
        });
        let Some(kept) = found.and_then(|index| self.pending.remove(index)) else {
            return Ok(None);
        };
        self.as_close(channel, &kept).await
    }

    /// Answers a close with its close-ok.
    async fn as_close(&mut self, channel: u16, received: &Received) -> Result<Option<Outcome>> {
        let (id, on) = (received.method.id, received.channel);
        if id == method::CONNECTION_CLOSE {
            let close = Close::read(&received.method.arguments)?;
            self.peer
                .send_or_hang_up(&Frame::method(0, &close_ok(0)).encode())
                .await;
            return Ok(Some(Outcome::ConnectionClosed(close)));
        }
        if id == method::CHANNEL_CLOSE && on == channel {
            let close = Close::read(&received.method.arguments)?;
            self.peer
                .send_or_hang_up(&Frame::method(on, &close_ok(on)).encode())
                .await;
            return Ok(Some(Outcome::ChannelClosed(close)));
        }
        Ok(None)
    }

    /// Sends a method which must succeed.
    pub async fn ok(&mut self, channel: u16, method: Method) -> Result<Received> {
        let id = method.id;
        match self.call(channel, method).await? {
            Outcome::Reply(received) => {
                let reply = received.method.id;
                let fits = reply.0 == id.0 && (reply.1 == id.1 + 1 || reply.1 == id.1 + 2)
                    || (id, reply) == (method::EXCHANGE_UNBIND, method::EXCHANGE_UNBIND_OK);
                ensure!(fits, "{id:?} was answered with {reply:?}");
                Ok(*received)
            }
            other => Err(other.unexpected(format!("{id:?} failed"))),
        }
    }

    /// Sends a method which must have the outcome that `expected` notes; a close must name the
    /// method.
    pub async fn expect(&mut self, channel: u16, method: Method, expected: &str) -> Result<()> {
        let id = method.id;
        let outcome = self.call(channel, method).await?;
        outcome
            .expect(expected)
            .with_context(|| format!("{id:?}"))?;
        if let Some(close) = outcome.close() {
            ensure!(
                close.method == id,
                "the close names {:?}, not {id:?}",
                close.method
            );
        }
        Ok(())
    }

    /// Sends a method that must be refused with a channel error, and opens the channel again.
    pub async fn refused(&mut self, channel: u16, method: Method, expected: &str) -> Result<()> {
        self.expect(channel, method, expected).await?;
        self.open(channel).await
    }

    /// The next thing to arrive, oldest first; an error if the connection ends.
    pub async fn next(&mut self) -> Result<Received> {
        if let Some(kept) = self.pending.pop_front() {
            return Ok(kept);
        }
        self.receive(PATIENCE)
            .await?
            .context("the connection ended")
    }

    /// The next thing to arrive, oldest first; `None` at the connection's end.
    pub async fn next_or_end(&mut self) -> Result<Option<Received>> {
        match self.pending.pop_front() {
            Some(kept) => Ok(Some(kept)),
            None => self.receive(PATIENCE).await,
        }
    }

    /// The oldest arrival that is this method on this channel; others stay kept.
    pub async fn next_of(&mut self, channel: u16, id: MethodId) -> Result<Received> {
        let fits = |kept: &Received| kept.channel == channel && kept.method.id == id;
        if let Some(kept) = self.pending.iter().position(fits) {
            return self.pending.remove(kept).context("just found");
        }
        loop {
            let received = self.receive(PATIENCE).await?;
            let received = received.with_context(|| format!("no {id:?}, the connection ended"))?;
            if fits(&received) {
                return Ok(received);
            }
            self.pending.push_back(received);
        }
    }

    /// What has arrived and was not asked for, oldest first.
    pub fn kept(&mut self) -> Vec<Received> {
        self.pending.drain(..).collect()
    }

    /// The next delivery on a channel.
    pub async fn delivery(&mut self, channel: u16) -> Result<Delivery> {
        Delivery::read(&self.next_of(channel, method::BASIC_DELIVER).await?)
    }

    /// Fails if a delivery from `queue` to `channel` is on its way or has come.
    ///
    pub async fn no_delivery(&mut self, channel: u16, queue: &str) -> Result<()> {
        self.flush(channel, queue).await?;
        let on_channel =
            |kept: &&Received| kept.channel == channel && kept.method.id == method::BASIC_DELIVER;
        let unexpected = self.pending.iter().find(on_channel);
        ensure!(unexpected.is_none(), "unexpected delivery: {unexpected:?}");
        Ok(())
    }

    /// Waits until what a queue has sent to this channel has arrived. A few round trips do that:
    /// in RabbitMQ one of them may overtake what waits at the queue, but each gives the queue time.
    pub async fn flush(&mut self, channel: u16, queue: &str) -> Result<()> {
        for _ in 0..3 {
            self.counts(channel, queue).await?;
        }
        Ok(())
    }

    /// Waits until everything sent on the channel so far has been worked on.
    pub async fn flush_channel(&mut self, channel: u16) -> Result<()> {
        self.ok(channel, method::basic_qos(0, 0, false)).await?;
        Ok(())
    }

    /// Ready messages and consumers, by passive declare.
    pub async fn counts(&mut self, channel: u16, queue: &str) -> Result<(u32, u32)> {
        let declare = method::queue_declare(queue, method::queue_bits::PASSIVE, &Table::new());
        declared(&self.ok(channel, declare).await?)
            .map(|(_, messages, consumers)| (messages, consumers))
    }

    /// The queue must come to hold this many ready messages, and no other number after that.
    pub async fn expect_ready(&mut self, channel: u16, queue: &str, ready: u32) -> Result<()> {
        self.await_ready(channel, queue, ready).await?;
        self.flush(channel, queue).await?;
        let (messages, _) = self.counts(channel, queue).await?;
        ensure!(
            messages == ready,
            "{queue} has {messages} ready messages instead of {ready}"
        );
        Ok(())
    }

    /// Waits until the queue holds this many ready messages; fails if it never does.
    pub async fn await_ready(&mut self, channel: u16, queue: &str, ready: u32) -> Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let (messages, _) = self.counts(channel, queue).await?;
            if messages == ready {
                return Ok(());
            }
            let late = tokio::time::Instant::now() > deadline;
            ensure!(
                !late,
                "{queue} has {messages} ready messages, never {ready}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends a whole message.
    pub async fn publish(
        &mut self,
        channel: u16,
        publish: Method,
        properties: &Properties,
        body: impl AsRef<[u8]>,
    ) -> Result<()> {
        let piece = match self.tune.frame_max {
            0 => 131_072,
            frame_max => frame_max as usize - 8,
        };
        let bytes = raw::publish_frames(channel, &publish, properties, body.as_ref(), piece);
        self.peer.send(&bytes).await
    }

    /// Sends a message to a queue through the default exchange.
    pub async fn put(&mut self, channel: u16, queue: &str, body: impl AsRef<[u8]>) -> Result<()> {
        let publish = method::basic_publish("", queue, 0);
        self.publish(channel, publish, &Properties::default(), body)
            .await
    }

    /// Fetches one message, `None` if the queue is empty.
    pub async fn get(
        &mut self,
        channel: u16,
        queue: &str,
        no_ack: bool,
    ) -> Result<Option<Delivery>> {
        let received = self.ok(channel, method::basic_get(queue, no_ack)).await?;
        if received.method.id == method::BASIC_GET_EMPTY {
            return Ok(None);
        }
        Delivery::read(&received).map(Some)
    }

    /// Fetches and settles one message that must be there.
    pub async fn take(&mut self, channel: u16, queue: &str) -> Result<Delivery> {
        self.get(channel, queue, true)
            .await?
            .with_context(|| format!("{queue} is empty"))
    }

    /// Fetches and settles all messages there are; their bodies as text.
    pub async fn take_all(&mut self, channel: u16, queue: &str) -> Result<Vec<String>> {
        let mut bodies = Vec::new();
        while let Some(message) = self.get(channel, queue, true).await? {
            bodies.push(message.text());
        }
        Ok(bodies)
    }

    /// Closes the connection in order. The socket is ours to end: RabbitMQ waits for that.
    pub async fn close(mut self) -> Result<()> {
        let outcome = self.call(0, method::connection_close()).await?;
        outcome.expect("ok")
    }

    /// The next whole method, with its content; `None` when the connection ends.
    async fn receive(&mut self, patience: Duration) -> Result<Option<Received>> {
        loop {
            let Some(frame) = self.peer.frame_within(patience).await? else {
                return Ok(None);
            };
            if frame.kind == raw::HEARTBEAT {
                continue;
            }
            if let Some(received) = self.assembler.take(frame)? {
                return Ok(Some(received));
            }
        }
    }
}

/// The close-ok for a channel, or for the connection if it is 0.
#[must_use]
pub fn close_ok(channel: u16) -> Method {
    Method::empty(if channel == 0 {
        method::CONNECTION_CLOSE_OK
    } else {
        method::CHANNEL_CLOSE_OK
    })
}

/// Whether a server sends this without being asked.
fn is_spontaneous(id: MethodId) -> bool {
    [
        method::BASIC_DELIVER,
        method::BASIC_RETURN,
        method::BASIC_ACK,
        method::BASIC_NACK,
        method::BASIC_CANCEL,
        method::CONNECTION_BLOCKED,
        method::CONNECTION_UNBLOCKED,
    ]
    .contains(&id)
}
