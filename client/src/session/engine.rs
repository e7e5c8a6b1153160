//! The task behind a session.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{mpsc, oneshot};

use super::state::State;
use super::{Call, Notice};
use crate::journal::{AsyncJournal, Journal};
use crate::message::{
    Command, ConversationId, MessageId, Position, Post, Presence, PresenceState, Reply, Request,
    Seq,
};
use crate::transport::{Arrived, ClientTransport, ConnectError, Connector, TransportError};

/// Events that are written down together.
const EVENTS_MAX: usize = 200;
/// Messages of one answer while catching up.
const PAGE: u32 = 500;
/// Requests of the program that are not answered; beyond, its calls wait.
const ASKING_MAX: usize = 32;
/// Between two reports of what was delivered and read: one receipt per conversation says it for all
/// before. The first one goes at once.
const RECEIPT_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is said again that somebody is here: well within the minute for which it is believed.
const PRESENCE_INTERVAL: Duration = Duration::from_secs(25);
/// Between two tries to connect, at first, and at last.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

pub(super) struct Engine {
    pub(super) connector: Arc<dyn Connector>,
    pub(super) state: State,
    pub(super) journal: AsyncJournal,
    pub(super) calls: mpsc::Receiver<Call>,
    pub(super) notices: mpsc::Sender<Notice>,
    /// Of a conversation that was never shown, at most so many messages are.
    pub(super) backlog: Option<u64>,
    pub(super) presence: Option<PresenceState>,
}

/// Why the engine left a connection.
enum Left {
    /// The program has no use for it any more.
    Over,
    Lost(ConnectError),
}

/// What the program wants to know.
struct Asked {
    request: Box<Request>,
    reply: oneshot::Sender<Result<Reply, TransportError>>,
}

impl Asked {
    async fn by(self, transport: &dyn ClientTransport) {
        // Whoever asked may be gone.
        let _ = self.reply.send(transport.ask(&self.request).await);
    }
}

/// When things are to be said that are said from time to time.
struct Rounds {
    receipts: Instant,
    presence: Instant,
}

impl Engine {
    pub(super) async fn run(mut self) {
        let mut delay = RETRY_MIN;
        loop {
            let connector = self.connector.clone();
            let Some(connected) = self.take_calls_during(connector.connect()).await else {
                return;
            };
            let reason = match connected {
                Ok(transport) => {
                    delay = RETRY_MIN;
                    let left = self.stay(&*transport).await;
                    self.state.outbox.disconnected(Instant::now());
                    match left {
                        Left::Over => return self.leave(&*transport).await,
                        Left::Lost(reason) => reason,
                    }
                }
                Err(reason) => reason,
            };
            if !self.notify(Notice::Disconnected { reason }).await {
                return;
            }
            let pause = tokio::time::sleep(delay);
            if self.take_calls_during(pause).await.is_none() {
                return;
            }
            delay = (delay * 2).min(RETRY_MAX);
        }
    }

    /// Tells the program, if it is there. One that has not taken what it was told before may be waiting for one
    /// of its calls to be taken, and takes nothing until then.
    async fn notify(&mut self, notice: Notice) -> bool {
        let notice = match self.notices.try_send(notice) {
            Ok(()) => return true,
            Err(mpsc::error::TrySendError::Full(notice)) => notice,
            Err(mpsc::error::TrySendError::Closed(_)) => return false,
        };
        let notices = self.notices.clone();
        match self.take_calls_during(notices.reserve_owned()).await {
            Some(Ok(room)) => {
                room.send(notice);
                true
            }
            Some(Err(_)) | None => false,
        }
    }

    /// Takes calls while there is no connection, or no time for it, until something is over; `None` when the program is.
    /// A call that was taken is dealt with to its end.
    async fn take_calls_during<T>(&mut self, something: impl Future<Output = T>) -> Option<T> {
        let mut something = std::pin::pin!(something);
        loop {
            let call = tokio::select! {
                over = &mut something => return Some(over),
                call = self.calls.recv() => call?,
            };
            match call {
                Call::Post(post, reply) => self.post(*post, reply).await,
                Call::Ask(_, reply) => {
                    let away = TransportError::Closed("not connected".to_owned());
                    // Whoever asked may be gone.
                    let _ = reply.send(Err(away));
                }
                Call::Receipt(receipt) => self.state.note(*receipt),
                Call::Say(_) => {}
                Call::Presence(state) => self.presence = Some(state),
                Call::Outbox(reply) => self.outbox(reply),
            }
        }
    }

    fn outbox(&self, reply: oneshot::Sender<Vec<Post>>) {
        let posts = self.state.outbox.posts().map(|(post, _)| post.clone());
        // Whoever asked may be gone.
        let _ = reply.send(posts.collect());
    }

    async fn post(&mut self, post: Post, reply: oneshot::Sender<io::Result<()>>) {
        let copy = post.clone();
        let written = self
            .journal
            .with(move |journal| journal.posted(&copy))
            .await;
        if written.is_ok() {
            self.state.outbox.push(post, Instant::now());
        }
        // The program may be gone; the message is written all the same.
        let _ = reply.send(written);
    }

    /// Says good-bye.
    async fn leave(&mut self, transport: &dyn ClientTransport) {
        // What was shown is reported before the connection ends, if that still works.
        let _ = self.send_receipts(transport).await;
        if self.presence.is_some() {
            self.presence = Some(PresenceState::Offline);
            let _ = self.send_presence(transport).await;
        }
        transport.close().await;
    }

    /// Works on a connection until it is lost.
    async fn stay(&mut self, transport: &dyn ClientTransport) -> Left {
        if let Err(error) = self.catch_up(transport).await {
            return self.lost(&error);
        }
        if !transport.keeps_events() {
            self.state.outbox.unanswered(Instant::now());
        }
        let peer = self.connector.peer();
        if !self.notify(Notice::Connected { peer }).await {
            return Left::Over;
        }
        let mut handing_over = FuturesUnordered::new();
        let mut asking = FuturesUnordered::new();
        let now = Instant::now();
        let mut rounds = Rounds {
            receipts: now,
            presence: now,
        };
        loop {
            for post in self.state.outbox.due(Instant::now()) {
                handing_over.push(async move {
                    let id = post.id;
                    (id, transport.hand_over(&Command::Send(post)).await)
                });
            }
            let due = self.next_due(&rounds);
            let done = tokio::select! {
                call = self.calls.recv(), if asking.len() < ASKING_MAX => match call {
                    Some(call) => {
                        let asked = self.call(transport, call, &mut rounds).await;
                        asked.map(|asked| asking.extend(asked.map(|asked| asked.by(transport))))
                    }
                    None => return Left::Over,
                },
                Some(()) = asking.next() => Ok(()),
                Some((id, result)) = handing_over.next() => self.handed_over(id, result).await,
                arrived = transport.next() => match arrived {
                    Ok(first) => self.arrived(transport, first).await,
                    Err(TransportError::Missed) => self.catch_up(transport).await,
                    Err(error) => Err(error),
                },
                () = tokio::time::sleep_until(due.into()) => {
                    self.say_in_rounds(transport, &mut rounds).await
                }
            };
            if let Err(error) = done {
                return self.lost(&error);
            }
            if self.notices.is_closed() {
                return Left::Over;
            }
        }
    }

    fn next_due(&self, rounds: &Rounds) -> Instant {
        let receipts = self.state.has_receipts().then_some(rounds.receipts);
        let presence = self.presence.map(|_| rounds.presence);
        let due = [self.state.outbox.next_due(), receipts, presence];
        let due = due.into_iter().flatten().min();
        due.unwrap_or_else(|| Instant::now() + RETRY_MAX)
    }

    async fn say_in_rounds(
        &mut self,
        transport: &dyn ClientTransport,
        rounds: &mut Rounds,
    ) -> Result<(), TransportError> {
        let now = Instant::now();
        if rounds.receipts <= now && self.state.has_receipts() {
            rounds.receipts = now + RECEIPT_INTERVAL;
            self.send_receipts(transport).await?;
        }
        if rounds.presence <= now {
            rounds.presence = now + PRESENCE_INTERVAL;
            self.send_presence(transport).await?;
        }
        Ok(())
    }

    fn lost(&self, error: &TransportError) -> Left {
        Left::Lost(ConnectError::Unreachable {
            peer: self.connector.peer(),
            reason: error.to_string(),
        })
    }

    /// Gives back what is to be asked.
    async fn call(
        &mut self,
        transport: &dyn ClientTransport,
        call: Call,
        rounds: &mut Rounds,
    ) -> Result<Option<Asked>, TransportError> {
        match call {
            Call::Post(post, reply) => self.post(*post, reply).await,
            // Nobody else waits for the answer.
            Call::Ask(request, reply) => return Ok(Some(Asked { request, reply })),
            Call::Receipt(receipt) => self.state.note(*receipt),
            Call::Say(command) => {
                // What may be lost is not said again.
                if let Err(error @ TransportError::Closed(_)) = transport.hand_over(&command).await
                {
                    return Err(error);
                }
            }
            Call::Presence(state) => {
                self.presence = Some(state);
                rounds.presence = Instant::now();
            }
            Call::Outbox(reply) => self.outbox(reply),
        }
        Ok(None)
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

    /// What arrived, and what else is there already: written down, shown, acknowledged.
    async fn arrived(
        &mut self,
        transport: &dyn ClientTransport,
        first: Arrived,
    ) -> Result<(), TransportError> {
        let mut batch = vec![first];
        let mut missed = false;
        while batch.len() < EVENTS_MAX {
            match transport.next().now_or_never() {
                Some(Ok(arrived)) => batch.push(arrived),
                Some(Err(TransportError::Missed)) => {
                    missed = true;
                    break;
                }
                // An error comes again with the next call.
                Some(Err(_)) | None => break,
            }
        }
        let last = batch.last().map(|last| last.token);
        let mut notices = Vec::new();
        let mut missing = Vec::new();
        for arrived in batch {
            let now = Instant::now();
            self.state
                .event(arrived.event, now, &mut notices, &mut missing);
        }
        self.show(notices).await?;
        if let Some(last) = last {
            transport.acknowledge(last).await?;
        }
        if missed {
            return self.catch_up(transport).await;
        }
        if !missing.is_empty() {
            self.fetch(transport, missing).await?;
        }
        Ok(())
    }

    /// Writes down what is going to be shown, shows it, and sees to it that the disk has it.
    async fn show(&mut self, notices: Vec<Notice>) -> Result<(), TransportError> {
        let mut settled = Vec::new();
        for notice in &notices {
            match notice {
                Notice::Message(message) => self.state.shown(message),
                Notice::Sent(sent) => settled.push(sent.id),
                Notice::Rejected(rejected, _) => settled.push(rejected.id),
                Notice::Connected { .. }
                | Notice::Disconnected { .. }
                | Notice::Kept(_)
                | Notice::Cursor(_)
                | Notice::Typing(_)
                | Notice::Presence(_) => {}
            }
        }
        let positions = self.state.take_news();
        let has_news = !positions.is_empty();
        if has_news || !settled.is_empty() {
            let written = self
                .journal
                .with(move |journal| journal.showing(&positions, &settled));
            self.require_disk(written.await)?;
        }
        for notice in notices {
            self.notify(notice).await;
        }
        if has_news {
            let synced = self.journal.with(Journal::sync).await;
            self.require_disk(synced)?;
        }
        Ok(())
    }

    /// Without a disk nothing is shown or acknowledged, and everything comes again.
    fn require_disk(&self, written: io::Result<()>) -> Result<(), TransportError> {
        written.map_err(|error| TransportError::Closed(format!("cannot write: {error}")))
    }

    /// Everything that was missed.
    async fn catch_up(&mut self, transport: &dyn ClientTransport) -> Result<(), TransportError> {
        let Reply::Conversations { conversations } = transport.ask(&Request::Conversations).await?
        else {
            return Err(TransportError::Unreadable("no conversations".to_owned()));
        };
        let mut missing = Vec::new();
        for summary in conversations {
            self.state.compare(&summary);
            let (conv, last) = (summary.conv, summary.last_seq);
            if let Some(backlog) = self.backlog
                && self.state.timelines.position(&conv) == Seq::NONE
            {
                let after = Seq(last.0.saturating_sub(backlog));
                self.state.begin_at(Position {
                    conv: conv.clone(),
                    after,
                });
            }
            if self.state.timelines.missing(&conv, last).is_some() {
                missing.push(conv);
            }
        }
        self.fetch(transport, missing).await
    }

    async fn fetch(
        &mut self,
        transport: &dyn ClientTransport,
        mut missing: Vec<ConversationId>,
    ) -> Result<(), TransportError> {
        while !missing.is_empty() {
            let positions = self.state.positions(&missing);
            let before = positions.clone();
            let request = Request::Sync {
                positions,
                limit: PAGE,
            };
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
        let mut receipts = self.state.take_receipts().into_iter();
        while let Some(receipt) = receipts.next() {
            let handed_over = transport
                .hand_over(&Command::Receive(receipt.clone()))
                .await;
            // Nobody confirmed it: it is said again, here or on the next connection.
            if let Err(error) = handed_over {
                self.state.note(receipt);
                receipts.for_each(|receipt| self.state.note(receipt));
                return match error {
                    TransportError::Closed(_) => Err(error),
                    TransportError::Busy
                    | TransportError::TimedOut
                    | TransportError::Unroutable(_)
                    | TransportError::Unreadable(_)
                    | TransportError::Missed => Ok(()),
                };
            }
        }
        Ok(())
    }

    async fn send_presence(&self, transport: &dyn ClientTransport) -> Result<(), TransportError> {
        let Some(state) = self.presence else {
            return Ok(());
        };
        let presence = Presence {
            from: self.state.device().user.clone(),
            dev: self.state.device().device.clone(),
            state,
        };
        match transport.hand_over(&Command::Presence(presence)).await {
            Err(error @ TransportError::Closed(_)) => Err(error),
            // Nobody misses it.
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
