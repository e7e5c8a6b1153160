//! A blocking connection: handshake, calls, and the raw reads and writes of the workers.

use std::io::{self, ErrorKind, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::wire::method::{self, MethodFrame};
use crate::wire::{Arguments, ClientError, Frame, FrameBuffer, FrameKind, Uri};

/// The largest frame asked for; a broker may lower it.
const FRAME_BYTES_MAX: u32 = 128 * 1024;
/// How long a blocking read or write lasts before the caller may look around.
const TURN: Duration = Duration::from_millis(100);
/// How long a broker may take for an answer, or for taking bytes, before it counts as stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a broker, past `connection.open-ok`.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: FrameBuffer,
    frame_bytes_max: usize,
    blocked_count: u64,
    server: String,
}

impl Connection {
    /// Connects, logs in, opens the virtual host. Heartbeats are declined.
    pub(crate) fn open(uri: &Uri) -> Result<Self, ClientError> {
        let failed = |source| ClientError::Connect {
            address: uri.address(),
            source,
        };
        let stream = connect(uri).map_err(failed)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TURN))?;
        stream.set_write_timeout(Some(TURN))?;
        let buffer = FrameBuffer::new(FRAME_BYTES_MAX as usize);
        let frame_bytes_max = FRAME_BYTES_MAX as usize;
        let mut connection = Self {
            stream,
            buffer,
            frame_bytes_max,
            blocked_count: 0,
            server: String::new(),
        };
        connection.shake_hands(uri)?;
        Ok(connection)
    }

    /// The agreed frame size, envelope included.
    pub(crate) fn frame_bytes_max(&self) -> usize {
        self.frame_bytes_max
    }

    /// How often the broker announced that it blocks publishers.
    pub(crate) fn blocked_count(&self) -> u64 {
        self.blocked_count
    }

    /// What the broker calls itself: product and version.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    fn shake_hands(&mut self, uri: &Uri) -> Result<(), ClientError> {
        self.write(b"AMQP\x00\x00\x09\x01")?;
        let start = self
            .answer(0, &[method::CONNECTION_START], "connection.start")?
            .1;
        let mut arguments = Arguments::new(&start);
        arguments.u16()?;
        self.server = server(arguments.long_string()?)?;
        let offered = String::from_utf8_lossy(arguments.long_string()?).into_owned();
        if !offered.split(' ').any(|mechanism| mechanism == "PLAIN") {
            return Err(ClientError::NoPlainLogin { offered });
        }
        let login = format!("\0{}\0{}", uri.user, uri.password);
        let start_ok = MethodFrame::new(0, method::CONNECTION_START_OK)
            .client_properties()
            .short_string("PLAIN")
            .long_string(login.as_bytes())
            .short_string("en_US")
            .finish()?;
        self.write(&start_ok)?;
        let tune = self
            .answer(0, &[method::CONNECTION_TUNE], "connection.tune")?
            .1;
        let mut arguments = Arguments::new(&tune);
        let channel_max = arguments.u16()?;
        let frame_max = match arguments.u32()? {
            0 => FRAME_BYTES_MAX,
            offered => offered.min(FRAME_BYTES_MAX),
        };
        self.frame_bytes_max = frame_max as usize;
        let mut bytes = MethodFrame::new(0, method::CONNECTION_TUNE_OK)
            .u16(channel_max)
            .u32(frame_max)
            .u16(0)
            .finish()?;
        let open = MethodFrame::new(0, method::CONNECTION_OPEN)
            .short_string(&uri.virtual_host)
            .short_string("")
            .u8(0)
            .finish()?;
        bytes.extend_from_slice(&open);
        self.call(&bytes, 0, method::CONNECTION_OPEN_OK, "connection.open-ok")?;
        Ok(())
    }

    /// Sends `request` and waits for the one answer to it; gives the answer's arguments.
    pub(crate) fn call(
        &mut self,
        request: &[u8],
        channel: u16,
        answer: u32,
        waiting_for: &'static str,
    ) -> Result<Vec<u8>, ClientError> {
        self.write(request)?;
        Ok(self.answer(channel, &[answer], waiting_for)?.1)
    }

    /// Waits for one of `accepted`; deliveries and confirms that come in between are dropped.
    pub(crate) fn answer(
        &mut self,
        channel: u16,
        accepted: &[u32],
        waiting_for: &'static str,
    ) -> Result<(u32, Vec<u8>), ClientError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(frame) = next_frame(&mut self.buffer)? {
                if frame.kind != FrameKind::Method {
                    continue;
                }
                let (id, arguments) = method::split(frame.payload)?;
                if frame.channel == channel && accepted.contains(&id) {
                    return Ok((id, arguments.to_vec()));
                }
                match control(&frame)? {
                    Control::Blocked => self.blocked_count += 1,
                    Control::Nothing => {}
                    Control::Other(id) if skipped_while_waiting(id) => {}
                    Control::Other(id) => {
                        return Err(ClientError::Unexpected {
                            got: method::name(id),
                            waiting_for,
                        });
                    }
                }
            }
            self.read()?;
            if Instant::now() > deadline {
                return Err(ClientError::Timeout {
                    waiting_for,
                    seconds: PATIENCE.as_secs(),
                });
            }
        }
    }

    /// Writes all of `bytes`, however long the broker holds them up within reason.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.write_unless(bytes, || false)
    }

    /// As `write`, but gives up, in the middle of a frame if need be, once `stop` says so.
    pub(crate) fn write_unless(
        &mut self,
        mut bytes: &[u8],
        stop: impl Fn() -> bool,
    ) -> Result<(), ClientError> {
        let mut deadline = None;
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(ClientError::Closed),
                Ok(count) => {
                    bytes = &bytes[count..];
                    deadline = None;
                }
                Err(error) if is_turn(&error) => {
                    if stop() {
                        return Err(ClientError::Stopped);
                    }
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
                    if Instant::now() > deadline {
                        let waiting_for = "room for more bytes";
                        let seconds = PATIENCE.as_secs();
                        return Err(ClientError::Timeout {
                            waiting_for,
                            seconds,
                        });
                    }
                }
                Err(error) => return Err(self.last_words(error)),
            }
        }
        Ok(())
    }

    /// Reads once; false when nothing came within a turn.
    pub(crate) fn read(&mut self) -> Result<bool, ClientError> {
        match self.buffer.fill(&mut self.stream) {
            Ok(0) => Err(ClientError::Closed),
            Ok(_) => Ok(true),
            Err(error) if is_turn(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads once if something comes within `wait`; false when nothing did.
    pub(crate) fn read_within(&mut self, wait: Duration) -> Result<bool, ClientError> {
        let timeout = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let mut sources = [PollFd::new(&self.stream, PollFlags::IN)];
        match poll(&mut sources, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(false),
            Ok(_) => self.read(),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// The next whole frame that was read.
    #[inline]
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame<'_>>, ClientError> {
        next_frame(&mut self.buffer)
    }

    /// Deals with a method that no worker waits for.
    pub(crate) fn note(&mut self, control: &Control) -> Result<(), ClientError> {
        match control {
            Control::Blocked => self.blocked_count += 1,
            Control::Nothing => {}
            Control::Other(id) => {
                let got = method::name(*id);
                return Err(ClientError::Unexpected {
                    got,
                    waiting_for: "a delivery or confirm",
                });
            }
        }
        Ok(())
    }

    /// A broker that closes says why before it hangs up; the reason beats "broken pipe".
    fn last_words(&mut self, error: io::Error) -> ClientError {
        while let Ok(true) = self.read() {
            loop {
                match next_frame(&mut self.buffer) {
                    Ok(Some(frame)) => {
                        if let Err(refused) = control(&frame) {
                            return refused;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return error,
                }
            }
        }
        error.into()
    }
}

/// What a frame outside the workers' own business means.
#[derive(Debug)]
pub(crate) enum Control {
    Blocked,
    Nothing,
    Other(u32),
}

/// Reads a frame for its effect on the whole connection: a close is an error.
pub(crate) fn control(frame: &Frame<'_>) -> Result<Control, ClientError> {
    if frame.kind != FrameKind::Method {
        return Ok(Control::Nothing);
    }
    let (id, arguments) = method::split(frame.payload)?;
    let scope = match id {
        method::CONNECTION_CLOSE => "connection",
        method::CHANNEL_CLOSE => "channel",
        method::CONNECTION_BLOCKED => return Ok(Control::Blocked),
        method::CONNECTION_UNBLOCKED => return Ok(Control::Nothing),
        other => return Ok(Control::Other(other)),
    };
    let mut arguments = Arguments::new(arguments);
    let code = arguments.u16()?;
    let text = String::from_utf8_lossy(arguments.short_string()?).into_owned();
    let method = arguments.u32()?;
    Err(ClientError::Refused {
        scope,
        code,
        text,
        method,
    })
}

/// The body size that a content header announces.
pub(crate) fn header_body_bytes(payload: &[u8]) -> Result<u64, ClientError> {
    let mut arguments = Arguments::new(payload);
    arguments.u16()?;
    arguments.u16()?;
    Ok(arguments.u64()?)
}

fn server(properties: &[u8]) -> Result<String, ClientError> {
    let text = |name| -> Result<String, ClientError> {
        let text = Arguments::text_in_table(properties, name)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    };
    // A broker that goes by another's name for its clients' sake says here what it is.
    let platform = text("platform")?;
    if platform.starts_with("Leveret ") {
        return Ok(platform);
    }
    Ok(format!("{} {}", text("product")?, text("version")?)
        .trim()
        .to_owned())
}

fn next_frame(buffer: &mut FrameBuffer) -> Result<Option<Frame<'_>>, ClientError> {
    let pending = buffer.pending();
    if pending.first() == Some(&b'A') {
        let answer = String::from_utf8_lossy(&pending[..pending.len().min(8)]).into_owned();
        return Err(ClientError::OtherProtocol(answer));
    }
    Ok(buffer.next()?)
}

fn skipped_while_waiting(id: u32) -> bool {
    let skipped = [
        method::BASIC_DELIVER,
        method::BASIC_ACK,
        method::BASIC_NACK,
        method::BASIC_CONSUME_OK,
        method::BASIC_CANCEL,
    ];
    skipped.contains(&id)
}

fn is_turn(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

fn connect(uri: &Uri) -> io::Result<TcpStream> {
    let mut last = None;
    for address in (uri.host.as_str(), uri.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, Duration::from_secs(10)) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(ErrorKind::NotFound, "no address")))
}
