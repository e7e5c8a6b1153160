//! A device that stays connected: sends what is in the outbox, shows what arrives once and in order,
//! fetches what is missing, and comes back after every kind of failure.
//!
//! ```text
//!   the program ── send, ask, read ──► Session ──► ClientTransport
//!   the program ◄── Notice ─────────── Session ◄── events
//!                                         │ Journal: outbox and positions, on the disk
//! ```

mod state;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use self::state::State;
use crate::journal::Journal;
use crate::message::properties::BrokerUser;
use crate::message::{
    Command, Cursor, Message, MessageId, Post, Presence, ReceiptStatus, Rejected, Reply, Request,
    Sent, Typing,
};
use crate::transport::{Arrived, ClientTransport, ConnectError, Connector, TransportError};

/// Notices that the program has not taken, at most; then nothing more is read.
const NOTICES_MAX: usize = 1024;
/// Calls of the program that are not done, at most.
const CALLS_MAX: usize = 64;
/// Events that are written down together.
const EVENTS_MAX: usize = 200;
/// How often deliveries are reported: one receipt per conversation says it for all before.
const RECEIPT_INTERVAL: Duration = Duration::from_secs(1);
/// Between two tries to connect, at first, and at last.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What the program is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// There is a connection, and everything that was missed has been shown.
    Connected {
        /// Where to.
        peer: String,
    },
    /// There is none; the session goes on trying.
    Disconnected {
        /// Why.
        reason: ConnectError,
    },
    /// A message to be shown, the next of its conversation.
    Message(Message),
    /// A message of this device is safe with the broker.
    Kept(MessageId),
    /// A message of this device is in the history.
    Sent(Sent),
    /// A message of this device was not taken; here it is.
    Rejected(Rejected, Box<Post>),
    /// Somebody has received or read more.
    Cursor(Cursor),
    /// Somebody is writing.
    Typing(Typing),
    /// Somebody is there, or not.
    Presence(Presence),
}

#[derive(Debug)]
enum Call {
    Post(Box<Post>, oneshot::Sender<io::Result<()>>),
    Ask(Box<Request>, oneshot::Sender<Result<Reply, TransportError>>),
    /// Handed over if there is a connection, and forgotten if not.
    Say(Command),
    Outbox(oneshot::Sender<Vec<Post>>),
}

/// A device that stays connected.
#[derive(Debug)]
pub struct Session {
    calls: mpsc::Sender<Call>,
    task: JoinHandle<()>,
    device: BrokerUser,
}

impl Session {
    /// Opens the journal and begins to connect. Must be called within a tokio runtime.
    pub async fn start(
        connector: Arc<dyn Connector>,
        device: BrokerUser,
        journal: &Path,
    ) -> io::Result<(Self, mpsc::Receiver<Notice>)> {
        let path = journal.to_owned();
        let opened = tokio::task::spawn_blocking(move || Journal::open(&path)).await;
        let (journal, remembered) = opened.map_err(io::Error::other)??;
        let (notices, taken) = mpsc::channel(NOTICES_MAX);
        let (calls, called) = mpsc::channel(CALLS_MAX);
        let engine = Engine {
            connector,
            state: State::new(remembered, device.clone(), Instant::now()),
            journal: Arc::new(Mutex::new(journal)),
            calls: called,
            notices,
        };
        let session = Self {
            calls,
            task: tokio::spawn(engine.run()),
            device,
        };
        Ok((session, taken))
    }

    /// Who this is.
    #[must_use]
    pub fn device(&self) -> &BrokerUser {
        &self.device
    }

    /// Takes a message. When it returns, the message is on the disk and will be sent, now or later.
    pub async fn send(&self, post: Post) -> io::Result<()> {
        let (reply, done) = oneshot::channel();
        self.call(Call::Post(Box::new(post), reply)).await?;
        done.await.map_err(io::Error::other)?
    }

    /// Asks the service; fails if there is no connection.
    pub async fn ask(&self, request: Request) -> Result<Reply, TransportError> {
        let (reply, answer) = oneshot::channel();
        let closed = |_| TransportError::Closed("the session has ended".to_owned());
        self.calls
            .send(Call::Ask(Box::new(request), reply))
            .await
            .map_err(|_| TransportError::Closed("the session has ended".to_owned()))?;
        answer.await.map_err(closed)?
    }

    /// Says that a message, and everything before it, was on the screen.
    pub async fn read(&self, message: &Message) -> io::Result<()> {
        let receipt = state::receipt(&self.device, message, ReceiptStatus::Read);
        self.say(Command::Receive(receipt)).await
    }

    /// Says something that may be lost: a receipt, typing, presence.
    pub async fn say(&self, command: Command) -> io::Result<()> {
        self.call(Call::Say(command)).await
    }

    /// What is written and not yet in the history, oldest first.
    pub async fn outbox(&self) -> io::Result<Vec<Post>> {
        let (reply, posts) = oneshot::channel();
        self.call(Call::Outbox(reply)).await?;
        posts.await.map_err(io::Error::other)
    }

    async fn call(&self, call: Call) -> io::Result<()> {
        let sent = self.calls.send(call).await;
        sent.map_err(|_| io::Error::other("the session has ended"))
    }

    /// Ends it. What is in the outbox stays on the disk.
    pub async fn close(self) {
        drop(self.calls);
        // The engine ends when nobody calls any more.
        let _ = self.task.await;
    }
}

struct Engine {
    connector: Arc<dyn Connector>,
    state: State,
    journal: Arc<Mutex<Journal>>,
    calls: mpsc::Receiver<Call>,
    notices: mpsc::Sender<Notice>,
}

/// Why the engine left a connection.
enum Left {
    /// The program has no use for it any more.
    Over,
    Lost(ConnectError),
}

impl Engine {
    async fn run(mut self) {
        let mut delay = RETRY_MIN;
        loop {
            let connector = self.connector.clone();
            let connected = tokio::select! {
                connected = connector.connect() => connected,
                over = self.calls_while_away() => match over { () => return },
            };
            let reason = match connected {
                Ok(transport) => {
                    delay = RETRY_MIN;
                    let left = self.stay(&*transport).await;
                    self.state.outbox.disconnected(Instant::now());
                    match left {
                        Left::Over => {
                            transport.close().await;
                            return;
                        }
                        Left::Lost(reason) => reason,
                    }
                }
                Err(reason) => reason,
            };
            if !self.notify(Notice::Disconnected { reason }).await {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                over = self.calls_while_away() => match over { () => return },
            }
            delay = (delay * 2).min(RETRY_MAX);
        }
    }

    async fn notify(&self, notice: Notice) -> bool {
        self.notices.send(notice).await.is_ok()
    }

    /// Takes calls while there is no connection; ends when the program does.
    async fn calls_while_away(&mut self) {
        while let Some(call) = self.calls.recv().await {
            match call {
                Call::Post(post, reply) => self.post(*post, reply).await,
                Call::Ask(_, reply) => {
                    let away = TransportError::Closed("not connected".to_owned());
                    // Whoever asked may be gone.
                    let _ = reply.send(Err(away));
                }
                Call::Say(_) => {}
                Call::Outbox(reply) => self.outbox(reply),
            }
        }
    }

    fn outbox(&self, reply: oneshot::Sender<Vec<Post>>) {
        let posts = self.state.outbox.posts().map(|(post, _)| post.clone());
        // Whoever asked may be gone.
        let _ = reply.send(posts.collect());
    }

    async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Journal) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let journal = self.journal.clone();
        let written = tokio::task::spawn_blocking(move || write(&mut journal.lock()));
        written.await.map_err(io::Error::other)?
    }

    async fn post(&mut self, post: Post, reply: oneshot::Sender<io::Result<()>>) {
        let copy = post.clone();
        let written = self.write(move |journal| journal.posted(&copy)).await;
        if written.is_ok() {
            self.state.outbox.push(post, Instant::now());
        }
        // The program may be gone; the message is written all the same.
        let _ = reply.send(written);
    }

    /// Works on a connection until it is lost.
    async fn stay(&mut self, transport: &dyn ClientTransport) -> Left {
        if let Err(error) = self.catch_up(transport).await {
            return self.lost(&error);
        }
        let peer = self.connector.peer();
        if !self.notify(Notice::Connected { peer }).await {
            return Left::Over;
        }
        let mut handing_over = FuturesUnordered::new();
        let mut receipts = tokio::time::interval(RECEIPT_INTERVAL);
        receipts.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            for post in self.state.outbox.due(Instant::now()) {
                handing_over.push(async move {
                    let id = post.id;
                    (id, transport.hand_over(&Command::Send(post)).await)
                });
            }
            let next_due = self.state.outbox.next_due();
            let next_due = next_due.unwrap_or_else(|| Instant::now() + RETRY_MAX);
            let done = tokio::select! {
                call = self.calls.recv() => match call {
                    Some(call) => self.call(transport, call).await,
                    None => return Left::Over,
                },
                Some((id, result)) = handing_over.next() => self.handed_over(id, result).await,
                arrived = transport.next() => match arrived {
                    Ok(first) => self.arrived(transport, first).await,
                    Err(error) => Err(error),
                },
                () = tokio::time::sleep_until(next_due.into()) => Ok(()),
                _ = receipts.tick() => self.send_receipts(transport).await,
            };
            if let Err(error) = done {
                return self.lost(&error);
            }
            if self.notices.is_closed() {
                return Left::Over;
            }
        }
    }

    fn lost(&self, error: &TransportError) -> Left {
        Left::Lost(ConnectError::Unreachable {
            peer: self.connector.peer(),
            reason: error.to_string(),
        })
    }

    async fn call(
        &mut self,
        transport: &dyn ClientTransport,
        call: Call,
    ) -> Result<(), TransportError> {
        match call {
            Call::Post(post, reply) => self.post(*post, reply).await,
            Call::Ask(request, reply) => {
                // Whoever asked may be gone.
                let _ = reply.send(transport.ask(&request).await);
            }
            Call::Say(command) => match transport.hand_over(&command).await {
                Err(error @ TransportError::Closed(_)) => return Err(error),
                // What may be lost is not said again.
                Ok(()) | Err(_) => {}
            },
            Call::Outbox(reply) => self.outbox(reply),
        }
        Ok(())
    }

    async fn handed_over(
        &mut self,
        id: MessageId,
        result: Result<(), TransportError>,
    ) -> Result<(), TransportError> {
        let now = Instant::now();
        match result {
            Ok(()) => {
                self.state.outbox.accepted(id, now);
                self.notify(Notice::Kept(id)).await;
                Ok(())
            }
            Err(error @ TransportError::Closed(_)) => Err(error),
            Err(error) => {
                tracing::debug!(%id, %error, "to be sent again");
                self.state.outbox.failed(id, now);
                Ok(())
            }
        }
    }

    /// What arrived, and what else is there already: shown, written down, acknowledged.
    async fn arrived(
        &mut self,
        transport: &dyn ClientTransport,
        first: Arrived,
    ) -> Result<(), TransportError> {
        let mut batch = vec![first];
        while batch.len() < EVENTS_MAX {
            match transport.next().now_or_never() {
                Some(Ok(arrived)) => batch.push(arrived),
                // An error comes again with the next call.
                Some(Err(_)) | None => break,
            }
        }
        let mut tokens = Vec::with_capacity(batch.len());
        let mut notices = Vec::new();
        let mut missing = Vec::new();
        for arrived in batch {
            tokens.push(arrived.token);
            self.state.event(arrived.event, &mut notices, &mut missing);
        }
        self.show(notices).await?;
        for token in tokens {
            transport.acknowledge(token).await?;
        }
        if !missing.is_empty() {
            self.fetch(transport, missing).await?;
        }
        Ok(())
    }

    /// Shows, then writes down that it was shown.
    async fn show(&mut self, notices: Vec<Notice>) -> Result<(), TransportError> {
        for notice in notices {
            match &notice {
                Notice::Message(message) => self.state.shown(message),
                Notice::Sent(sent) => self.settled(sent.id).await,
                Notice::Rejected(rejected, _) => self.settled(rejected.id).await,
                Notice::Connected { .. }
                | Notice::Disconnected { .. }
                | Notice::Kept(_)
                | Notice::Cursor(_)
                | Notice::Typing(_)
                | Notice::Presence(_) => {}
            }
            self.notify(notice).await;
        }
        let positions = self.state.take_news();
        if positions.is_empty() {
            return Ok(());
        }
        let written = self.write(move |journal| journal.shown(&positions)).await;
        // Without a disk nothing is acknowledged, and everything comes again.
        written.map_err(|error| TransportError::Closed(format!("cannot write: {error}")))
    }

    async fn settled(&mut self, id: MessageId) {
        if let Err(error) = self.write(move |journal| journal.settled(id)).await {
            // It is sent again after the next start, which changes nothing.
            tracing::warn!(%error, "the journal cannot be written");
        }
    }

    /// Everything that was missed.
    async fn catch_up(&mut self, transport: &dyn ClientTransport) -> Result<(), TransportError> {
        let Reply::Conversations { conversations } = transport.ask(&Request::Conversations).await?
        else {
            return Err(TransportError::Unreadable("no conversations".to_owned()));
        };
        let timelines = &self.state.timelines;
        let missing = conversations
            .iter()
            .filter_map(|summary| timelines.missing(&summary.conv, summary.last_seq))
            .map(|position| position.conv)
            .collect();
        self.fetch(transport, missing).await
    }

    async fn fetch(
        &mut self,
        transport: &dyn ClientTransport,
        mut missing: Vec<crate::message::ConversationId>,
    ) -> Result<(), TransportError> {
        while !missing.is_empty() {
            let positions = self.state.positions(&missing);
            let limit = 500;
            let before = positions.clone();
            let request = Request::Sync { positions, limit };
            let Reply::Sync(page) = transport.ask(&request).await? else {
                return Err(TransportError::Unreadable("no synchronisation".to_owned()));
            };
            missing.clone_from(&page.more);
            let mut notices = Vec::new();
            self.state.page(page, &mut notices);
            self.show(notices).await?;
            if self.state.positions(&missing) == before {
                // A service that gives nothing and promises more is not asked for ever.
                return Ok(());
            }
        }
        Ok(())
    }

    async fn send_receipts(
        &mut self,
        transport: &dyn ClientTransport,
    ) -> Result<(), TransportError> {
        for receipt in self.state.take_receipts() {
            match transport.hand_over(&Command::Receive(receipt)).await {
                Err(error @ TransportError::Closed(_)) => return Err(error),
                // The next one says it as well.
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}
