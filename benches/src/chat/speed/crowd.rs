//! People. They are put into the store before the service starts, each with a device and a login, by a
//! file such as `leveret-chat export` writes: a thousand passwords would take minutes to hash.

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use leveret_client::http::{AmqpAccess, HttpError, ServiceHttp};
use leveret_client::message::properties::BrokerUser;
use leveret_client::message::{
    Body, ConversationId, DeviceId, Post, ShardCount, Timestamp, UserId,
};
use leveret_client::transport::{
    AmqpConnector, AmqpOptions, ClientTransport, Connector, WebSocketConnector,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// The version of the format that is written here; docs/chat-operations.md describes it.
const EXPORT_VERSION: u32 = 1;
/// How long a login is good.
const LOGIN: Duration = Duration::from_secs(86_400);
/// Connections made at the same time.
pub(super) const CONNECTS_MAX: usize = 16;

/// For a device to be let in to the broker, and between two tries.
const ACCESS_PATIENCE: Duration = Duration::from_secs(60);
const ACCESS_INTERVAL: Duration = Duration::from_millis(500);

/// How somebody reaches the chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By AMQP, with a queue of its own on the broker.
    Amqp,
    /// By the gateway's WebSocket, as a browser does.
    Gateway,
}

/// Somebody with a login.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) device: BrokerUser,
    token: String,
}

impl Person {
    fn new() -> Self {
        Self {
            device: BrokerUser {
                user: UserId::random(),
                device: DeviceId::random(),
            },
            // As random as an id, and good enough for a chat that lives for a minute.
            token: UserId::random().to_string(),
        }
    }

    pub(super) fn id(&self) -> &UserId {
        &self.device.user
    }

    pub(super) fn to(&self, other: &Self, text: &str) -> Post {
        let BrokerUser { user, device } = &self.device;
        Post::to_user(other.id(), user, device, Body::text(text), Timestamp::now())
    }

    pub(super) fn in_group(&self, group: &ConversationId, body: Body) -> Post {
        let BrokerUser { user, device } = &self.device;
        Post::to_group(group, user, device, body, Timestamp::now())
    }
}

/// People before there is a chat for them.
#[derive(Debug)]
pub(super) struct Population(Vec<Person>);

impl Population {
    pub(super) fn new(count: usize) -> Self {
        Self((0..count).map(|_| Person::new()).collect())
    }

    /// Writes them for `leveret-chat import`, in a chat with so many shards.
    pub(super) fn write(&self, file: &Path, shards: ShardCount) -> Result<()> {
        let now = Timestamp::now();
        let expires = Timestamp::from_milliseconds(
            now.milliseconds() + u64::try_from(LOGIN.as_millis()).unwrap_or(u64::MAX),
        );
        let mut lines = vec![
            json!({"type": "export", "version": EXPORT_VERSION}),
            json!({"type": "deployment", "shards": shards, "created": now}),
        ];
        // Accounts come by their ids.
        let mut people: Vec<_> = self.0.iter().enumerate().collect();
        people.sort_by(|(_, one), (_, other)| one.id().cmp(other.id()));
        for (number, person) in people {
            let BrokerUser { user, device } = &person.device;
            let name = format!("bench-{number}");
            lines.push(json!({
                "type": "user", "id": user, "handle": name, "name": name, "password": null,
                "bot": false, "administrator": false, "receipts": "on", "created": now,
                "deleted": null,
            }));
            lines.push(json!({
                "type": "device", "user": user, "id": device, "name": "bench",
                "kind": "gateway", "behind": false, "created": now,
            }));
            let hash = Sha256::digest(person.token.as_bytes());
            let hash: String = hash.iter().map(|octet| format!("{octet:02x}")).collect();
            lines.push(json!({
                "type": "session", "token": hash, "user": user, "device": device,
                "created": now, "expires": expires,
            }));
        }
        lines.push(json!({"type": "end", "records": lines.len()}));
        let mut output = Vec::new();
        for line in &lines {
            serde_json::to_writer(&mut output, line)?;
            output.push(b'\n');
        }
        let mut file = std::fs::File::create(file)?;
        Ok(file.write_all(&output)?)
    }
}

/// Everybody, at one service.
#[derive(Debug)]
pub(super) struct Crowd {
    people: Vec<Person>,
    /// Those before this one were given away.
    next: AtomicUsize,
    http: ServiceHttp,
    url: String,
}

impl Crowd {
    pub(super) fn new(population: Population, url: &str) -> Self {
        Self {
            people: population.0,
            next: AtomicUsize::new(0),
            http: ServiceHttp::new(url),
            url: url.to_owned(),
        }
    }

    /// So many people of whom nobody has heard yet.
    pub(super) fn strangers(&self, count: usize) -> Result<&[Person]> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let people = self.people.get(first..first + count);
        people.context("there are not so many people")
    }

    /// What the service cannot do at the moment is asked for again, as every client does: a RabbitMQ with much to
    /// do may take long to make a user and its queue.
    async fn access(&self, person: &Person) -> Result<AmqpAccess> {
        let deadline = Instant::now() + ACCESS_PATIENCE;
        loop {
            match self.http.amqp(&person.token).await {
                Err(HttpError::Refused { status: 503, .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(ACCESS_INTERVAL).await;
                }
                access => return Ok(access?),
            }
        }
    }

    /// How this person reaches the chat. By AMQP the device gets its queue here.
    pub(super) async fn connector(&self, person: &Person, way: Way) -> Result<Box<dyn Connector>> {
        match way {
            Way::Amqp => {
                let access = self.access(person).await?;
                let options = AmqpOptions {
                    url: access.url,
                    user: person.device.clone(),
                    password: access.password,
                    shards: access.shards,
                };
                let connector = AmqpConnector::new(options).map_err(anyhow::Error::msg)?;
                Ok(Box::new(connector))
            }
            Way::Gateway => {
                let connector = WebSocketConnector::new(&self.url, &person.token);
                Ok(Box::new(connector.map_err(anyhow::Error::msg)?))
            }
        }
    }

    pub(super) async fn connect(
        &self,
        person: &Person,
        way: Way,
    ) -> Result<Box<dyn ClientTransport>> {
        let connector = self.connector(person, way).await?;
        Ok(connector.connect().await?)
    }

    /// Connects them all, a few at a time, in their order.
    pub(super) async fn connect_all(
        &self,
        people: &[Person],
        way: Way,
    ) -> Result<Vec<Box<dyn ClientTransport>>> {
        ensure!(!people.is_empty(), "nobody is to be connected");
        let mut all = Vec::with_capacity(people.len());
        for some in people.chunks(CONNECTS_MAX) {
            let some = some.iter().map(|person| self.connect(person, way));
            all.extend(futures_util::future::try_join_all(some).await?);
        }
        Ok(all)
    }
}
