//! A gateway's WebSocket. The one file of the client that knows the WebSocket library.
//!
//! One task has the socket. Nothing is acknowledged: who was away asks for what it missed, and so does whom
//! the gateway tells that events may be lost. A client that does not keep up is disconnected, and asks then.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{SinkExt as _, StreamExt as _};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{AckToken, Arrived, ClientTransport, ConnectError, Connector, TransportError};
use crate::message::{
    ByeCode, ClientFrame, ClientSays, Command, Event, Hello, RejectionCode, Reply, Request,
    ServerFrame, envelope,
};

/// For everything that should be answered at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// For a confirm; then the post is sent again.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(5);
/// Events that nobody has taken, at most.
const EVENTS_MAX: usize = 4096;
/// Frames that are not written, at most.
const FRAMES_MAX: usize = 256;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects a device to a gateway.
#[derive(Clone)]
pub struct WebSocketConnector {
    /// `http://host:port`, to be shown.
    url: String,
    /// The login's token.
    token: String,
}

impl std::fmt::Debug for WebSocketConnector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("WebSocketConnector")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl WebSocketConnector {
    /// To the service at `http://host:port`, with a login's token; an error says what is wrong with the
    /// URL.
    pub fn new(url: &str, token: &str) -> Result<Self, String> {
        if url.starts_with("https://") {
            return Err(
                "this client speaks no TLS: put it behind a proxy that does, or use http://"
                    .to_owned(),
            );
        }
        if !url.starts_with("http://") {
            return Err(format!("{url:?} is no http URL"));
        }
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
        })
    }

    fn unreachable(&self, reason: impl ToString) -> ConnectError {
        ConnectError::Unreachable {
            peer: self.url.clone(),
            reason: reason.to_string(),
        }
    }

    async fn open(&self) -> Result<Socket, ConnectError> {
        let address = self.url.replacen("http://", "ws://", 1);
        let opened = connect_async(format!("{address}/v1/socket")).await;
        let (mut socket, _) = opened.map_err(|error| self.unreachable(error))?;
        let hello = ClientFrame {
            nr: None,
            says: ClientSays::Hello(Hello {
                token: self.token.clone(),
                resume: Vec::new(),
            }),
        };
        write(&mut socket, &hello)
            .await
            .map_err(|reason| self.unreachable(reason))?;
        loop {
            match read(&mut socket).await {
                Ok(Some(ServerFrame::Ready { .. })) => return Ok(socket),
                Ok(Some(ServerFrame::Bye { code })) => {
                    let (peer, reason) = (self.url.clone(), code.to_string());
                    return Err(match code {
                        ByeCode::NotLoggedIn => ConnectError::Denied { peer, reason },
                        ByeCode::TooManyConnections
                        | ByeCode::Idle
                        | ByeCode::TooSlow
                        | ByeCode::RateLimited
                        | ByeCode::Protocol
                        | ByeCode::Stopping
                        | ByeCode::Unknown => self.unreachable(reason),
                    });
                }
                Ok(_) => {}
                Err(reason) => return Err(self.unreachable(reason)),
            }
        }
    }
}

#[async_trait]
impl Connector for WebSocketConnector {
    async fn connect(&self) -> Result<Box<dyn ClientTransport>, ConnectError> {
        let opened = timeout(PATIENCE, self.open()).await;
        let socket = opened.map_err(|_| self.unreachable("no answer in time"))??;
        let (frames, to_write) = mpsc::channel(FRAMES_MAX);
        let (news, arrived) = mpsc::channel(EVENTS_MAX);
        let waiting = Waiting::default();
        let why = Arc::new(Mutex::new("the connection ended".to_owned()));
        let task = Task {
            socket,
            to_write,
            news,
            waiting: waiting.clone(),
            why: why.clone(),
        };
        Ok(Box::new(WebSocketTransport {
            frames,
            news: tokio::sync::Mutex::new(arrived),
            waiting,
            why,
            number: AtomicU64::new(1),
            task: tokio::spawn(task.run()),
        }))
    }

    fn peer(&self) -> String {
        self.url.clone()
    }
}

/// What the gateway answers to something with a number.
enum Answer {
    Kept,
    Refused { code: RejectionCode, retry: bool },
    Reply(Box<Reply>),
}

/// What the gateway says by itself.
#[derive(Debug)]
enum News {
    Event(Event),
    /// Some of what it would have said is lost.
    Missed,
}

/// What has no answer yet.
type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Answer>>>>;

async fn write(socket: &mut Socket, frame: &ClientFrame) -> Result<(), String> {
    // JSON is UTF-8.
    let text = String::from_utf8(envelope::encode(frame)).map_err(|error| error.to_string())?;
    let sent = socket.send(Message::text(text)).await;
    sent.map_err(|error| error.to_string())
}

/// The next frame; `None` for what is not one of the chat's.
async fn read(socket: &mut Socket) -> Result<Option<ServerFrame>, String> {
    match socket.next().await {
        Some(Ok(Message::Text(text))) => match envelope::decode(text.as_bytes()) {
            Ok(frame) => Ok(Some(frame)),
            Err(error) => {
                tracing::warn!(reason = error.reason, "a frame that cannot be read");
                Ok(None)
            }
        },
        Some(Ok(Message::Close(_))) | None => Err("the gateway ended it".to_owned()),
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) => Err(error.to_string()),
    }
}

struct Task {
    socket: Socket,
    to_write: mpsc::Receiver<ClientFrame>,
    news: mpsc::Sender<News>,
    waiting: Waiting,
    why: Arc<Mutex<String>>,
}

impl Task {
    async fn run(mut self) {
        let reason = self.talk().await;
        *self.why.lock() = reason;
        // Nobody is answered any more.
        self.waiting.lock().clear();
        // It may be closed already.
        let _ = timeout(PATIENCE, self.socket.close(None)).await;
    }

    /// Why it ended.
    async fn talk(&mut self) -> String {
        loop {
            let frame = tokio::select! {
                frame = self.to_write.recv() => {
                    let Some(frame) = frame else { return "closed".to_owned() };
                    if let Err(reason) = write(&mut self.socket, &frame).await {
                        return reason;
                    }
                    continue;
                }
                frame = read(&mut self.socket) => frame,
            };
            let frame = match frame {
                Ok(Some(frame)) => frame,
                Ok(None) => continue,
                Err(reason) => return reason,
            };
            match frame {
                ServerFrame::Kept { nr } => self.answer(nr, Answer::Kept),
                ServerFrame::Refused {
                    nr: Some(nr),
                    code,
                    retry,
                } => self.answer(nr, Answer::Refused { code, retry }),
                ServerFrame::Answer { nr, reply } => {
                    self.answer(nr, Answer::Reply(Box::new(reply)));
                }
                ServerFrame::Ping => {
                    let pong = ClientFrame {
                        nr: None,
                        says: ClientSays::Pong,
                    };
                    if let Err(reason) = write(&mut self.socket, &pong).await {
                        return reason;
                    }
                }
                ServerFrame::Bye { code } => return code.to_string(),
                ServerFrame::Resync => {
                    if self.news.try_send(News::Missed).is_err() {
                        return "events were not taken".to_owned();
                    }
                }
                ServerFrame::Event(event) => {
                    if self.news.try_send(News::Event(event)).is_err() {
                        return "events were not taken".to_owned();
                    }
                }
                ServerFrame::Refused { nr: None, .. }
                | ServerFrame::Ready { .. }
                | ServerFrame::Resumed(_) => {}
            }
        }
    }

    fn answer(&self, nr: u64, answer: Answer) {
        if let Some(waiting) = self.waiting.lock().remove(&nr) {
            // Whoever asked may have given up.
            let _ = waiting.send(answer);
        }
    }
}

#[derive(Debug)]
struct WebSocketTransport {
    frames: mpsc::Sender<ClientFrame>,
    news: tokio::sync::Mutex<mpsc::Receiver<News>>,
    waiting: Waiting,
    why: Arc<Mutex<String>>,
    number: AtomicU64,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Answer")
    }
}

impl Drop for WebSocketTransport {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl WebSocketTransport {
    fn closed(&self) -> TransportError {
        TransportError::Closed(self.why.lock().clone())
    }

    async fn say(&self, nr: Option<u64>, says: ClientSays) -> Result<(), TransportError> {
        let said = self.frames.send(ClientFrame { nr, says }).await;
        said.map_err(|_| self.closed())
    }

    async fn answered(
        &self,
        says: ClientSays,
        patience: Duration,
    ) -> Result<Answer, TransportError> {
        let nr = self.number.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(nr, sender);
        let forget = Forget(&self.waiting, nr);
        self.say(Some(nr), says).await?;
        let answer = timeout(patience, answer).await;
        drop(forget);
        let answer = answer.map_err(|_| TransportError::TimedOut)?;
        answer.map_err(|_| self.closed())
    }
}

/// Takes a number out of the list when it is over, however it ends.
struct Forget<'a>(&'a Waiting, u64);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

#[async_trait]
impl ClientTransport for WebSocketTransport {
    async fn hand_over(&self, command: &Command) -> Result<(), TransportError> {
        let says = ClientSays::Command(command.clone());
        match command {
            // Nobody misses them.
            Command::Typing(_) | Command::Presence(_) => self.say(None, says).await,
            Command::Send(_) | Command::Receive(_) => {
                match self.answered(says, CONFIRM_PATIENCE).await? {
                    Answer::Refused { retry: true, .. } => Err(TransportError::Busy),
                    // A message is rejected by an event as well, which says why.
                    Answer::Kept | Answer::Refused { retry: false, .. } => Ok(()),
                    Answer::Reply(_) => Err(TransportError::Unreadable("a reply".to_owned())),
                }
            }
        }
    }

    async fn ask(&self, request: &Request) -> Result<Reply, TransportError> {
        let request = request.clone();
        match self.answered(ClientSays::Ask { request }, PATIENCE).await? {
            Answer::Reply(reply) => Ok(*reply),
            Answer::Refused { code, .. } => Ok(Reply::Refused { code }),
            Answer::Kept => Err(TransportError::Unreadable("a confirm".to_owned())),
        }
    }

    async fn next(&self) -> Result<Arrived, TransportError> {
        let news = self.news.lock().await.recv().await;
        let event = match news.ok_or_else(|| self.closed())? {
            News::Event(event) => event,
            News::Missed => return Err(TransportError::Missed),
        };
        Ok(Arrived {
            event,
            redelivered: false,
            token: AckToken(0),
        })
    }

    fn keeps_events(&self) -> bool {
        false
    }

    async fn acknowledge(&self, _: AckToken) -> Result<(), TransportError> {
        // The history has it.
        Ok(())
    }

    async fn close(&self) {
        // What was said before is written; then the socket is left to the task's end.
        let _ = self.frames.reserve_many(FRAMES_MAX).await;
    }
}
