//! A scripted peer: bytes, frames and methods sent and expected one by one.
//!
//! It shares no code with the broker on purpose, so that a mistake in the broker's codec cannot
//! hide behind the same mistake here. It never answers by itself; [`crate::client`] does.

pub mod bytes;
pub mod content;
pub mod method;
pub mod value;

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use bytes::{Reader, Writer};
use content::{Properties, header_payload};
use method::{Method, MethodId};

/// How long a peer waits for what it expects before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The eight bytes that open AMQP 0-9-1.
pub const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";

/// Type octet of a method frame.
pub const METHOD: u8 = 1;
/// Type octet of a content header frame.
pub const HEADER: u8 = 2;
/// Type octet of a content body frame.
pub const BODY: u8 = 3;
/// Type octet of a heartbeat frame.
pub const HEARTBEAT: u8 = 8;
/// The octet that ends each frame.
pub const FRAME_END: u8 = 0xCE;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Type octet.
    pub kind: u8,
    /// Channel number.
    pub channel: u16,
    /// Payload, without the end octet.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame holding `method`.
    #[must_use]
    pub fn method(channel: u16, method: &Method) -> Self {
        Self {
            kind: METHOD,
            channel,
            payload: method.payload(),
        }
    }

    /// A content header frame.
    #[must_use]
    pub fn header(channel: u16, body_size: u64, properties: &Properties) -> Self {
        Self {
            kind: HEADER,
            channel,
            payload: header_payload(body_size, &properties.encode()),
        }
    }

    /// A content body frame.
    #[must_use]
    pub fn body(channel: u16, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind: BODY,
            channel,
            payload: payload.into(),
        }
    }

    /// A heartbeat.
    #[must_use]
    pub fn heartbeat() -> Self {
        Self {
            kind: HEARTBEAT,
            channel: 0,
            payload: Vec::new(),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let writer = Writer::new()
            .u8(self.kind)
            .u16(self.channel)
            .long(&self.payload);
        writer.u8(FRAME_END).finish()
    }

    /// The method in it.
    pub fn to_method(&self) -> Result<Method> {
        ensure!(self.kind == METHOD, "expected a method frame, got {self:?}");
        let mut reader = Reader::new(&self.payload);
        let id = MethodId(reader.u16()?, reader.u16()?);
        Ok(Method {
            id,
            arguments: reader.rest().to_vec(),
        })
    }
}

/// Frames of a message: publish method, header, and the body in pieces of at most `piece` bytes.
#[must_use]
pub fn publish_frames(
    channel: u16,
    publish: &Method,
    properties: &Properties,
    body: &[u8],
    piece: usize,
) -> Vec<u8> {
    let mut bytes = Frame::method(channel, publish).encode();
    bytes.extend(Frame::header(channel, body.len() as u64, properties).encode());
    for part in body.chunks(piece) {
        bytes.extend(Frame::body(channel, part).encode());
    }
    bytes
}

/// A TCP connection that speaks only as scripted.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    /// Connects, sends nothing.
    pub async fn connect(address: &str) -> Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address))
            .await
            .with_context(|| format!("connecting to {address} took too long"))?
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        timeout(PATIENCE, self.stream.write_all(bytes))
            .await
            .context("the peer does not read")??;
        Ok(())
    }

    /// Sends bytes, or as many as the other side takes before it hangs up.
    pub async fn send_or_hang_up(&mut self, bytes: &[u8]) {
        // The error, if any, is the hang-up that the caller goes on to expect.
        let _ = timeout(PATIENCE, self.stream.write_all(bytes)).await;
    }

    /// Sends a frame.
    pub async fn send_frame(&mut self, frame: &Frame) -> Result<()> {
        self.send(&frame.encode()).await
    }

    /// Sends a method.
    pub async fn send_method(&mut self, channel: u16, method: &Method) -> Result<()> {
        self.send_frame(&Frame::method(channel, method)).await
    }

    /// Ends our direction of the connection; the other still works.
    pub async fn finish_sending(&mut self) -> Result<()> {
        Ok(self.stream.shutdown().await?)
    }

    /// Exactly this many bytes, or `None` when the connection ends before the first.
    pub async fn bytes(&mut self, count: usize) -> Result<Option<Vec<u8>>> {
        self.bytes_within(count, PATIENCE).await
    }

    /// Reads until `count` bytes are there; what came stays if time runs out.
    async fn bytes_within(&mut self, count: usize, patience: Duration) -> Result<Option<Vec<u8>>> {
        if !self.fill(count, patience).await? {
            return Ok(None);
        }
        Ok(Some(self.received.drain(..count).collect()))
    }

    async fn fill(&mut self, count: usize, patience: Duration) -> Result<bool> {
        let deadline = tokio::time::Instant::now() + patience;
        while self.received.len() < count {
            let read = self.stream.read_buf(&mut self.received);
            let read = tokio::time::timeout_at(deadline, read);
            match read.await.context("nothing came in time")? {
                Ok(0) if self.received.is_empty() => return Ok(false),
                Ok(0) => bail!("the connection ended inside a frame: {:?}", self.received),
                Ok(_) => {}
                // A socket that is closed with unread input resets; the peer hung up all the same.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// The next frame, or `None` at the end of the connection.
    pub async fn frame(&mut self) -> Result<Option<Frame>> {
        self.frame_within(PATIENCE).await
    }

    /// The next frame, waiting no longer than `patience`; an error if time runs out, and nothing
    /// is lost then.
    pub async fn frame_within(&mut self, patience: Duration) -> Result<Option<Frame>> {
        if !self.fill(7, patience).await? {
            return Ok(None);
        }
        let mut reader = Reader::new(&self.received);
        let (kind, channel, size) = (reader.u8()?, reader.u16()?, reader.u32()? as usize);
        ensure!(
            size <= 1 << 24,
            "a frame of {size} bytes, first bytes {:?}",
            &self.received[..7]
        );
        if !self.fill(size + 8, patience).await? {
            return Ok(None);
        }
        let bytes: Vec<u8> = self.received.drain(..size + 8).collect();
        ensure!(
            bytes[size + 7] == FRAME_END,
            "bad end octet {:#x}",
            bytes[size + 7]
        );
        Ok(Some(Frame {
            kind,
            channel,
            payload: bytes[7..size + 7].to_vec(),
        }))
    }

    /// The next method other than heartbeats, or `None` at the end of the connection.
    pub async fn method(&mut self) -> Result<Option<(u16, Method)>> {
        loop {
            match self.frame().await? {
                Some(frame) if frame.kind == HEARTBEAT => {}
                Some(frame) => return Ok(Some((frame.channel, frame.to_method()?))),
                None => return Ok(None),
            }
        }
    }

    /// The next frame must be this method on this channel.
    pub async fn expect(&mut self, channel: u16, id: MethodId) -> Result<Method> {
        let Some((on, method)) = self.method().await? else {
            bail!("expected {id:?}, the connection ended");
        };
        ensure!(
            on == channel && method.id == id,
            "expected {id:?}, got {on} {method:?}"
        );
        Ok(method)
    }

    /// The connection must end now, with nothing more in it.
    pub async fn expect_end(&mut self) -> Result<()> {
        match self.bytes(1).await? {
            None => Ok(()),
            Some(byte) => bail!("expected the end, got {byte:?} and {:?}", self.received),
        }
    }

    /// Reads and forgets until the connection ends.
    pub async fn drain(&mut self) -> Result<()> {
        while let Some(bytes) = self.bytes(self.received.len().max(1)).await? {
            drop(bytes);
        }
        Ok(())
    }
}
