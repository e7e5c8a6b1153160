//! The people of the demonstration: ana, whom somebody may be, and two who answer by themselves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use leveret_client::http::{LoggedIn, ServiceHttp};
use leveret_client::message::properties::BrokerUser;
use leveret_client::message::{
    Body, ConversationId, Handle, Message, Post, PresenceState, Timestamp, Toggle, UserId,
};
use leveret_client::session::{Notice, Session, SessionOptions};
use leveret_client::transport::{AmqpConnector, AmqpOptions};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::tally::{Number, Tally};
use crate::cli::arguments::Plant;

/// Who takes part; the first one sits at the terminal.
pub(super) const NAMES: [&str; 3] = ["ana", "bruno", "carla"];
/// As long as somebody writes.
const WRITING: Duration = Duration::from_millis(700);
/// What the two have to say.
const ANSWERS: [&str; 4] = [
    "I read that twice, and it arrived once.",
    "Press F9: nothing of this will be lost.",
    "Yes. And F8 takes carla offline.",
    "Said, stored, synced, shown.",
];
/// Notices on their way to the terminal, at most.
const NOTICES_MAX: usize = 256;

/// Somebody with an account and a device.
pub(super) struct Person {
    pub(super) number: Number,
    pub(super) handle: Handle,
    pub(super) password: String,
    pub(super) login: LoggedIn,
    connector: Arc<AmqpConnector>,
    journal: PathBuf,
    online: Option<Online>,
}

/// Somebody's session, and who listens to it.
struct Online {
    session: Arc<Session>,
    listener: JoinHandle<()>,
}

/// What a listener needs besides notices.
pub(super) struct Listening {
    pub(super) tally: Arc<Mutex<Tally>>,
    pub(super) plant: Option<Plant>,
    /// Where this person answers what the first one says.
    pub(super) answers_in: Option<(ConversationId, UserId)>,
}

impl Person {
    /// Registers somebody, and gives it a device.
    pub(super) async fn register(number: Number, url: &str, folder: &Path) -> Result<Self> {
        let name = NAMES.get(number).context("there are three")?;
        let handle: Handle = name.parse()?;
        // Good for a service that this machine alone reaches, and for as long as it runs.
        let password = format!("{name}-{}", UserId::random());
        let http = ServiceHttp::new(url);
        http.register(&handle, &password, number > 0).await?;
        let login = http.login(&handle, &password, None, "demo").await?;
        let access = http.amqp(&login.token).await?;
        let connector = AmqpConnector::new(AmqpOptions {
            url: access.url,
            user: BrokerUser {
                user: login.user.clone(),
                device: login.device.clone(),
            },
            password: access.password,
            shards: access.shards,
        });
        Ok(Self {
            number,
            handle,
            password,
            login,
            connector: Arc::new(connector.map_err(anyhow::Error::msg)?),
            journal: folder.join(name),
            online: None,
        })
    }

    pub(super) fn device(&self) -> BrokerUser {
        BrokerUser {
            user: self.login.user.clone(),
            device: self.login.device.clone(),
        }
    }

    pub(super) fn is_online(&self) -> bool {
        self.online.is_some()
    }

    pub(super) fn session(&self) -> Option<&Arc<Session>> {
        self.online.as_ref().map(|online| &online.session)
    }

    async fn start(&self) -> Result<(Session, mpsc::Receiver<Notice>)> {
        let options = SessionOptions {
            presence: Some(PresenceState::Online),
            ..self.journal.as_path().into()
        };
        Ok(Session::start(self.connector.clone(), self.device(), options).await?)
    }

    /// Comes online, and is counted from here on.
    pub(super) async fn come(&mut self, listening: Listening) -> Result<()> {
        let (session, notices) = self.start().await?;
        let session = Arc::new(session);
        let listener = tokio::spawn(listen(self.number, session.clone(), notices, listening));
        self.online = Some(Online { session, listener });
        Ok(())
    }

    /// As [`come`](Self::come), for whoever sits at the terminal: what is counted is handed on.
    pub(super) async fn come_to_terminal(
        &self,
        tally: Arc<Mutex<Tally>>,
    ) -> Result<(Session, mpsc::Receiver<Notice>)> {
        let (session, mut notices) = self.start().await?;
        let (forward, forwarded) = mpsc::channel(NOTICES_MAX);
        let number = self.number;
        tokio::spawn(async move {
            while let Some(notice) = notices.recv().await {
                count(&tally, number, &notice, 1);
                if forward.send(notice).await.is_err() {
                    return;
                }
            }
        });
        Ok((session, forwarded))
    }

    /// Goes offline.
    pub(super) async fn go(&mut self) {
        if let Some(Online { session, listener }) = self.online.take() {
            listener.abort();
            // It ends by being aborted.
            let _ = listener.await;
            // Somebody may be writing an answer for another moment.
            let mut session = session;
            for _ in 0..100 {
                match Arc::try_unwrap(session) {
                    Ok(session) => return session.close().await,
                    Err(shared) => session = shared,
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    pub(super) fn post(&self, group: &ConversationId, text: &str) -> Post {
        let (user, device) = (&self.login.user, &self.login.device);
        Post::to_group(group, user, device, Body::text(text), Timestamp::now())
    }
}

fn count(tally: &Mutex<Tally>, number: Number, notice: &Notice, times: u32) {
    match notice {
        Notice::Message(message) => {
            let mut tally = tally.lock();
            (0..times).for_each(|_| tally.shown(number, message));
        }
        Notice::Rejected(rejected, _) => tally.lock().refused(rejected.id),
        Notice::Connected { .. }
        | Notice::Disconnected { .. }
        | Notice::Kept(_)
        | Notice::Sent(_)
        | Notice::Cursor(_)
        | Notice::Typing(_)
        | Notice::Presence(_) => {}
    }
}

async fn listen(
    number: Number,
    session: Arc<Session>,
    mut notices: mpsc::Receiver<Notice>,
    listening: Listening,
) {
    let mut plant = listening.plant;
    let mut answers = ANSWERS.iter().cycle().skip(number);
    while let Some(notice) = notices.recv().await {
        let is_text = |message: &Message| matches!(message.body, Body::Text(_));
        let times = match (&notice, plant) {
            (Notice::Message(message), Some(planted)) if is_text(message) => {
                plant = None;
                match planted {
                    Plant::Loss => 0,
                    Plant::Duplicate => 2,
                }
            }
            _ => 1,
        };
        count(&listening.tally, number, &notice, times);
        let Notice::Message(message) = notice else {
            continue;
        };
        let answer = listening.answers_in.as_ref().filter(|(group, first)| {
            *group == message.conv && *first == message.from && is_text(&message)
        });
        // Every second one of the second one: a group is no echo.
        let is_turn = number == 1 || message.seq.0 % 2 == 0;
        let answer = answer
            .filter(|_| is_turn)
            .and_then(|(group, _)| Some((group.clone(), *answers.next()?)));
        tokio::spawn(react(session.clone(), message, answer));
    }
}

/// Reads, writes for a moment, answers.
async fn react(
    session: Arc<Session>,
    message: Message,
    answer: Option<(ConversationId, &'static str)>,
) {
    tokio::time::sleep(WRITING).await;
    // Who cannot say it now says it with the next message.
    let _ = session.read(&message).await;
    let Some((group, text)) = answer else {
        return;
    };
    let _ = session.typing(group.clone(), Toggle::On).await;
    tokio::time::sleep(WRITING).await;
    let own = session.device();
    let body = Body::text(text);
    let post = Post::to_group(&group, &own.user, &own.device, body, Timestamp::now());
    if let Err(error) = session.send(post).await {
        tracing::warn!(%error, "an answer was not kept");
    }
}
