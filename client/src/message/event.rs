//! What services tell clients.

use serde::{Deserialize, Serialize};

use super::body::Body;
use super::command::{Presence, Typing};
use super::id::{ConversationId, DeviceId, MessageId, Seq, UserId};
use super::rejection::RejectionCode;
use super::time::Timestamp;

/// What services tell clients. Whoever loses one asks with [`Request::Sync`](super::Request::Sync).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A message, as it stands in the history.
    Msg(Message),
    /// A message of this device is in the history.
    Sent(Sent),
    /// A message of this device was not taken.
    Rejected(Rejected),
    /// Somebody has received or read more.
    Cursor(Cursor),
    /// There is more in a conversation than was sent: ask for it.
    Bump(Bump),
    /// Somebody is writing.
    Typing(Typing),
    /// Somebody is there, or not.
    Presence(Presence),
    /// Of a type that this version does not know: skipped.
    #[serde(other)]
    Unknown,
}

/// A message in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The sender's id of it.
    pub id: MessageId,
    /// The conversation.
    pub conv: ConversationId,
    /// Its place.
    pub seq: Seq,
    /// The sender.
    pub from: UserId,
    /// When the service took it; never before that of an earlier message.
    pub ts: Timestamp,
    /// When it was written, by the sender's clock.
    pub sent_at: Timestamp,
    /// What it says.
    pub body: Body,
}

/// A message of the receiving device is in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Which.
    pub id: MessageId,
    /// Where.
    pub conv: ConversationId,
    /// Its place.
    pub seq: Seq,
    /// When the service took it.
    pub ts: Timestamp,
}

/// A message of the receiving device was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Which.
    pub id: MessageId,
    /// Why.
    pub code: RejectionCode,
    /// Whether sending it again later, with the same id, may help; otherwise this is final.
    pub retry: bool,
}

impl Rejected {
    /// This message, for this reason.
    #[must_use]
    pub fn new(id: MessageId, code: RejectionCode) -> Self {
        Self {
            id,
            code,
            retry: code.is_temporary(),
        }
    }
}

/// How far somebody has come in a conversation. Neither number ever falls, and `read` is at most
/// `delivered`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Where.
    pub conv: ConversationId,
    /// Who.
    pub user: UserId,
    /// Everything up to here has arrived on one of the user's devices.
    pub delivered: Seq,
    /// Everything up to here has been read. For users who keep that to themselves it stays where it
    /// was, for everybody but themselves.
    pub read: Seq,
}

/// There is more in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bump {
    /// Where.
    pub conv: ConversationId,
    /// Up to here.
    pub last_seq: Seq,
}

/// An event, and for whom it is. A client's own queue brings what is for that client, and both
/// lists are empty; a gateway's queue brings what is for any of its users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// For these users, each on all devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<UserId>,
    /// For this device of the one user alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_dev: Option<DeviceId>,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

impl Delivery {
    /// For the client whose queue it goes to.
    #[must_use]
    pub fn direct(event: Event) -> Self {
        Self {
            to: Vec::new(),
            to_dev: None,
            event,
        }
    }
}
