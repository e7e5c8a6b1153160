//! What the chat knows. The history is the truth: whatever a queue loses, repeats or delays, a client
//! can read back from here.
//!
//! [`ChatStore`] is implemented by [`MemoryStore`], by the embedded store on disk and by PostgreSQL. All
//! of them pass the one suite in [`conformance`], which is what the words of the trait mean.
//!
//! What changes together, changes at once or not at all:
//! - an append: membership and bans are looked at, and `last_seq`, the message, the sender's id of it
//!   and whatever the message changes (members, roles, settings, an erased body) are written;
//! - a cursor: read, compared, written;
//! - a user and its name.

pub mod conformance;
mod embedded;
mod error;
mod kv;
mod memory;
mod postgres;
mod record;
#[cfg(test)]
pub(crate) mod test_database;
mod types;

use std::fmt;

use async_trait::async_trait;
use leveret_client::message::{
    ConversationId, DeviceId, Erasure, Handle, HistoryRange, Message, MessageId, RejectionCode,
    Seq, Timestamp, Toggle, UserId,
};

pub use self::embedded::{EmbeddedStore, OpenError};
pub use self::error::StoreError;
pub use self::memory::MemoryStore;
pub use self::postgres::{PostgresOpenError, PostgresStore};
pub use self::record::{EXPORT_VERSION, Record};
pub use self::types::{
    AddedUser, Advance, Append, Appended, Appends, Conversation, CursorAt, Deployment, Device,
    DeviceKind, Member, Membership, PasswordHash, Session, TokenHash, User, UserChange,
};

/// What the chat knows.
///
/// When a call that changes something returns, the change is on the disk. Every call may be repeated:
/// a second append of the same message, a second advance of the same cursor change nothing and say so.
/// None blocks the caller's thread.
#[async_trait]
pub trait ChatStore: Send + Sync + fmt::Debug + 'static {
    /// How the chat was set up, if it was.
    async fn deployment(&self) -> Result<Option<Deployment>, StoreError>;

    /// Sets the chat up, unless it was before; gives what holds now.
    async fn set_up(&self, deployment: Deployment) -> Result<Deployment, StoreError>;

    /// Appends messages to their conversations, each as if alone, in this order. A message that was
    /// appended before is a [`Appended::Duplicate`], and one that was
    /// refused for good ([`RejectionCode::is_temporary`]) is refused again, whatever has changed since:
    /// what its sender was told stays true. Of what is asked of a message, [`Post::check`](leveret_client::message::Post) is
    /// the caller's.
    async fn append(&self, batch: Vec<Append>) -> Result<Appends, StoreError>;

    /// Refuses messages for reasons of the caller's, each unless it was appended before, and then it is a
    /// [`Appended::Duplicate`]. A refusal for good is kept, like those of [`ChatStore::append`].
    async fn refuse(
        &self,
        batch: Vec<(Append, RejectionCode)>,
    ) -> Result<Vec<Appended>, StoreError>;

    /// A conversation.
    async fn conversation(&self, id: &ConversationId) -> Result<Option<Conversation>, StoreError>;

    /// Ids of conversations after this one, in order.
    async fn conversation_ids(
        &self,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<Vec<ConversationId>, StoreError>;

    /// Who is in a conversation at the moment, in the order of their ids.
    async fn members(&self, id: &ConversationId) -> Result<Vec<Member>, StoreError>;

    /// Somebody who is, or was, or must not be in a conversation.
    async fn member(
        &self,
        id: &ConversationId,
        user: &UserId,
    ) -> Result<Option<Member>, StoreError>;

    /// The conversations that a user is in, or was in and may still read a part of.
    async fn conversations_of(&self, user: &UserId) -> Result<Vec<ConversationId>, StoreError>;

    /// A piece of a conversation, oldest first. Who may read it is the caller's business:
    /// [`Member::visible`].
    async fn history(
        &self,
        id: &ConversationId,
        range: HistoryRange,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError>;

    /// The message to which its sender gave this id.
    async fn message_of(
        &self,
        sender: &UserId,
        id: MessageId,
    ) -> Result<Option<Message>, StoreError>;

    /// Moves cursors forward, each as if alone. The answers are in the same order: the new cursor, or
    /// `None` if it stays where it was, or the user is not in the conversation. No cursor moves beyond
    /// the conversation's last message, and `read` takes `delivered` along.
    async fn advance(&self, batch: Vec<Advance>) -> Result<Vec<Option<CursorAt>>, StoreError>;

    /// How far the members of a conversation have come, in the order of their ids.
    async fn cursors(&self, id: &ConversationId) -> Result<Vec<CursorAt>, StoreError>;

    /// How far one member has come.
    async fn cursor(
        &self,
        id: &ConversationId,
        user: &UserId,
    ) -> Result<Option<CursorAt>, StoreError>;

    /// Whether a conversation may disturb a member; `false` if the user is not in it.
    async fn set_muted(
        &self,
        id: &ConversationId,
        user: &UserId,
        muted: Toggle,
    ) -> Result<bool, StoreError>;

    /// Takes away what messages say; their places stay. Those that say nothing any more, or are not
    /// there, are passed over. Gives how many there were.
    async fn erase(
        &self,
        id: &ConversationId,
        seqs: Vec<Seq>,
        reason: Erasure,
    ) -> Result<usize, StoreError>;

    /// Makes an account.
    async fn add_user(&self, user: User) -> Result<AddedUser, StoreError>;

    /// An account, deleted ones included.
    async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError>;

    /// The account with this name.
    async fn user_by_handle(&self, handle: &Handle) -> Result<Option<User>, StoreError>;

    /// Accounts after this one, in the order of their ids.
    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, StoreError>;

    /// Changes an account; gives it as it is then, `None` if there is none.
    /// [`UserChange::Delete`] frees the name, and takes devices and sessions along.
    async fn change_user(
        &self,
        id: &UserId,
        change: UserChange,
    ) -> Result<Option<User>, StoreError>;

    /// Makes a device, or changes it.
    async fn put_device(&self, device: Device) -> Result<(), StoreError>;

    /// A user's devices, in the order of their ids.
    async fn devices(&self, user: &UserId) -> Result<Vec<Device>, StoreError>;

    /// Takes a device away, with its sessions; gives it if it was there.
    async fn remove_device(
        &self,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<Option<Device>, StoreError>;

    /// Keeps a session, by the hash of its token.
    async fn put_session(&self, token: TokenHash, session: Session) -> Result<(), StoreError>;

    /// The session of a token. Whether it has expired is the caller's business.
    async fn session(&self, token: &TokenHash) -> Result<Option<Session>, StoreError>;

    /// Ends a session.
    async fn remove_session(&self, token: &TokenHash) -> Result<(), StoreError>;

    /// Forgets the ids of messages made before this time, some thousands at once: sending those again
    /// would append them again. Gives how many there were; to be called until there are none.
    async fn forget_ids(&self, before: Timestamp) -> Result<usize, StoreError>;

    /// Accounts after this one, each with its devices and logins, in the order of their ids; `limit` is of
    /// accounts.
    async fn account_records(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// A conversation without its messages, as it is at one moment: first itself, then its members,
    /// those who have left included, then their cursors. Nothing if there is none.
    async fn conversation_records(&self, id: &ConversationId) -> Result<Vec<Record>, StoreError>;

    /// Puts records in as they are, whatever is there; for stores that are being filled, which nobody
    /// uses yet.
    async fn restore(&self, records: Vec<Record>) -> Result<(), StoreError>;

    /// Ends everything in order. What is asked afterwards fails.
    async fn close(&self);
}
