//! A connected device, and the names people use.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use leveret_client::message::properties::BrokerUser;
use leveret_client::message::{
    Body, Command, ConversationId, ConversationSummary, Event, Handle, Message, MessageId,
    MessageStatus, Post, Receipt, ReceiptStatus, RejectionCode, Reply, Request, Timestamp, UserId,
};
use leveret_client::transport::{
    AmqpConnector, AmqpOptions, ClientTransport, Connector as _, TransportError,
};

use super::Failure;
use super::arguments::Wait;
use super::home::Login;
use super::output;

/// How often the service is asked what became of a message.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// Where something is sent.
#[derive(Clone, Debug)]
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
}

/// A connected device.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) device: BrokerUser,
    transport: Box<dyn ClientTransport>,
}

pub(crate) fn connector(login: &Login) -> Result<AmqpConnector, Failure> {
    let options = AmqpOptions {
        url: login.amqp.url.clone(),
        user: login.device(),
        password: login.amqp.password.clone(),
        shards: login.amqp.shards,
    };
    AmqpConnector::new(options).map_err(Failure::Usage)
}

impl Person {
    pub(crate) async fn connect(login: &Login) -> Result<Self, Failure> {
        Ok(Self {
            device: login.device(),
            transport: connector(login)?.connect().await?,
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

    pub(crate) async fn user(&self, name: &str) -> Result<UserId, Failure> {
        let name = name.trim_start_matches('@');
        let handle: Handle = name
            .parse()
            .map_err(|error| Failure::Usage(format!("{error}")))?;
        match self.ask(Request::User { handle }).await? {
            Reply::Users { users } => match users.into_iter().next() {
                Some(user) => Ok(user.user),
                None => Err(RejectionCode::NoSuchUser.into()),
            },
            other => Err(unexpected(&other)),
        }
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

    /// The names of those who wrote these.
    pub(crate) async fn names(
        &self,
        messages: &[Message],
    ) -> Result<HashMap<UserId, String>, Failure> {
        let mut users: Vec<_> = messages
            .iter()
            .map(|message| message.from.clone())
            .collect();
        users.sort();
        users.dedup();
        match self.ask(Request::Users { users }).await? {
            Reply::Users { users } => Ok(users
                .into_iter()
                .map(|user| (user.user, user.handle.to_string()))
                .collect()),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) fn post(&self, to: &To, body: Body) -> Post {
        let (user, device, now) = (&self.device.user, &self.device.device, Timestamp::now());
        match to {
            To::User(other) => Post::to_user(other, user, device, body, now),
            To::Group(group) => Post::to_group(group, user, device, body, now),
        }
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
                    // Not acknowledged: it is for whoever reads the inbox.
                    Ok(arrived) => match arrived.event {
                        Event::Rejected(rejected) if rejected.id == post.id => {
                            return Err(rejected.code.into());
                        }
                        _ => {}
                    },
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
