//! What clients and services say to one another: versioned JSON envelopes, and the AMQP properties
//! that go with them.
//!
//! ```text
//!   client ──► Command ──► service          client ──► Request ──► service
//!   client ◄──  Event  ◄── service          client ◄──  Reply  ◄── service
//! ```
//!
//! A [`Command`] is handed over and answered later, by events; a [`Request`] is answered at once. All
//! four are enums with a `type`, encoded and decoded by [`envelope`]. Fields that a reader does not
//! know are skipped; a type that it does not know is refused by services and skipped by clients.
//!
//! SEND MESSAGE is [`Post`] (sender, group or user, content, time), RECEIVE MESSAGE is [`Receipt`]
//! (recipient, message, delivered or read).

mod body;
mod command;
pub mod envelope;
mod event;
mod frame;
mod id;
mod mention;
pub mod properties;
mod rejection;
mod request;
mod shard;
mod time;

pub use self::{
    body::{
        ATTACHMENTS_MAX, Attachment, Body, Erasure, Format, GroupAccess, GroupChange, GroupHistory,
        GroupSettings, MENTIONS_MAX, MemberChange, ReactionChange, Role, TEXT_BYTES_MAX,
        TITLE_CHARACTERS_MAX, Text, Toggle,
    },
    command::{Command, Post, Presence, PresenceState, Receipt, ReceiptStatus, Typing},
    event::{Bump, Cursor, Delivery, Event, Message, Rejected, Sent},
    frame::{ByeCode, ClientFrame, ClientSays, Hello, ServerFrame},
    id::{ConversationId, ConversationKind, DeviceId, Handle, InvalidId, MessageId, Seq, UserId},
    mention::mentioned,
    rejection::RejectionCode,
    request::{
        ConversationSummary, CursorSummary, HistoryRange, MemberSummary, MessageStatus, Position,
        Reply, Request, SyncPage, UserSummary,
    },
    shard::{
        EPHEMERAL_SHARDS, EphemeralShard, InvalidShardCount, RECEIPT_SHARDS, ReceiptShard,
        SEND_SHARDS_DEFAULT, SEND_SHARDS_MAX, SendShard, ShardCount,
    },
    time::{InvalidTimestamp, Timestamp},
};

/// The version of the envelopes that this library writes, and the highest one it reads.
pub const VERSION: u32 = 1;
/// A whole envelope, in octets, at most; what is longer is refused before it is read.
pub const ENVELOPE_BYTES_MAX: usize = 128 << 10;
/// The answer to a request, in octets, at most: a page of about a MiB of text, however it is escaped.
pub const REPLY_BYTES_MAX: usize = 8 << 20;
