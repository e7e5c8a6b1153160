//! What stores keep.

use std::fmt;
use std::ops::RangeInclusive;

use data_encoding::HEXLOWER;
use leveret_client::message::{
    ConversationId, ConversationKind, DeviceId, GroupHistory, GroupSettings, Handle, Message, Post,
    RejectionCode, Role, Seq, ShardCount, Timestamp, Toggle, UserId,
};
use serde::{Deserialize, Serialize};

/// How the chat was set up; fixed from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Send shards.
    pub shards: ShardCount,
    /// When.
    pub created: Timestamp,
}

/// A message to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// What was sent.
    pub post: Post,
    /// The service's time.
    pub at: Timestamp,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the history.
    Stored(Message),
    /// It had been before.
    Duplicate(Message),
    /// It is not; and will not be, unless the reason is a passing one.
    Denied(RejectionCode),
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appends {
    /// What became of each message, in the order of the batch.
    pub outcomes: Vec<Appended>,
    /// The conversations of those that are in the history, each once, as they are after the batch.
    pub conversations: Vec<Conversation>,
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// The place of the last message.
    pub last_seq: Seq,
    /// When the last message was taken.
    pub last_ts: Timestamp,
    /// Rises whenever the members or their rights change.
    pub member_version: u64,
    /// How many are in it.
    pub members: u64,
    /// A group's settings.
    pub settings: Option<GroupSettings>,
    /// When the first message was taken.
    pub created: Timestamp,
}

impl Conversation {
    /// Group or direct.
    #[must_use]
    pub fn kind(&self) -> ConversationKind {
        self.id.kind()
    }
}

/// Whether somebody is in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Membership {
    /// In it.
    Present,
    /// It was, up to this place, and may come back.
    Left {
        /// The last message it may read.
        at: Seq,
    },
    /// It may not come in. If it ever was, up to this place.
    Banned {
        /// The last message it may read.
        at: Seq,
    },
}

/// Somebody in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// As what.
    pub role: Role,
    /// Whether it is in it now.
    #[serde(flatten)]
    pub membership: Membership,
    /// The message with which it came; none if it never did.
    pub joined: Seq,
    /// Until when it may not write.
    pub silenced_until: Option<Timestamp>,
    /// Whether it wants to be left in peace.
    pub muted: Toggle,
}

impl Member {
    /// Whether it is in the conversation now.
    #[must_use]
    pub fn is_present(&self) -> bool {
        match self.membership {
            Membership::Present => true,
            Membership::Left { .. } | Membership::Banned { .. } => false,
        }
    }

    /// The messages it may read; an empty range if none.
    #[must_use]
    pub fn visible(&self, conversation: &Conversation) -> RangeInclusive<Seq> {
        if self.joined == Seq::NONE {
            return Seq(1)..=Seq::NONE;
        }
        let settings = conversation.settings.as_ref();
        let from = match settings.map(|settings| settings.history) {
            Some(GroupHistory::Joined) => self.joined,
            // Both members of a direct conversation were there from the beginning.
            Some(GroupHistory::All) | None => Seq(1),
        };
        let to = match self.membership {
            Membership::Present => conversation.last_seq,
            Membership::Left { at } | Membership::Banned { at } => at,
        };
        from..=to
    }
}

/// A cursor is to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Where.
    pub conv: ConversationId,
    /// Whose.
    pub user: UserId,
    /// Everything up to here has arrived.
    pub delivered: Seq,
    /// Everything up to here was read.
    pub read: Seq,
    /// The service's time.
    pub at: Timestamp,
}

/// How far a member has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorAt {
    /// Who.
    pub user: UserId,
    /// Everything up to here has arrived.
    pub delivered: Seq,
    /// Everything up to here was read.
    pub read: Seq,
    /// When it last moved.
    pub at: Timestamp,
}

/// The hash of a password, with its salt and parameters. Not to be shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash(…)")
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The name to log in with and to address it by.
    pub handle: Handle,
    /// The name to show.
    pub name: String,
    /// The hash of its password; `None` for those who log in otherwise, or not at all.
    pub password: Option<PasswordHash>,
    /// Whether it is a program.
    pub bot: bool,
    /// Whether it may do what administrators do.
    pub administrator: bool,
    /// Whether others see how far it has read.
    pub receipts: Toggle,
    /// When it was made.
    pub created: Timestamp,
    /// When it was deleted.
    pub deleted: Option<Timestamp>,
}

/// What became of an account that was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddedUser {
    /// It is there.
    Added,
    /// The name, or the id, is somebody else's.
    Taken,
}

/// What changes of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserChange {
    /// The name to show.
    Name(String),
    /// The password.
    Password(Option<PasswordHash>),
    /// Whether it may do what administrators do.
    Administrator(bool),
    /// Whether others see how far it has read.
    Receipts(Toggle),
    /// It is deleted: the handle is free for others, devices and sessions are gone. The id stays, so
    /// that its messages have a sender.
    Delete(Timestamp),
}

/// How a device is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// It has a queue of its own on the broker.
    Inbox,
    /// Through a gateway, while it is connected.
    Gateway,
}

/// A device of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Whose.
    pub user: UserId,
    /// Its id.
    pub id: DeviceId,
    /// What its user calls it.
    pub name: String,
    /// How it is reached.
    pub kind: DeviceKind,
    /// Whether something could not be put into its queue: it is told so once there is room, and asks.
    pub behind: bool,
    /// When it was made.
    pub created: Timestamp,
}

/// The SHA-256 of a token. The token itself is not kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash(pub [u8; 32]);

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> Self {
        HEXLOWER.encode(&hash.0)
    }
}

impl TryFrom<String> for TokenHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let octets = HEXLOWER.decode(text.as_bytes()).ok();
        let octets = octets.and_then(|octets| octets.try_into().ok());
        octets.map(Self).ok_or("not the hash of a token")
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenHash(…)")
    }
}

/// A login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose.
    pub user: UserId,
    /// On which device.
    pub device: DeviceId,
    /// Since when.
    pub created: Timestamp,
    /// Until when.
    pub expires: Timestamp,
}
