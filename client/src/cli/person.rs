//! A connected device, and the names people use.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use leveret_client::message::properties::BrokerUser;
use leveret_client::message::{
    Body, Command, ConversationId, ConversationSummary, Event, Handle, MENTIONS_MAX, Message,
    MessageId, MessageStatus, Post, Receipt, ReceiptStatus, RejectionCode, Reply, Request,
    Timestamp, UserId,
};
use leveret_client::transport::{ClientTransport, TransportError};
use serde::{Deserialize, Serialize};

use super::arguments::Wait;
use super::output;
use super::{Failure, Setting, connect};

/// How often the service is asked what became of a message.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// Where something is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum To {
    User(UserId),
    Group(ConversationId),
}

impl To {
    pub(crate) fn conversation(&self, own: &UserId) -> ConversationId {
        match self {
            Self::User(user) => ConversationId::direct(own, user),
            Self::Group(group) => group.clone(),
        }
    }

    /// A message of this device to it.
    pub(crate) fn post(&self, device: &BrokerUser, body: Body) -> Post {
        let (user, device, now) = (&device.user, &device.device, Timestamp::now());
        match self {
            Self::User(other) => Post::to_user(other, user, device, body, now),
            Self::Group(group) => Post::to_group(group, user, device, body, now),
        }
    }
}

/// A connected device.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) device: BrokerUser,
    transport: Box<dyn ClientTransport>,
}

impl Person {
    pub(crate) async fn connect(setting: &Setting) -> Result<Self, Failure> {
        let Setting {
            home, login, via, ..
        } = setting;
        let connector = connect::connector(home, login, via.as_deref()).await?;
        Ok(Self {
            device: login.device(),
            transport: connector.connect().await?,
        })
    }

    pub(crate) async fn close(self) {
        self.transport.close().await;
    }

    pub(crate) async fn ask(&self, request: Request) -> Result<Reply, Failure> {
        match self.transport.ask(&request).await? {
            Reply::Refused { code } => Err(code.into()),
            reply => Ok(reply),
        }
    }

    /// Asks for something to be done.
    pub(crate) async fn order(&self, request: Request) -> Result<(), Failure> {
        match self.ask(request).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) async fn conversations(&self) -> Result<Vec<ConversationSummary>, Failure> {
        match self.ask(Request::Conversations).await? {
            Reply::Conversations { conversations } => Ok(conversations),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) async fn messages(&self, request: Request) -> Result<Vec<Message>, Failure> {
        match self.ask(request).await? {
            Reply::Messages { messages } => Ok(messages),
            other => Err(unexpected(&other)),
        }
    }

    async fn find(&self, handle: Handle) -> Result<Option<UserId>, Failure> {
        match self.ask(Request::User { handle }).await? {
            Reply::Users { users } => Ok(users.into_iter().next().map(|user| user.user)),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) async fn user(&self, name: &str) -> Result<UserId, Failure> {
        let name = name.trim_start_matches('@');
        let handle: Handle = name
            .parse()
            .map_err(|error| Failure::Usage(format!("{error}")))?;
        let found = self.find(handle).await?;
        found.ok_or_else(|| RejectionCode::NoSuchUser.into())
    }

    /// Those whom `@name` in a text means.
    pub(crate) async fn mentions(&self, text: &str) -> Result<Vec<UserId>, Failure> {
        let mut mentions = Vec::new();
        for handle in leveret_client::message::mentioned(text) {
            if mentions.len() == MENTIONS_MAX {
                break;
            }
            // Whoever is not there is not meant.
            if let Some(user) = self.find(handle).await?
                && !mentions.contains(&user)
            {
                mentions.push(user);
            }
        }
        Ok(mentions)
    }

    /// Who or what is meant by a name.
    pub(crate) async fn to(&self, name: &str) -> Result<To, Failure> {
        if name.starts_with('@') {
            return Ok(To::User(self.user(name).await?));
        }
        let title = name.trim_start_matches('#');
        if let Ok(id) = title.parse() {
            return Ok(To::Group(id));
        }
        let wanted = format!("#{title}");
        let conversations = self.conversations().await?;
        let mut found = conversations
            .iter()
            .filter(|summary| output::name(summary) == wanted);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(To::Group(one.conv.clone())),
            (Some(_), Some(_)) => Err(Failure::Usage(format!(
                "there are several {wanted}: use the id, see chat group ls"
            ))),
            (None, _) => Err(Failure::Denied(format!("you are in no group {wanted}"))),
        }
    }

    pub(crate) async fn conversation(&self, name: &str) -> Result<ConversationId, Failure> {
        Ok(self.to(name).await?.conversation(&self.device.user))
    }

    /// The names of those who wrote these.
    pub(crate) async fn names(
        &self,
        messages: &[Message],
    ) -> Result<HashMap<UserId, String>, Failure> {
        self.handles(messages.iter().map(|message| message.from.clone()))
            .await
    }

    pub(crate) async fn handles(
        &self,
        users: impl Iterator<Item = UserId>,
    ) -> Result<HashMap<UserId, String>, Failure> {
        let mut users: Vec<_> = users.collect();
        users.sort();
        users.dedup();
        let mut handles = HashMap::new();
        for chunk in users.chunks(500) {
            let users = chunk.to_vec();
            match self.ask(Request::Users { users }).await? {
                Reply::Users { users } => handles.extend(
                    users
                        .into_iter()
                        .map(|user| (user.user, user.handle.to_string())),
                ),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(handles)
    }

    pub(crate) fn post(&self, to: &To, body: Body) -> Post {
        to.post(&self.device, body)
    }

    /// Sends, and waits for what is asked for.
    pub(crate) async fn send(
        &self,
        post: &Post,
        wait: Wait,
        patience: Duration,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + patience;
        // The same message again is the same message: a confirm that did not come is asked for again.
        loop {
            match self.transport.hand_over(&Command::Send(post.clone())).await {
                Ok(()) => break,
                Err(TransportError::Busy | TransportError::TimedOut)
                    if Instant::now() < deadline =>
                {
                    tokio::time::sleep(STATUS_INTERVAL).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut interval = tokio::time::interval(STATUS_INTERVAL);
        let mut listening = true;
        while Instant::now() < deadline {
            tokio::select! {
                arrived = self.transport.next(), if listening => match arrived {
                    Ok(arrived) => {
                        // The history has it, for whoever shows messages on this device.
                        self.transport.acknowledge(arrived.token).await?;
                        match arrived.event {
                            Event::Rejected(rejected) if rejected.id == post.id => {
                                return Err(rejected.code.into());
                            }
                            Event::Sent(sent) if sent.id == post.id && wait == Wait::Stored => {
                                return Ok(());
                            }
                            _ => {}
                        }
                    }
                    Err(_) => listening = false,
                },
                _ = interval.tick() => {
                    if self.is_done(post.id, wait).await? {
                        return Ok(());
                    }
                }
            }
        }
        let id = post.id;
        Err(Failure::Unreachable(format!(
            "{id} is kept by the broker; that is all that is known of it yet"
        )))
    }

    async fn is_done(&self, id: MessageId, wait: Wait) -> Result<bool, Failure> {
        let Reply::Status(MessageStatus::Stored {
            recipients,
            delivered,
            read,
            ..
        }) = self.ask(Request::Status { id }).await?
        else {
            return Ok(false);
        };
        Ok(match wait {
            Wait::Stored => true,
            Wait::Delivered => delivered >= recipients,
            Wait::Read => read >= recipients,
        })
    }

    /// Says that a message and all before it were read.
    pub(crate) async fn read(&self, message: &Message) -> Result<(), Failure> {
        let receipt = Receipt {
            recipient: self.device.user.clone(),
            dev: self.device.device.clone(),
            conv: message.conv.clone(),
            message: message.id,
            seq: message.seq,
            status: ReceiptStatus::Read,
            at: Timestamp::now(),
        };
        Ok(self.transport.hand_over(&Command::Receive(receipt)).await?)
    }
}

pub(crate) fn unexpected(reply: &Reply) -> Failure {
    Failure::Unreachable(format!("an answer to another question: {reply:?}"))
}
