//! A device as it behaves under torture: it writes, shows, reads, pries, and writes all of that down.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use leveret_client::message::properties::BrokerUser;
use leveret_client::message::{
    Body, ConversationId, HistoryRange, MemberChange, Message, Position, Post, Reply, Request,
    Role, Seq, ShardCount, Timestamp, UserId,
};
use leveret_client::session::{Notice, Session, SessionOptions};
use leveret_client::transport::{AmqpConnector, AmqpOptions, Connector, WebSocketConnector};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use super::POISON;
use super::record::{Diary, Reader, Record};
use super::watched::Watched;

/// What a device has to do, in a file that its processes read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Script {
    /// How it is called.
    pub name: String,
    /// How it reaches the service.
    pub way: Way,
    /// Whose it is.
    pub user: UserId,
    /// Which.
    pub device: leveret_client::message::DeviceId,
    /// The session's journal.
    pub journal: PathBuf,
    /// What it writes down.
    pub diary: PathBuf,
    /// When this file is there it writes no more.
    pub stop: PathBuf,
    /// Of everything that is random.
    pub seed: u64,
    /// Milliseconds between two messages, at most.
    pub pace_ms: u64,
    /// Milliseconds that it takes to show a message.
    pub slowness_ms: u64,
    /// Where it writes.
    pub places: Vec<Place>,
    /// Where it has no business.
    pub foreign: Vec<ConversationId>,
    /// Whom it brings in and sends out.
    pub turnstile: Option<(ConversationId, UserId)>,
    /// One in so many messages is poisoned.
    pub poison_one_in: Option<u64>,
}

/// How a device reaches the service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Way {
    /// Over the broker.
    Amqp {
        /// The broker.
        url: String,
        /// The device's password there.
        password: String,
        /// How many send shards there are.
        shards: ShardCount,
    },
    /// Over a gateway's WebSocket.
    Gateway {
        /// The gateway.
        url: String,
        /// The login's.
        token: String,
    },
}

impl Script {
    /// What makes the device's connections.
    pub fn connector(&self) -> Result<Box<dyn Connector>> {
        Ok(match self.way.clone() {
            Way::Amqp {
                url,
                password,
                shards,
            } => {
                let options = AmqpOptions {
                    url,
                    user: self.login(),
                    password,
                    shards,
                };
                Box::new(AmqpConnector::new(options).map_err(anyhow::Error::msg)?)
            }
            Way::Gateway { url, token } => {
                Box::new(WebSocketConnector::new(&url, &token).map_err(anyhow::Error::msg)?)
            }
        })
    }

    /// As the broker calls it.
    #[must_use]
    pub fn login(&self) -> BrokerUser {
        BrokerUser {
            user: self.user.clone(),
            device: self.device.clone(),
        }
    }
}

/// Where somebody writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// The conversation.
    pub conv: ConversationId,
    /// To whom, if it is a direct one.
    pub to: Option<UserId>,
}

struct Actor {
    script: Script,
    diary: Arc<Diary>,
    session: Session,
}

/// What earlier processes wrote down: the diary is the screen.
#[derive(Debug, Default)]
struct Past {
    /// The last message that was shown of each conversation.
    shown: HashMap<ConversationId, Message>,
    /// Up to where each was read.
    read: HashMap<ConversationId, Message>,
}

impl Past {
    fn of(diary: &Path) -> io::Result<Self> {
        let mut reader = Reader::default();
        reader.read(diary)?;
        let mut past = Self::default();
        for entry in reader.entries {
            match entry.record {
                Record::Shown { message } => {
                    past.shown.insert(message.conv.clone(), *message);
                }
                // What is read is what was shown just before.
                Record::Reading { conv, .. } => {
                    if let Some(message) = past.shown.get(&conv) {
                        past.read.insert(conv, message.clone());
                    }
                }
                Record::Began
                | Record::Writing { .. }
                | Record::Written { .. }
                | Record::Busy { .. }
                | Record::Sent { .. }
                | Record::Rejected { .. }
                | Record::Cursor { .. }
                | Record::Pried { .. }
                | Record::Outbox { .. }
                | Record::Connected
                | Record::Disconnected { .. } => {}
            }
        }
        Ok(past)
    }

    fn positions(&self) -> Vec<Position> {
        let position = |message: &Message| Position {
            conv: message.conv.clone(),
            after: message.seq,
        };
        self.shown.values().map(position).collect()
    }
}

/// Plays until it is killed.
pub async fn play(script: Script) -> Result<()> {
    let past = Past::of(&script.diary)?;
    let diary = Arc::new(Diary::open(&script.diary)?);
    let mut random = StdRng::seed_from_u64(script.seed ^ super::record::now());
    diary.put(Record::Began)?;
    let connector = Watched::new(script.connector()?, diary.clone());
    let options = SessionOptions {
        shown: Some(past.positions()),
        ..SessionOptions::from(script.journal.as_path())
    };
    let started = Session::start(Arc::new(connector), script.login(), options);
    let (session, mut notices) = started.await.context("the session does not start")?;
    let actor = Actor {
        script,
        diary,
        session,
    };
    for message in past.read.values() {
        // The process that read it may have died before it said so.
        actor.session.read(message).await?;
    }
    let mut others = StdRng::seed_from_u64(random.random());
    let watching = async {
        while let Some(notice) = notices.recv().await {
            actor.see(notice, &mut others).await?;
        }
        Err::<(), _>(anyhow::anyhow!("the session has ended"))
    };
    tokio::try_join!(
        watching,
        actor.write(&mut random),
        actor.pry(),
        actor.count()
    )?;
    Ok(())
}

impl Actor {
    async fn see(&self, notice: Notice, random: &mut StdRng) -> Result<()> {
        match notice {
            Notice::Message(message) => self.show(message, random).await?,
            Notice::Sent(sent) => self.diary.put(Record::Sent {
                id: sent.id,
                seq: sent.seq,
            })?,
            Notice::Rejected(rejected, _) => self.diary.put(Record::Rejected {
                id: rejected.id,
                code: rejected.code,
            })?,
            Notice::Cursor(cursor) => self.diary.put(Record::Cursor { cursor })?,
            Notice::Connected { .. } => self.diary.put(Record::Connected)?,
            Notice::Disconnected { reason } => self.diary.put(Record::Disconnected {
                reason: reason.to_string(),
            })?,
            Notice::Kept(_) | Notice::Typing(_) | Notice::Presence(_) => {}
        }
        Ok(())
    }

    async fn show(&self, message: Message, random: &mut StdRng) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(self.script.slowness_ms)).await;
        let shown = Box::new(message.clone());
        self.diary.put(Record::Shown { message: shown })?;
        if random.random_bool(0.3) {
            let (conv, seq) = (message.conv.clone(), message.seq);
            self.diary.put(Record::Reading { conv, seq })?;
            self.session.read(&message).await?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.script.stop.exists()
    }

    async fn write(&self, random: &mut StdRng) -> Result<()> {
        let mut number = 0_u64;
        let mut brings_in = false;
        while !self.is_over() {
            let pause = random.random_range(10..=self.script.pace_ms.max(10));
            tokio::time::sleep(Duration::from_millis(pause)).await;
            number += 1;
            let turns = number.is_multiple_of(12);
            if let Some((conv, user)) = self.script.turnstile.as_ref().filter(|_| turns) {
                let change = if brings_in {
                    MemberChange::Add { role: Role::Member }
                } else {
                    MemberChange::Remove
                };
                brings_in = !brings_in;
                let user = user.clone();
                let place = Place {
                    conv: conv.clone(),
                    to: None,
                };
                self.post(&place, Body::Member { user, change }).await?;
            } else if !self.script.places.is_empty() {
                let place = random.random_range(0..self.script.places.len());
                let place = &self.script.places[place];
                let mut text = format!("{} in {}: {number}", self.script.name, place.conv);
                let poison = self.script.poison_one_in;
                if poison.is_some_and(|one_in| random.random_range(0..one_in) == 0) {
                    text.push_str(POISON);
                }
                self.post(place, Body::text(&text)).await?;
            }
        }
        // The others go on.
        std::future::pending().await
    }

    async fn post(&self, place: &Place, body: Body) -> io::Result<()> {
        let (user, device, now) = (&self.script.user, &self.script.device, Timestamp::now());
        let post = match &place.to {
            Some(other) => Post::to_user(other, user, device, body, now),
            None => Post::to_group(&place.conv, user, device, body, now),
        };
        let id = post.id;
        self.diary.put(Record::Writing {
            post: Box::new(post.clone()),
        })?;
        self.session.send(post).await?;
        self.diary.put(Record::Written { id })
    }

    /// Asks for what is not its own.
    async fn pry(&self) -> Result<()> {
        let mut foreign = self.script.foreign.iter().cycle();
        loop {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let Some(conv) = foreign.next() else {
                return std::future::pending().await;
            };
            let history = Request::History {
                conv: conv.clone(),
                range: HistoryRange::NEWEST,
                limit: 10,
            };
            let position = Position {
                conv: conv.clone(),
                after: Seq::NONE,
            };
            let sync = Request::Sync {
                positions: vec![position],
                limit: 10,
            };
            for request in [history, sync] {
                // Without a connection there is no answer.
                let Ok(reply) = self.session.ask(request).await else {
                    continue;
                };
                let got = match reply {
                    Reply::Messages { messages } => messages.len(),
                    Reply::Sync(page) => page.messages.len() + page.hidden.len() + page.more.len(),
                    Reply::Me { .. }
                    | Reply::Conversations { .. }
                    | Reply::Members { .. }
                    | Reply::Cursors { .. }
                    | Reply::Status(_)
                    | Reply::Users { .. }
                    | Reply::Done
                    | Reply::Refused { .. }
                    | Reply::Unknown => 0,
                };
                let conv = conv.clone();
                self.diary.put(Record::Pried { conv, got })?;
            }
        }
    }

    /// Says, when it writes no more, how much is on its way.
    async fn count(&self) -> Result<()> {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if self.is_over() {
                let waiting = self.session.outbox().await?.len();
                self.diary.put(Record::Outbox { waiting })?;
            }
        }
    }
}
