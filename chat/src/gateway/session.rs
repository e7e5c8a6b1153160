//! One connection of a client over a WebSocket; what is said is in
//! [`ClientFrame`](leveret_client::message::ClientFrame).
//!
//! ```text
//!   accepted ──hello──► known ──► talks ──► ended
//!       │ 10 s, bad token   │ too many        │ silent, too slow, too much, logged out, stopping
//!       └───────────────────┴── bye {code} ───┘
//! ```
//!
//! One task, one frame at a time. What takes long (a confirm, an answer) is under way beside it, up to a
//! number; beyond, the socket is not read.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::stream::FuturesUnordered;
use futures_util::{SinkExt as _, StreamExt as _};
use leveret_client::message::{
    ByeCode, ClientFrame, ClientSays, Command, Event, Hello, MessageId, Position, Presence,
    PresenceState, Rejected, RejectionCode, Reply, Request, ServerFrame, Timestamp, envelope,
};
use tokio::sync::watch;
use tokio::time::timeout;

use super::State;
use super::budget::Room;
use super::hub::{Seat, bytes_of};
use super::listener::told_to;
use super::mailbox::Next;
use crate::accounts::AccountError;
use crate::amqp::{LinkError, Pending, Published};
use crate::rate::Rates;
use crate::settings::GatewaySettings;
use crate::store::Session as Login;

/// Frames written before the socket is looked at again.
const WRITES_AT_ONCE: usize = 64;
/// Messages that are resumed at once, at most; of the rest the client is told that there is more.
const RESUMED_MAX: u32 = 500;
/// Frames beyond the rate in a row, after which the connection ends.
const EXCESS_MAX: u32 = 1_000;

/// Why a connection ends.
enum End {
    /// The client is gone.
    Gone,
    /// The gateway ends it.
    Bye(ByeCode),
}

/// What was under way, when it is done: what is to be said, and the room that it takes until it is.
struct Done {
    messages: Vec<Message>,
    room: Option<Room>,
}

impl Done {
    fn new(frames: &[ServerFrame]) -> Self {
        Self {
            messages: frames.iter().map(text).collect(),
            room: None,
        }
    }
}

type UnderWay = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Serves a connection until it ends.
pub(super) async fn run(mut socket: WebSocket, state: State, mut stop: watch::Receiver<bool>) {
    let settings = state.settings.clone();
    let greeted = tokio::select! {
        greeted = greet(&mut socket, &state) => greeted,
        () = told_to(&mut stop) => Err(End::Bye(ByeCode::Stopping)),
    };
    let end = match greeted {
        Ok((hello, login)) => match state.hub.join(login.user.clone(), login.device.clone()) {
            Ok(seat) => {
                let mut session = Session {
                    socket: &mut socket,
                    state: &state,
                    token: hello.token,
                    login,
                    seat: seat.clone(),
                    under_way: FuturesUnordered::new(),
                    rates: Rates::new(settings.frames_per_second, settings.frames_burst),
                    excess: 0,
                    heard: Instant::now(),
                };
                let end = session.talk(hello.resume, &mut stop).await;
                state.hub.leave(&seat);
                say_gone(&state, &seat).await;
                end
            }
            Err(super::hub::TooMany) => End::Bye(ByeCode::TooManyConnections),
        },
        Err(end) => end,
    };
    if let End::Bye(code) = end {
        // Who does not take it is gone anyway.
        let _ = timeout(settings.write_patience, say_goodbye(&mut socket, code)).await;
    }
}

/// A client that vanishes does not say so itself. Nobody misses it if this is lost.
async fn say_gone(state: &State, seat: &Seat) {
    if state.hub.has(&seat.user) {
        return;
    }
    let presence = Command::Presence(Presence {
        from: seat.user.clone(),
        dev: seat.device.clone(),
        state: PresenceState::Offline,
    });
    if let Ok(Err(error)) = timeout(PUBLISH_PATIENCE, state.courier.publish(&presence)).await {
        tracing::debug!(%error, "nobody is told that somebody is gone");
    }
}

async fn say_goodbye(socket: &mut WebSocket, code: ByeCode) -> Result<(), axum::Error> {
    let frame = ServerFrame::Bye { code };
    socket.send(text(&frame)).await?;
    let (number, reason) = match code {
        ByeCode::Stopping => (axum::extract::ws::close_code::RESTART, "restart"),
        ByeCode::TooManyConnections => (axum::extract::ws::close_code::AGAIN, "too many"),
        ByeCode::NotLoggedIn
        | ByeCode::Idle
        | ByeCode::TooSlow
        | ByeCode::RateLimited
        | ByeCode::Protocol
        | ByeCode::Unknown => (axum::extract::ws::close_code::POLICY, "see the last frame"),
    };
    let close = CloseFrame {
        code: number,
        reason: reason.into(),
    };
    socket.send(Message::Close(Some(close))).await
}

fn text(frame: &ServerFrame) -> Message {
    // An envelope is JSON, and JSON is UTF-8.
    Message::Text(Utf8Bytes::try_from(bytes_of(frame)).unwrap_or_default())
}

fn bytes(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Close(_) => 0,
    }
}

/// Who it is: the first frame must say so, in time.
async fn greet(socket: &mut WebSocket, state: &State) -> Result<(Hello, Login), End> {
    let first = timeout(state.settings.hello_patience, socket.recv()).await;
    let frame = match first {
        Ok(Some(Ok(Message::Text(frame)))) => frame,
        Ok(Some(Ok(_))) => return Err(End::Bye(ByeCode::Protocol)),
        Ok(Some(Err(_)) | None) => return Err(End::Gone),
        Err(_) => return Err(End::Bye(ByeCode::Idle)),
    };
    let Ok(ClientFrame {
        says: ClientSays::Hello(hello),
        ..
    }) = envelope::decode::<ClientFrame>(frame.as_bytes())
    else {
        return Err(End::Bye(ByeCode::Protocol));
    };
    match state.accounts.authenticate(&hello.token).await {
        Ok(login) => Ok((hello, login)),
        Err(_) => Err(End::Bye(ByeCode::NotLoggedIn)),
    }
}

/// A connection whose client is known.
struct Session<'s> {
    socket: &'s mut WebSocket,
    state: &'s State,
    token: String,
    login: Login,
    seat: Arc<Seat>,
    under_way: FuturesUnordered<UnderWay>,
    rates: Rates<()>,
    /// Frames beyond the rate, in a row.
    excess: u32,
    /// When something was heard last.
    heard: Instant,
}

impl Session<'_> {
    async fn talk(&mut self, resume: Vec<Position>, stop: &mut watch::Receiver<bool>) -> End {
        let result = tokio::select! {
            result = self.converse(resume) => result,
            () = told_to(stop) => Err(End::Bye(ByeCode::Stopping)),
        };
        match result {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn converse(&mut self, resume: Vec<Position>) -> Result<std::convert::Infallible, End> {
        self.state.feed.came(&self.login.user).await;
        self.say(ServerFrame::Ready {
            user: self.login.user.clone(),
            dev: self.login.device.clone(),
            now: Timestamp::now(),
        })
        .await?;
        if !resume.is_empty() {
            self.resume(resume).await?;
        }
        let settings: &GatewaySettings = &self.state.settings;
        let mut pulse = tokio::time::interval(settings.ping_interval);
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        pulse.tick().await;
        let seat = self.seat.clone();
        loop {
            self.tell().await?;
            let has_room = self.under_way.len() < settings.under_way_max;
            tokio::select! {
                () = seat.woken() => {}
                frame = self.socket.recv(), if has_room => self.hear(frame).await?,
                Some(done) = self.under_way.next() => self.finish(done).await?,
                _ = pulse.tick() => self.pulse().await?,
            }
        }
    }

    /// Everything after these places, as far as it fits.
    async fn resume(&mut self, positions: Vec<Position>) -> Result<(), End> {
        let request = Request::Sync {
            positions,
            limit: RESUMED_MAX,
        };
        let user = &self.login.user;
        let bytes_max = self.state.desk.answer_bytes_max(&request);
        let Ok(mut room) = self.state.answers.room(user, bytes_max).await else {
            return self.say(ServerFrame::Resync).await;
        };
        let resumed = match self.state.desk.answer(user, request).await {
            Reply::Sync(page) => text(&ServerFrame::Resumed(page)),
            // The store does not work: the client is to try it itself.
            _ => text(&ServerFrame::Resync),
        };
        room.shrink(bytes(&resumed));
        let messages = vec![resumed];
        let room = Some(room);
        self.finish(Done { messages, room }).await
    }

    async fn finish(&mut self, done: Done) -> Result<(), End> {
        for message in done.messages {
            self.write(|socket| Box::pin(socket.send(message))).await?;
        }
        // The socket has it.
        drop(done.room);
        Ok(())
    }

    /// What waits for the client, or a good part of it.
    async fn tell(&mut self) -> Result<(), End> {
        let mut written = 0;
        if self.seat.is_doubtful() {
            self.check_login().await?;
        }
        while written < WRITES_AT_ONCE {
            let Some(next) = self.seat.pop() else { break };
            let message = match next {
                Next::Frame(frame) => Message::Text(frame),
                Next::Bump(bump) => text(&ServerFrame::Event(Event::Bump(bump))),
                Next::Resync => text(&ServerFrame::Resync),
            };
            self.write(|socket| Box::pin(socket.feed(message))).await?;
            written += 1;
        }
        if written > 0 {
            self.write(|socket| Box::pin(socket.flush())).await?;
        }
        if self.seat.has_more() {
            self.seat.remind();
        }
        Ok(())
    }

    async fn say(&mut self, frame: ServerFrame) -> Result<(), End> {
        let message = text(&frame);
        self.write(|socket| Box::pin(socket.send(message))).await
    }

    /// Who does not read does not keep its place.
    async fn write<'a>(
        &'a mut self,
        write: impl FnOnce(&'a mut WebSocket) -> Writing<'a>,
    ) -> Result<(), End> {
        match timeout(self.state.settings.write_patience, write(self.socket)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Bye(ByeCode::TooSlow)),
        }
    }

    async fn pulse(&mut self) -> Result<(), End> {
        if self.heard.elapsed() > self.state.settings.idle_max {
            return Err(End::Bye(ByeCode::Idle));
        }
        self.check_login().await?;
        self.say(ServerFrame::Ping).await
    }

    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "a shared reference across an await would have to be Sync, and a socket is not"
    )]
    async fn check_login(&mut self) -> Result<(), End> {
        match self.state.accounts.authenticate(&self.token).await {
            Err(AccountError::NotLoggedIn) => Err(End::Bye(ByeCode::NotLoggedIn)),
            // A store that does not work now ends no login.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn hear(&mut self, frame: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        self.heard = Instant::now();
        let frame = match frame {
            Some(Ok(Message::Text(frame))) => frame,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Binary(_))) => return Err(End::Bye(ByeCode::Protocol)),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(End::Gone),
        };
        let is_allowed = self.rates.take((), self.heard);
        let frame = match envelope::decode::<ClientFrame>(frame.as_bytes()) {
            Ok(frame) => frame,
            Err(error) => return self.refuse(error.nr, error.id, error.code).await,
        };
        let id = match &frame.says {
            ClientSays::Command(Command::Send(post)) => Some(post.id),
            ClientSays::Command(_)
            | ClientSays::Hello(_)
            | ClientSays::Ask { .. }
            | ClientSays::Pong => None,
        };
        if !is_allowed {
            self.excess += 1;
            if self.excess > EXCESS_MAX {
                return Err(End::Bye(ByeCode::RateLimited));
            }
            return self.refuse(frame.nr, id, RejectionCode::RateLimited).await;
        }
        self.excess = 0;
        match frame.says {
            ClientSays::Pong => Ok(()),
            ClientSays::Hello(_) => self.refuse(frame.nr, None, RejectionCode::Malformed).await,
            ClientSays::Ask { request } => match frame.nr {
                Some(nr) => {
                    self.ask(nr, request);
                    Ok(())
                }
                None => self.refuse(None, None, RejectionCode::Malformed).await,
            },
            ClientSays::Command(command) => {
                let author = (&self.login.user, &self.login.device);
                if command.author() != author {
                    return self.refuse(frame.nr, id, RejectionCode::Forged).await;
                }
                self.hand_over(frame.nr, id, &command).await
            }
        }
    }

    /// Asks the desk, beside the rest.
    fn ask(&self, nr: u64, request: Request) {
        let (desk, user) = (self.state.desk.clone(), self.login.user.clone());
        let answers = self.state.answers.clone();
        self.under_way.push(Box::pin(async move {
            let Ok(mut room) = answers.room(&user, desk.answer_bytes_max(&request)).await else {
                return Done::new(&refusal(Some(nr), None, RejectionCode::Unavailable));
            };
            let reply = desk.answer(&user, request).await;
            let answer = text(&ServerFrame::Answer { nr, reply });
            room.shrink(bytes(&answer));
            Done {
                messages: vec![answer],
                room: Some(room),
            }
        }));
    }

    /// Publishes now, so that the order stays, and waits for the confirm beside the rest.
    async fn hand_over(
        &mut self,
        nr: Option<u64>,
        id: Option<MessageId>,
        command: &Command,
    ) -> Result<(), End> {
        let published = timeout(PUBLISH_PATIENCE, self.state.courier.publish(command)).await;
        let Ok(Ok(pending)) = published else {
            return self.refuse(nr, id, RejectionCode::Unavailable).await;
        };
        self.under_way.push(Box::pin(async move {
            if is_kept(pending).await {
                return Done::new(nr.map(|nr| ServerFrame::Kept { nr }).as_slice());
            }
            Done::new(&refusal(nr, id, RejectionCode::Unavailable))
        }));
        Ok(())
    }

    async fn refuse(
        &mut self,
        nr: Option<u64>,
        id: Option<MessageId>,
        code: RejectionCode,
    ) -> Result<(), End> {
        for frame in refusal(nr, id, code) {
            self.say(frame).await?;
        }
        Ok(())
    }
}

/// How long a publish may wait for a connection to the broker.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(5);

type Writing<'a> = Pin<Box<dyn Future<Output = Result<(), axum::Error>> + Send + 'a>>;

async fn is_kept(pending: Pending) -> bool {
    match pending.wait().await {
        Ok(Published::Confirmed) => true,
        Ok(Published::Refused | Published::Unroutable) => false,
        Err(error) => {
            let error: LinkError = error;
            tracing::debug!(%error, "a publish was not confirmed");
            false
        }
    }
}

/// To the number, and of the message if it is known which.
fn refusal(nr: Option<u64>, id: Option<MessageId>, code: RejectionCode) -> Vec<ServerFrame> {
    let rejected = id.map(|id| ServerFrame::Event(Event::Rejected(Rejected::new(id, code))));
    let refused = ServerFrame::Refused {
        nr,
        code,
        retry: code.is_temporary(),
    };
    rejected.into_iter().chain([refused]).collect()
}
