//! Requests, answered from the store: what may be read by whom is decided here, for AMQP and for
//! gateways alike.

mod page;
mod views;

use std::sync::Arc;

use leveret_client::message::{
    ConversationId, ENVELOPE_BYTES_MAX, HistoryRange, MessageId, MessageStatus, RejectionCode,
    Reply, Request, UserId,
};

use crate::settings::Settings;
use crate::store::{ChatStore, Conversation, Member, StoreError, UserChange};

/// Answers requests.
#[derive(Clone, Debug)]
pub struct Desk {
    store: Arc<dyn ChatStore>,
    settings: Settings,
}

/// A conversation that may be read, and by whom.
struct Readable {
    conversation: Conversation,
    member: Member,
}

impl Desk {
    /// From this store.
    #[must_use]
    pub fn new(store: Arc<dyn ChatStore>, settings: Settings) -> Self {
        Self { store, settings }
    }

    /// How many octets the answer to this may have, about.
    #[must_use]
    pub fn answer_bytes_max(&self, request: &Request) -> usize {
        match request {
            Request::Sync { .. }
            | Request::History { .. }
            | Request::Search { .. }
            | Request::Conversations
            | Request::Members { .. }
            | Request::Cursors { .. }
            | Request::Users { .. } => self.settings.page_bytes_max,
            // One message at most.
            Request::Me
            | Request::Status { .. }
            | Request::User { .. }
            | Request::Mute { .. }
            | Request::Receipts { .. } => ENVELOPE_BYTES_MAX,
        }
    }

    /// Answers; a store that does not work is an answer, too.
    pub async fn answer(&self, asker: &UserId, request: Request) -> Reply {
        match self.try_answer(asker, request).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(code)) => Reply::Refused { code },
            Err(error) => {
                tracing::warn!(%error, "a request was not answered");
                let code = RejectionCode::Unavailable;
                Reply::Refused { code }
            }
        }
    }

    async fn try_answer(
        &self,
        asker: &UserId,
        request: Request,
    ) -> Result<Result<Reply, RejectionCode>, StoreError> {
        Ok(match request {
            Request::Me => self.me(asker).await?,
            Request::Sync { positions, limit } => {
                Ok(Reply::Sync(self.sync(asker, positions, limit).await?))
            }
            Request::History { conv, range, limit } => {
                self.history(asker, &conv, range, limit).await?
            }
            Request::Conversations => Ok(Reply::Conversations {
                conversations: self.conversations(asker).await?,
            }),
            Request::Members { conv } => match self.present(asker, &conv).await? {
                Some(_) => Ok(Reply::Members {
                    members: self.members(&conv).await?,
                }),
                None => Err(RejectionCode::NotMember),
            },
            Request::Cursors { conv } => match self.present(asker, &conv).await? {
                Some(_) => Ok(Reply::Cursors {
                    cursors: self.cursors(asker, &conv).await?,
                }),
                None => Err(RejectionCode::NotMember),
            },
            Request::Status { id } => Ok(Reply::Status(self.status(asker, id).await?)),
            Request::User { handle } => {
                let user = self.store.user_by_handle(&handle).await?;
                let users = user.iter().map(views::user).collect();
                Ok(Reply::Users { users })
            }
            Request::Users { users } => self.users(&users).await?,
            Request::Search { text, conv, limit } => {
                self.search(asker, &text, conv.as_ref(), limit).await?
            }
            Request::Mute { conv, state } => {
                if self.store.set_muted(&conv, asker, state).await? {
                    Ok(Reply::Done)
                } else {
                    Err(RejectionCode::NotMember)
                }
            }
            Request::Receipts { state } => {
                let change = UserChange::Receipts(state);
                match self.store.change_user(asker, change).await? {
                    Some(_) => Ok(Reply::Done),
                    None => Err(RejectionCode::NoSuchUser),
                }
            }
        })
    }

    async fn me(&self, asker: &UserId) -> Result<Result<Reply, RejectionCode>, StoreError> {
        let user = self.store.user(asker).await?;
        let deployment = self.store.deployment().await?;
        let (Some(user), Some(deployment)) = (user, deployment) else {
            return Ok(Err(RejectionCode::NoSuchUser));
        };
        Ok(Ok(Reply::Me {
            receipts: user.receipts,
            user: views::user(&user),
            shards: deployment.shards,
        }))
    }

    /// The conversation, if the asker may read any of it.
    async fn readable(
        &self,
        asker: &UserId,
        id: &ConversationId,
    ) -> Result<Option<Readable>, StoreError> {
        let Some(member) = self.store.member(id, asker).await? else {
            return Ok(None);
        };
        let conversation = self.store.conversation(id).await?;
        let readable = conversation.map(|conversation| Readable {
            conversation,
            member,
        });
        Ok(readable.filter(|readable| !readable.visible().is_empty()))
    }

    /// The conversation, if the asker is in it now.
    async fn present(
        &self,
        asker: &UserId,
        id: &ConversationId,
    ) -> Result<Option<Readable>, StoreError> {
        let readable = self.readable(asker, id).await?;
        Ok(readable.filter(|readable| readable.member.is_present()))
    }

    async fn history(
        &self,
        asker: &UserId,
        id: &ConversationId,
        range: HistoryRange,
        limit: u32,
    ) -> Result<Result<Reply, RejectionCode>, StoreError> {
        let Some(readable) = self.readable(asker, id).await? else {
            return Ok(Err(RejectionCode::NotMember));
        };
        let messages = self.piece(&readable, range, limit).await?;
        Ok(Ok(Reply::Messages { messages }))
    }

    async fn status(&self, asker: &UserId, id: MessageId) -> Result<MessageStatus, StoreError> {
        let Some(message) = self.store.message_of(asker, id).await? else {
            return Ok(MessageStatus::Unknown);
        };
        let cursors = self.cursors(asker, &message.conv).await?;
        let mut others = cursors;
        others.retain(|cursor| cursor.cursor.user != *asker);
        let count = |has: &dyn Fn(&leveret_client::message::Cursor) -> bool| {
            others.iter().filter(|cursor| has(&cursor.cursor)).count() as u64
        };
        Ok(MessageStatus::Stored {
            recipients: others.len() as u64,
            delivered: count(&|cursor| cursor.delivered >= message.seq),
            read: count(&|cursor| cursor.read >= message.seq),
            message: Box::new(message),
        })
    }
}
