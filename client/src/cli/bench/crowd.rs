//! People who are registered for a measurement, and leave after it.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use leveret_client::http::{LoggedIn, ServiceHttp};
use leveret_client::message::properties::BrokerUser;
use leveret_client::message::{
    Body, Command, ConversationId, Event, MessageId, Post, Timestamp, UserId,
};
use leveret_client::transport::{AmqpConnector, AmqpOptions, ClientTransport, Connector as _};
use leveret_client::trust::Trust;

use super::super::Failure;

/// For whatever should happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// People registered at the same time: each costs the service the hashing of a password.
const REGISTRATIONS: usize = 4;

/// Everybody, at one service.
pub(super) struct Crowd {
    http: ServiceHttp,
    trust: Trust,
    prefix: String,
    password: String,
    everybody: Vec<LoggedIn>,
    folder: PathBuf,
}

/// Somebody with a device.
pub(super) struct Guest {
    pub(super) login: LoggedIn,
    pub(super) connector: AmqpConnector,
}

impl Guest {
    pub(super) fn device(&self) -> BrokerUser {
        BrokerUser {
            user: self.login.user.clone(),
            device: self.login.device.clone(),
        }
    }

    pub(super) fn to(&self, other: &UserId, text: &str) -> Post {
        let (user, device) = (&self.login.user, &self.login.device);
        Post::to_user(other, user, device, Body::text(text), Timestamp::now())
    }

    pub(super) fn in_group(&self, group: &ConversationId, body: Body) -> Post {
        let (user, device) = (&self.login.user, &self.login.device);
        Post::to_group(group, user, device, body, Timestamp::now())
    }

    pub(super) async fn connect(&self) -> Result<Box<dyn ClientTransport>, Failure> {
        Ok(self.connector.connect().await?)
    }
}

impl Crowd {
    pub(super) fn new(url: &str, trust: &Trust) -> Result<Self, Failure> {
        let unique = UserId::random().to_string();
        Ok(Self {
            http: ServiceHttp::trusting(url, trust),
            trust: trust.clone(),
            prefix: format!("bench-{}", &unique[1..9]),
            password: unique.clone(),
            everybody: Vec::new(),
            folder: std::env::temp_dir().join(format!("chat-bench-{unique}")),
        })
    }

    pub(super) fn journal(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Registers so many people, each with a device.
    pub(super) async fn people(&mut self, count: usize) -> Result<Vec<Guest>, Failure> {
        let first = self.everybody.len();
        let numbers = first..first + count;
        let guests = stream::iter(numbers.map(|number| self.person(number)));
        let guests: Vec<Guest> = guests.buffered(REGISTRATIONS).try_collect().await?;
        let logins = guests.iter().map(|guest| guest.login.clone());
        self.everybody.extend(logins);
        Ok(guests)
    }

    async fn person(&self, number: usize) -> Result<Guest, Failure> {
        let name = format!("{}-{number}", self.prefix);
        let handle = name
            .parse()
            .map_err(|error| Failure::Usage(format!("{error}")))?;
        self.http.register(&handle, &self.password, true).await?;
        let login = self
            .http
            .login(&handle, &self.password, None, "bench")
            .await?;
        let access = self.http.amqp(&login.token).await?;
        let connector = AmqpConnector::new(AmqpOptions {
            url: access.url,
            user: BrokerUser {
                user: login.user.clone(),
                device: login.device.clone(),
            },
            password: access.password,
            shards: access.shards,
        });
        let connector = connector.map_err(Failure::Usage)?;
        Ok(Guest {
            login,
            connector: connector.trusting(&self.trust),
        })
    }

    /// Everybody's account is deleted.
    pub(super) async fn leave(self) -> Result<(), Failure> {
        let delete = |login: LoggedIn| {
            let http = self.http.clone();
            async move { http.delete_account(&login.token).await }
        };
        let deletions = stream::iter(self.everybody.into_iter().map(delete));
        let () = deletions.buffer_unordered(2).try_collect().await?;
        // There may have been no journal.
        let _ = std::fs::remove_dir_all(&self.folder);
        Ok(())
    }
}

/// What comes next, acknowledged.
pub(super) async fn next(transport: &dyn ClientTransport) -> Result<Event, Failure> {
    let next = tokio::time::timeout(PATIENCE, transport.next()).await;
    let silent = |_| Failure::Unreachable("nothing arrives".to_owned());
    let arrived = next.map_err(silent)??;
    transport.acknowledge(arrived.token).await?;
    match arrived.event {
        Event::Rejected(rejected) => Err(Failure::Denied(format!(
            "{}: serve with higher limits, as README.md says of chat bench",
            rejected.code
        ))),
        event => Ok(event),
    }
}

/// Waits until a message has come, or the answer to it.
pub(super) async fn wait_for(
    transport: &dyn ClientTransport,
    wanted: impl Fn(&Event) -> Option<MessageId>,
    id: MessageId,
) -> Result<(), Failure> {
    while wanted(&next(transport).await?) != Some(id) {}
    Ok(())
}

pub(super) fn message_id(event: &Event) -> Option<MessageId> {
    match event {
        Event::Msg(message) => Some(message.id),
        _ => None,
    }
}

pub(super) fn sent_id(event: &Event) -> Option<MessageId> {
    match event {
        Event::Sent(sent) => Some(sent.id),
        _ => None,
    }
}

pub(super) async fn hand_over(transport: &dyn ClientTransport, post: &Post) -> Result<(), Failure> {
    Ok(transport.hand_over(&Command::Send(post.clone())).await?)
}
