//! The handshake on a real stream: the typed states of `handshake`, with a deadline around them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::Sessions;
use super::core::{Session, parse};
use super::handshake::{AwaitStartOk, ClientProperties, OpenRequest, Refusal, Tuning};
use super::rights::CurrentRights;
use super::stream::Stream;
use crate::engine::{Client, ClientFacts, ConnectionLimits, Entrance, VirtualHost};
use crate::model::{AmqpError, ReplyCode};
use crate::wire::method::connection;
use crate::wire::{
    FrameKind, FrameLimit, Method, ProtocolGuess, ProtocolHeader, encoder, frame, scan,
};

/// How long a peer that was told why may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// Why no session came of a connection.
#[derive(Debug)]
pub(super) enum Failure {
    /// The peer left or the socket broke.
    Io(io::Error),
    /// The peer did not speak AMQP 0-9-1; it was told what to speak.
    Protocol(&'static str),
    /// It was refused.
    Refused(AmqpError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

enum Rejection {
    Failure(Failure),
    Refusal(Refusal),
}

impl From<io::Error> for Rejection {
    fn from(error: io::Error) -> Self {
        Self::Failure(error.into())
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

/// Leads a new connection to an open virtual host. `peer` is `None` inside the process.
pub(super) async fn greet<R, W>(
    sessions: &Sessions,
    stream: &mut Stream<R, W>,
    peer: Option<SocketAddr>,
) -> Result<Session, Failure>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    match negotiate(sessions, stream, peer).await {
        Ok(session) => Ok(session),
        Err(Rejection::Failure(failure)) => Err(failure),
        Err(Rejection::Refusal(Refusal::Silent(error))) => {
            tokio::time::sleep(sessions.settings.refusal_delay).await;
            Err(Failure::Refused(error))
        }
        Err(Rejection::Refusal(Refusal::Close(error))) => {
            say_goodbye(stream, &error).await;
            Err(Failure::Refused(error))
        }
    }
}

async fn negotiate<R, W>(
    sessions: &Sessions,
    stream: &mut Stream<R, W>,
    peer: Option<SocketAddr>,
) -> Result<Session, Rejection>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let settings = &sessions.settings;
    let mut out = Vec::new();
    protocol_header(stream).await?;
    let cluster_name = sessions.engine.cluster_name();
    let cluster_name = cluster_name.unwrap_or_else(|| settings.cluster_name.clone());
    let state = AwaitStartOk::start(settings, &cluster_name, &mut out);
    stream.write_all(&mut out).await?;

    let initial = FrameLimit::negotiated(settings.initial_frame_max).unwrap_or(FrameLimit::INITIAL);
    let login = next_method(stream, initial, |method| state.advance(method, settings)).await?;
    let checked = sessions
        .engine
        .authenticate(login.request.clone(), peer, Entrance::Amqp);
    let user = match checked.await {
        Ok(user) => user,
        Err(error) => {
            tracing::warn!(user = %login.request.user, ?peer, %error, "login refused");
            return Err(login.refused().into());
        }
    };
    let state = login.accepted(user.name.clone(), settings, &mut out);
    stream.write_all(&mut out).await?;

    let state = next_method(stream, initial, |method| state.advance(method, settings)).await?;
    let limit = state.frame_limit();
    let request = next_method(stream, limit, |method| state.advance(method)).await?;
    let session = open(sessions, request, peer)?;
    let reply = connection::OpenOk { known_hosts: "" };
    let _ = encoder::method(&mut out, 0, reply, limit);
    stream.write_all(&mut out).await?;
    Ok(session)
}

/// Reads the first eight bytes (spec 1.1).
async fn protocol_header<R, W>(stream: &mut Stream<R, W>) -> Result<(), Rejection>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    while stream.input.bytes().len() < ProtocolHeader::LENGTH {
        stream.read_more().await?;
    }
    let mut header = [0; ProtocolHeader::LENGTH];
    header.copy_from_slice(&stream.input.bytes()[..ProtocolHeader::LENGTH]);
    stream.input.consume(ProtocolHeader::LENGTH);
    match ProtocolHeader::parse(&header) {
        // A client of version 0-9 is answered with it all the same (spec 1.1.1).
        ProtocolHeader::Amqp091 | ProtocolHeader::Amqp09 => Ok(()),
        ProtocolHeader::Unsupported(guess) => {
            stream.writer.write_all(&ProtocolHeader::SUPPORTED).await?;
            stream.writer.shutdown().await?;
            let hint = match guess {
                ProtocolGuess::Tls => "a TLS client on a port without TLS",
                ProtocolGuess::Http => "an HTTP client on the AMQP port",
                ProtocolGuess::OtherAmqp | ProtocolGuess::Unknown => "an unknown protocol header",
            };
            Err(Rejection::Failure(Failure::Protocol(hint)))
        }
    }
}

/// Reads the next method on channel 0 and lets the state take it.
async fn next_method<R, W, T>(
    stream: &mut Stream<R, W>,
    limit: FrameLimit,
    advance: impl FnOnce(&Method<'_>) -> Result<T, Refusal>,
) -> Result<T, Rejection>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        let scanned = scan(stream.input.bytes(), limit).map_err(|error| {
            Refusal::Silent(AmqpError::new(ReplyCode::FrameError, error.to_string()))
        })?;
        let Some((frame, length)) = scanned else {
            stream.read_more().await?;
            continue;
        };
        if frame.kind == FrameKind::Heartbeat && frame.channel == 0 {
            stream.input.consume(length);
            continue;
        }
        if frame.kind != FrameKind::Method || frame.channel != 0 {
            let text = frame.describe(stream.input.bytes()).to_string();
            return Err(Refusal::Silent(AmqpError::new(ReplyCode::UnexpectedFrame, text)).into());
        }
        let state = {
            let payload = frame.payload(stream.input.bytes());
            let method = parse(payload).map_err(Refusal::Silent)?;
            advance(&method)
        };
        stream.input.consume(length);
        return Ok(state?);
    }
}

/// Lets the user into the virtual host, in the order of spec 1.5.1.
fn open(
    sessions: &Sessions,
    request: OpenRequest,
    peer: Option<SocketAddr>,
) -> Result<Session, Refusal> {
    enter(sessions, request, peer).map_err(|error| Refusal::Close(error.blaming(10, 40)))
}

fn enter(
    sessions: &Sessions,
    request: OpenRequest,
    peer: Option<SocketAddr>,
) -> Result<Session, AmqpError> {
    let engine = &sessions.engine;
    let max = sessions.settings.connections_max;
    if engine.clients.count() >= max {
        return Err(AmqpError::node_full(max));
    }
    let host = engine
        .virtual_host(&request.virtual_host)
        .ok_or_else(|| AmqpError::no_virtual_host(&request.virtual_host))?;
    let table = engine.access.table();
    let user = table.user(request.user.as_str());
    let limits = ConnectionLimits {
        virtual_host: host.limits().connections(),
        user: user.and_then(|user| user.limits.connections()),
    };
    let facts = ClientFacts {
        number: engine.clients.next_number(),
        user: request.user,
        virtual_host: host.name().clone(),
        name: request.client.connection_name.clone(),
    };
    let client = engine.clients.admit(facts, limits)?;
    let session = session(sessions, client, host, request.client, request.tuning);
    // Asked once the connection is known: whoever deletes the user or the host meanwhile either has
    // done it by now, or finds the connection and closes it. A session that is dropped is forgotten.
    let facts = &session.client.facts;
    if engine.virtual_host(facts.virtual_host.as_str()).is_none() {
        return Err(AmqpError::no_virtual_host(facts.virtual_host.as_str()));
    }
    if !session.rights.current().may_enter() {
        return Err(AmqpError::virtual_host_refused(
            &facts.virtual_host,
            &facts.user,
        ));
    }
    tracing::info!(
        connection = facts.number,
        peer = peer.map(tracing::field::display),
        user = %facts.user,
        vhost = %facts.virtual_host,
        name = facts.name.as_deref(),
        "user authenticated and granted access to vhost"
    );
    Ok(session)
}

fn session(
    sessions: &Sessions,
    client: Arc<Client>,
    host: Arc<VirtualHost>,
    properties: ClientProperties,
    tuning: Tuning,
) -> Session {
    let engine = &sessions.engine;
    engine.counters.connections_created.add(1);
    let generation = engine.access.generation();
    let rights = engine
        .access
        .rights(&client.facts.user, &client.facts.virtual_host);
    Session::new(
        Arc::clone(engine),
        Arc::clone(&sessions.settings),
        host,
        client,
        CurrentRights::new(rights, generation),
        properties,
        tuning,
    )
}

/// Tells the peer why and waits a moment for it to take the news.
async fn say_goodbye<R, W>(stream: &mut Stream<R, W>, error: &AmqpError)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut out = Vec::new();
    let text = error.reply_text();
    let close = connection::Close {
        reply_code: error.code.number(),
        reply_text: &text,
        class_id: error.method.class,
        method_id: error.method.method,
    };
    if encoder::method(&mut out, 0, close, FrameLimit::INITIAL).is_err() {
        return;
    }
    let exchange = async {
        stream.write_all(&mut out).await?;
        await_close_ok(stream).await
    };
    // Whether it answers or not, the connection ends here.
    let _ = tokio::time::timeout(GOODBYE, exchange).await;
}

async fn await_close_ok<R, W>(stream: &mut Stream<R, W>) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        while let Ok(Some((frame, length))) = scan(stream.input.bytes(), FrameLimit::UNLIMITED) {
            let is_close_ok = frame
                .payload(stream.input.bytes())
                .starts_with(&[0, 10, 0, 51]);
            stream.input.consume(length);
            if is_close_ok {
                return stream.writer.shutdown().await;
            }
        }
        if stream.input.bytes().len() > frame::ENVELOPE_LENGTH + FrameLimit::INITIAL.payload_max() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        stream.read_more().await?;
    }
}
