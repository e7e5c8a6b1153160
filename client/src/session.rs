//! A device that stays connected: sends what is in the outbox, shows what arrives once and in order,
//! fetches what is missing, and comes back after every kind of failure.
//!
//! ```text
//!   the program ── send, ask, read ──► Session ──► ClientTransport
//!   the program ◄── Notice ─────────── Session ◄── events
//!                                         │ Journal: outbox and positions, on the disk
//! ```
//!
//! A place is written down before its message is shown, and is on the disk before the delivery is
//! acknowledged. So a program that is killed shows nothing twice. What was written down and did not
//! come to the screen is in the history; a program whose own output is its record begins where that
//! record ends ([`SessionOptions::shown`]), and misses nothing either.

mod engine;
mod state;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use self::engine::Engine;
use self::state::State;
use crate::journal::AsyncJournal;
use crate::message::properties::BrokerUser;
use crate::message::{
    Command, ConversationId, Cursor, Message, MessageId, Position, Post, Presence, PresenceState,
    Receipt, ReceiptStatus, Rejected, Reply, Request, Sent, Toggle, Typing,
};
use crate::transport::{ConnectError, Connector, TransportError};

/// Notices that the program has not taken, at most; then nothing more is read.
const NOTICES_MAX: usize = 1024;
/// Calls of the program that are not done, at most.
const CALLS_MAX: usize = 64;

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

/// How a session begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// The journal's file.
    pub journal: PathBuf,
    /// Up to where everything was shown, as the program's own record has it; it is believed, and the
    /// journal is not. `None` believes the journal.
    pub shown: Option<Vec<Position>>,
    /// Of a conversation that was never shown here, at most so many messages are; `None` shows all.
    pub backlog: Option<u64>,
    /// What others are told of whether somebody is here; `None` tells nothing.
    pub presence: Option<PresenceState>,
}

impl From<&Path> for SessionOptions {
    fn from(journal: &Path) -> Self {
        Self {
            journal: journal.to_owned(),
            ..Self::default()
        }
    }
}

#[derive(Debug)]
enum Call {
    Post(Box<Post>, oneshot::Sender<io::Result<()>>),
    Ask(Box<Request>, oneshot::Sender<Result<Reply, TransportError>>),
    /// Said as soon as there is a connection.
    Receipt(Box<Receipt>),
    /// Handed over if there is a connection, and forgotten if not.
    Say(Box<Command>),
    Presence(PresenceState),
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
        options: impl Into<SessionOptions>,
    ) -> io::Result<(Self, mpsc::Receiver<Notice>)> {
        let options = options.into();
        let (journal, mut remembered) = AsyncJournal::open(&options.journal).await?;
        if let Some(shown) = options.shown {
            remembered.positions = shown;
        }
        let (notices, taken) = mpsc::channel(NOTICES_MAX);
        let (calls, called) = mpsc::channel(CALLS_MAX);
        let engine = Engine {
            connector,
            state: State::new(remembered, device.clone(), Instant::now()),
            journal,
            calls: called,
            notices,
            backlog: options.backlog,
            presence: options.presence,
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
        // The session may go on, on another connection; whoever asked asks again.
        let closed =
            |_| TransportError::Closed("the connection ended before the answer".to_owned());
        self.calls
            .send(Call::Ask(Box::new(request), reply))
            .await
            .map_err(|_| TransportError::Closed("the session has ended".to_owned()))?;
        answer.await.map_err(closed)?
    }

    /// Says that a message, and everything before it, was on the screen; now, or when there is a
    /// connection.
    pub async fn read(&self, message: &Message) -> io::Result<()> {
        let receipt = state::receipt(&self.device, message, ReceiptStatus::Read);
        self.call(Call::Receipt(Box::new(receipt))).await
    }

    /// Says that somebody is writing here, or no longer. Nobody misses it.
    pub async fn typing(&self, conv: ConversationId, state: Toggle) -> io::Result<()> {
        let BrokerUser { user, device } = self.device.clone();
        let typing = Typing {
            from: user,
            dev: device,
            conv,
            state,
        };
        self.say(Command::Typing(typing)).await
    }

    /// Says from now on that somebody is here, or not.
    pub async fn set_presence(&self, state: PresenceState) -> io::Result<()> {
        self.call(Call::Presence(state)).await
    }

    /// Says something that may be lost: a receipt, typing, presence.
    pub async fn say(&self, command: Command) -> io::Result<()> {
        self.call(Call::Say(Box::new(command))).await
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
