//! What clients ask, and what they are answered at once.

use serde::{Deserialize, Serialize};

use super::body::{GroupSettings, Role, Toggle};
use super::event::{Cursor, Message};
use super::id::{ConversationId, ConversationKind, Handle, MessageId, Seq, UserId};
use super::rejection::RejectionCode;
use super::shard::ShardCount;
use super::time::Timestamp;

/// What clients ask. Who asks is said by the transport: the broker's user, or the gateway's session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// Who am I, and how is this service set up?
    Me,
    /// Everything after these places, oldest first.
    Sync {
        /// One for each conversation.
        positions: Vec<Position>,
        /// Messages in all, at most; the service has a limit of its own.
        #[serde(default = "limit_default")]
        limit: u32,
    },
    /// A piece of a conversation.
    History {
        /// Which.
        conv: ConversationId,
        /// Which piece.
        #[serde(flatten)]
        range: HistoryRange,
        /// Messages, at most; the service has a limit of its own.
        #[serde(default = "limit_default")]
        limit: u32,
    },
    /// My conversations, each with what is unread.
    Conversations,
    /// Who is in a conversation.
    Members {
        /// Which.
        conv: ConversationId,
    },
    /// How far everybody has come in a conversation.
    Cursors {
        /// Which.
        conv: ConversationId,
    },
    /// What became of a message that I sent.
    Status {
        /// Which.
        id: MessageId,
    },
    /// Who has this name.
    User {
        /// The name.
        handle: Handle,
    },
    /// Who these are.
    Users {
        /// Their ids.
        users: Vec<UserId>,
    },
    /// Messages with these words, in all my conversations or in one; newest first.
    Search {
        /// The words; all must occur.
        text: String,
        /// Only here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conv: Option<ConversationId>,
        /// Messages, at most; the service has a limit of its own.
        #[serde(default = "limit_default")]
        limit: u32,
    },
    /// Whether a conversation may disturb me.
    Mute {
        /// Which.
        conv: ConversationId,
        /// On is silent.
        state: Toggle,
    },
    /// Whether others see how far I have read.
    Receipts {
        /// On is visible.
        state: Toggle,
    },
}

fn limit_default() -> u32 {
    100
}

/// A place in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which conversation.
    pub conv: ConversationId,
    /// The last message that is there.
    pub after: Seq,
}

/// Which piece of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryRange {
    /// The last ones before this place.
    Before(Seq),
    /// The first ones after this place.
    After(Seq),
}

impl HistoryRange {
    /// The newest ones.
    pub const NEWEST: Self = Self::Before(Seq(u64::MAX));
}

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Me`].
    Me {
        /// Who asks.
        user: UserSummary,
        /// Whether others see how far this user has read.
        receipts: Toggle,
        /// How many send shards there are.
        shards: ShardCount,
    },
    /// To [`Request::Sync`].
    Sync(SyncPage),
    /// To [`Request::History`] and [`Request::Search`]: oldest first for the former, newest first
    /// for the latter.
    Messages {
        /// The messages.
        messages: Vec<Message>,
    },
    /// To [`Request::Conversations`].
    Conversations {
        /// Those last written in come first.
        conversations: Vec<ConversationSummary>,
    },
    /// To [`Request::Members`].
    Members {
        /// In the order of their names.
        members: Vec<MemberSummary>,
    },
    /// To [`Request::Cursors`].
    Cursors {
        /// One for each member.
        cursors: Vec<CursorSummary>,
    },
    /// To [`Request::Status`].
    Status(MessageStatus),
    /// To [`Request::User`] and [`Request::Users`]; who is not there is left out.
    Users {
        /// Who they are.
        users: Vec<UserSummary>,
    },
    /// Done.
    Done,
    /// Not answered.
    Refused {
        /// Why.
        code: RejectionCode,
    },
    /// Of a type that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A part of what is new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncPage {
    /// In the order of the positions asked for, each conversation's oldest first.
    pub messages: Vec<Message>,
    /// Conversations of which there is more: ask again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<ConversationId>,
    /// Places before which nothing may be read by whoever asks; to be taken as if they were there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<Position>,
}

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSummary {
    /// The id.
    pub user: UserId,
    /// The name to address it by.
    pub handle: Handle,
    /// The name to show.
    pub name: String,
    /// Whether it is a program.
    #[serde(default)]
    pub bot: bool,
    /// Whether the account is gone.
    #[serde(default)]
    pub deleted: bool,
}

/// A conversation as its member sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationSummary {
    /// Which.
    pub conv: ConversationId,
    /// Group or direct.
    pub kind: ConversationKind,
    /// A group's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<GroupSettings>,
    /// The other member of a direct conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<UserSummary>,
    /// How many are in it.
    pub members: u64,
    /// What the member may do.
    pub role: Role,
    /// The last message's place.
    pub last_seq: Seq,
    /// The last message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Message>,
    /// How far the member has received.
    pub delivered: Seq,
    /// How far the member has read.
    pub read: Seq,
    /// How many the member has not read: `last_seq - read`.
    pub unread: u64,
    /// Whether it may disturb.
    pub muted: Toggle,
}

/// A member of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberSummary {
    /// Who.
    #[serde(flatten)]
    pub user: UserSummary,
    /// What it may do.
    pub role: Role,
    /// Until when it may not write, if at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silenced_until: Option<Timestamp>,
}

/// How far a member has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorSummary {
    /// Who and how far.
    #[serde(flatten)]
    pub cursor: Cursor,
    /// When it last moved.
    pub at: Timestamp,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum MessageStatus {
    /// The service does not have it.
    Unknown,
    /// It is in the history.
    Stored {
        /// The message.
        message: Box<Message>,
        /// How many others are in the conversation.
        recipients: u64,
        /// How many of them have it.
        delivered: u64,
        /// How many of them have read it.
        read: u64,
    },
}
