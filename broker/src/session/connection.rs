//! The one task of an open connection: socket, outbox, disk, heartbeat, shutdown.
//!
//! ```text
//! socket ──read──► Session::process ──► out ──write──► socket
//!                        ▲               ▲
//!        outbox, confirms┴───────────────┘
//! ```
//!
//! Reading and writing never wait for one another: a client that only writes is read for as long
//! as what it makes the server say fits the write buffer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::Sessions;
use super::core::{End, Session};
use super::greeting::{self, Failure};
use super::stream::{Input, Stream};
use crate::engine::{ClientDetails, Progress};
use crate::model::{AmqpError, ReplyCode, Shortage};
use crate::wire::frame::HEARTBEAT;
use crate::wire::method::{channel, connection};
use crate::wire::{FrameKind, FrameLimit, Method, scan};

/// Half-intervals without a byte after which a peer counts as gone (spec 1.7.2).
const SILENT_TICKS_MAX: u32 = 4;

/// How often a connection without heartbeats is looked at.
const TICK_WITHOUT_HEARTBEAT: Duration = Duration::from_secs(10);

/// The longest a peer may take to agree to a close (spec 1.8.2).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a peer whose stream makes no sense is given to read why.
const DESYNCHRONISED_TIMEOUT: Duration = Duration::from_secs(3);

/// A write buffer that grew beyond this is given back once it is empty.
const OUT_BYTES_KEPT: usize = 256 << 10;

/// No timer is set for longer than this.
const OVERDUE_WAIT_MAX: Duration = Duration::from_secs(3600);
/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    /// The client's.
    pub(super) peer: SocketAddr,
    /// The broker's.
    pub(super) local: SocketAddr,
}

/// Serves one connection to its end. `admitted` is dropped once the peer has logged in.
pub(super) async fn serve<R, W, G>(
    sessions: Arc<Sessions>,
    reader: R,
    writer: W,
    ends: Option<Ends>,
    admitted: G,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let peer = ends.map(|ends| ends.peer);
    let mut stream = Stream::new(reader, writer);
    let deadline = sessions.settings.handshake_timeout;
    let greeted =
        tokio::time::timeout(deadline, greeting::greet(&sessions, &mut stream, peer)).await;
    drop(admitted);
    let session = match greeted {
        Ok(Ok(session)) => session,
        Ok(Err(failure)) => return report(peer, &failure),
        Err(_) => return tracing::warn!(?peer, "handshake timed out"),
    };
    session.client.describe(details(&session, ends));
    let number = session.number();
    let mut connection = Connection::new(session, stream);
    match connection.run().await {
        Ok(()) => tracing::info!(connection = number, "connection closed"),
        Err(error) => tracing::warn!(connection = number, %error, "connection lost"),
    }
}

/// What others may see of a connection that has just been opened.
fn details(session: &Session, ends: Option<Ends>) -> ClientDetails {
    let (properties, tuning) = (&session.properties, &session.tuning);
    ClientDetails {
        ends: ends.map(|ends| (ends.peer, ends.local)),
        opened_ms: session.engine.now().wall_ms,
        mechanism: properties.mechanism,
        properties: properties.table.clone(),
        channel_max: tuning.channel_max,
        frame_max: tuning.frame_limit.frame_max(),
        heartbeat_seconds: tuning.heartbeat_seconds,
    }
}

fn report(peer: Option<SocketAddr>, failure: &Failure) {
    match failure {
        // Load balancers look whether the port answers (spec 1.1.4).
        Failure::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            tracing::debug!(?peer, "peer left during the handshake");
        }
        Failure::Io(error) => tracing::debug!(?peer, %error, "handshake broke off"),
        Failure::Protocol(hint) => tracing::warn!(?peer, hint, "peer does not speak AMQP 0-9-1"),
        Failure::Refused(error) => tracing::warn!(?peer, %error, "connection refused"),
    }
}

struct Connection<R, W> {
    session: Session,
    stream: Stream<R, W>,
    progress: watch::Receiver<Progress>,
    alarms: watch::Receiver<Shortage>,
    shutdown: watch::Receiver<Option<Arc<str>>>,
    ticks: Interval,
    /// How much of the session's output is on the socket.
    written: usize,
    silent_ticks: u32,
    wrote_since_tick: bool,
    last_write: Instant,
}

/// What woke the connection.
enum Event {
    Read(usize),
    Wrote(usize),
    Woken,
    Tick,
    Overdue,
    Shortage(Shortage),
    Shutdown(Arc<str>),
    Closed(Arc<str>),
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Connection<R, W> {
    fn new(mut session: Session, stream: Stream<R, W>) -> Self {
        let heartbeat = Duration::from_secs(u64::from(session.tuning.heartbeat_seconds)) / 2;
        let period = if heartbeat.is_zero() {
            TICK_WITHOUT_HEARTBEAT
        } else {
            heartbeat
        };
        let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut alarms = session.engine.alarms.watch();
        session.heed(*alarms.borrow_and_update());
        Self {
            progress: session.engine.progress(),
            alarms,
            shutdown: session.engine.clients.shutdown_signal(),
            session,
            stream,
            ticks,
            written: 0,
            silent_ticks: 0,
            wrote_since_tick: false,
            last_write: Instant::now(),
        }
    }

    async fn run(&mut self) -> io::Result<()> {
        loop {
            // Frames may have arrived together with the handshake's last one.
            if let Err(end) = self.process().await {
                return self.end(end).await;
            }
            self.session.deliver_confirms();
            self.session.drain_outbox();
            match self.next_event().await? {
                Event::Read(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Event::Read(count) => self.received(count),
                Event::Wrote(0) => return Err(io::ErrorKind::WriteZero.into()),
                Event::Wrote(count) => self.wrote(count),
                Event::Woken => {}
                Event::Tick => self.tick()?,
                Event::Overdue => self.session.take_back_overdue(),
                Event::Shortage(shortage) => self.session.heed(shortage),
                Event::Shutdown(reason) => {
                    let text = format!("broker forced connection closure with reason '{reason}'");
                    let error = AmqpError::new(ReplyCode::ConnectionForced, text);
                    return self.end(End::Error(error)).await;
                }
                Event::Closed(reason) => {
                    let error = AmqpError::new(ReplyCode::ConnectionForced, &*reason);
                    return self.end(End::Error(error)).await;
                }
            }
        }
    }

    fn may_read(&self) -> bool {
        self.may_answer() && !self.session.engine.is_store_full()
    }

    /// Whether the client may say anything, and what it may make the broker say has room.
    fn may_answer(&self) -> bool {
        self.session.out.len() - self.written < self.session.settings.write_buffer_bytes_max
            && !self.session.throttle.is_blocked()
    }

    async fn process(&mut self) -> Result<(), End> {
        if self.stream.input.bytes().is_empty() || !self.may_read() {
            return Ok(());
        }
        // What came after an alarm must not slip in because the news of it is still under way.
        let shortage = self.session.engine.alarms.shortage();
        self.session.heed(shortage);
        let consumed = self.session.process(self.stream.input.bytes()).await?;
        self.stream.input.consume(consumed);
        Ok(())
    }

    async fn next_event(&mut self) -> io::Result<Event> {
        // Asked once: what makes the socket wait must also be what wakes it.
        let store_is_full = self.session.engine.is_store_full();
        let may_read = self.may_answer() && !store_is_full;
        let awaits_disk = self.session.awaits_confirms() || store_is_full;
        let meter = &self.session.client.meter;
        meter.held.set((!may_read).into());
        let pending = self.session.out.len() - self.written;
        meter.pending_bytes.set(pending as u64);
        let has_output = self.session.out.len() > self.written;
        let has_room =
            self.session.out.len() - self.written < self.session.settings.write_buffer_bytes;
        let overdue = self.overdue_at();
        let Stream {
            reader,
            writer,
            input,
        } = &mut self.stream;
        tokio::select! {
            read = read(input, reader), if may_read => read.map(Event::Read),
            wrote = writer.write(&self.session.out[self.written..]), if has_output => {
                wrote.map(Event::Wrote)
            }
            () = self.session.outbox.changed(), if has_room => Ok(Event::Woken),
            changed = self.progress.changed(), if awaits_disk => match changed {
                Ok(()) => Ok(Event::Woken),
                Err(_) => Err(io::Error::other("the store is gone")),
            },
            changed = self.alarms.changed() => match changed {
                Ok(()) => Ok(Event::Shortage(*self.alarms.borrow_and_update())),
                Err(_) => Err(io::Error::other("the engine is gone")),
            },
            _ = self.ticks.tick() => Ok(Event::Tick),
            () = tokio::time::sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => {
                Ok(Event::Overdue)
            }
            reason = shutdown_reason(&mut self.shutdown) => Ok(Event::Shutdown(reason)),
            reason = self.session.client.closing() => Ok(Event::Closed(reason)),
        }
    }

    /// When a consumer may hold a delivery for too long.
    fn overdue_at(&self) -> Option<Instant> {
        let now_ms = self.session.engine.now().monotonic_ms;
        let due_ms = self.session.overdue_ms?;
        // Far off is soon enough to look again.
        let wait = Duration::from_millis(due_ms.saturating_sub(now_ms)).min(OVERDUE_WAIT_MAX);
        Some(Instant::now() + wait)
    }

    fn received(&mut self, count: usize) {
        self.silent_ticks = 0;
        let meter = &self.session.client.meter;
        meter.received_bytes.add(count as u64);
        meter.reads.add(1);
    }

    fn wrote(&mut self, count: usize) {
        let meter = &self.session.client.meter;
        meter.sent_bytes.add(count as u64);
        meter.writes.add(1);
        self.written += count;
        self.wrote_since_tick = true;
        self.last_write = Instant::now();
        if self.written == self.session.out.len() {
            self.written = 0;
            self.session.out.clear();
            if self.session.out.capacity() > OUT_BYTES_KEPT {
                self.session.out = Vec::new();
            }
        } else if self.written > self.session.out.len() / 2 {
            self.session.out.drain(..self.written);
            self.written = 0;
        }
    }

    fn tick(&mut self) -> io::Result<()> {
        let has_output = self.session.out.len() > self.written;
        if !has_output {
            self.last_write = Instant::now();
        } else if self.last_write.elapsed() > self.session.settings.write_timeout {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the peer does not read",
            ));
        }
        if self.session.tuning.heartbeat_seconds == 0 {
            return Ok(());
        }
        if !self.wrote_since_tick && !has_output {
            self.session.out.extend_from_slice(&HEARTBEAT);
        }
        self.wrote_since_tick = false;
        // While the socket is not read, silence is ours (spec 1.7.3).
        self.silent_ticks = if self.may_read() {
            self.silent_ticks + 1
        } else {
            0
        };
        if self.silent_ticks > SILENT_TICKS_MAX {
            let seconds = self.session.tuning.heartbeat_seconds;
            let text = format!("missed heartbeats from client, timeout: {seconds}s");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        Ok(())
    }

    /// Closes the connection for the given reason, and waits for the peer to take notice.
    async fn end(&mut self, end: End) -> io::Result<()> {
        // A broker that shuts down waits until the client was told.
        let _farewell = self.session.engine.clients.farewell();
        let heartbeat = Duration::from_secs(u64::from(self.session.tuning.heartbeat_seconds));
        let patience = if heartbeat.is_zero() {
            CLOSE_TIMEOUT
        } else {
            heartbeat.min(CLOSE_TIMEOUT)
        };
        let (error, patience) = match end {
            End::ClientClosed => {
                let farewell = self.write_out();
                return tokio::time::timeout(DESYNCHRONISED_TIMEOUT, farewell).await?;
            }
            End::Error(error) => (error, Some(patience)),
            End::Desynchronised(error) => (error, None),
        };
        tracing::warn!(
            connection = self.session.number(),
            code = error.code.number(),
            "connection error: {:?}",
            error.reply_text()
        );
        let ticket = self.session.release();
        // The client is told about its own mistake whatever becomes of the store.
        let _ = self.session.engine.durable(ticket).await;
        self.session.deliver_confirms();
        self.session.send_close(&error);
        let farewell = async {
            self.write_out().await?;
            match patience {
                Some(_) => self.await_close_ok().await,
                None => self.discard_input().await,
            }
        };
        tokio::time::timeout(patience.unwrap_or(DESYNCHRONISED_TIMEOUT), farewell).await?
    }

    async fn write_out(&mut self) -> io::Result<()> {
        self.stream
            .writer
            .write_all(&self.session.out[self.written..])
            .await?;
        self.session.out.clear();
        self.written = 0;
        self.stream.writer.flush().await
    }

    /// Spec 1.8.2: everything but `close` and `close-ok` is ignored.
    async fn await_close_ok(&mut self) -> io::Result<()> {
        let limit = self.session.tuning.frame_limit;
        loop {
            match take_farewell(&mut self.stream.input, limit)? {
                Some(Farewell::CloseOk) => return self.stream.writer.shutdown().await,
                Some(Farewell::Close) => {
                    self.session.reply(0, connection::CloseOk {});
                    self.write_out().await?;
                }
                None => self.stream.read_more().await?,
            }
        }
    }

    /// Reads until the peer leaves: closing with unread data would take back what was sent.
    async fn discard_input(&mut self) -> io::Result<()> {
        self.stream.writer.shutdown().await?;
        loop {
            let unread = self.stream.input.bytes().len();
            self.stream.input.consume(unread);
            self.stream.read_more().await?;
        }
    }
}

enum Farewell {
    Close,
    CloseOk,
}

/// Skips frames up to a close or close-ok of the connection; `None` if more must be read.
fn take_farewell(input: &mut Input, limit: FrameLimit) -> io::Result<Option<Farewell>> {
    while let Some((frame, length)) =
        scan(input.bytes(), limit).map_err(|error| io::Error::other(error.to_string()))?
    {
        let farewell = match (frame.kind, Method::parse(frame.payload(input.bytes()))) {
            (FrameKind::Method, Ok(Method::Connection(method))) if frame.channel == 0 => {
                match method {
                    connection::Method::Close(_) => Some(Farewell::Close),
                    connection::Method::CloseOk(_) => Some(Farewell::CloseOk),
                    _ => None,
                }
            }
            _ => None,
        };
        input.consume(length);
        if farewell.is_some() {
            return Ok(farewell);
        }
    }
    Ok(None)
}

async fn read(input: &mut Input, reader: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
    input.read_from(reader).await
}

/// Waits until the broker wants all connections closed.
async fn shutdown_reason(shutdown: &mut watch::Receiver<Option<Arc<str>>>) -> Arc<str> {
    match shutdown.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or_else(|| Arc::from("shutdown")),
        Err(_) => Arc::from("shutdown"),
    }
}

impl Method<'_> {
    /// Whether it settles deliveries.
    pub(super) fn is_settlement(&self) -> bool {
        use crate::wire::method::basic;
        matches!(
            self,
            Self::Basic(basic::Method::Ack(_) | basic::Method::Nack(_) | basic::Method::Reject(_))
        )
    }

    /// Whether it agrees to a closed channel.
    pub(super) fn is_close_ok(&self) -> bool {
        matches!(self, Self::Channel(channel::Method::CloseOk(_)))
    }
}
