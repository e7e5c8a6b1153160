//! A store, line by line: what `leveret-chat export` writes and `import` reads. docs/chat-operations.md
//! describes it.

use leveret_client::message::{ConversationId, Message};
use serde::{Deserialize, Serialize};

use super::{Conversation, CursorAt, Deployment, Device, Member, Session, TokenHash, User};

/// The version of the format that is written here.
pub const EXPORT_VERSION: u32 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Record {
    /// The first line.
    Export {
        /// [`EXPORT_VERSION`].
        version: u32,
    },
    /// How the chat is set up.
    Deployment(Deployment),
    /// An account, with the hash of its password. Its devices and logins follow.
    User(User),
    /// A device.
    Device(Device),
    /// A login.
    Session {
        /// The SHA-256 of its token.
        token: TokenHash,
        /// Whose, and until when.
        #[serde(flatten)]
        session: Session,
    },
    /// A conversation. Its members, cursors and messages follow.
    Conversation(Conversation),
    /// Somebody who is, or was, or must not be in a conversation.
    Member {
        /// The conversation.
        conv: ConversationId,
        /// Who.
        #[serde(flatten)]
        member: Member,
    },
    /// How far somebody has come in a conversation.
    Cursor {
        /// The conversation.
        conv: ConversationId,
        /// Who, and how far.
        #[serde(flatten)]
        cursor: CursorAt,
    },
    /// A message; those of a conversation are in their order.
    Message(Message),
    /// The last line: without it something is missing.
    End {
        /// How many lines there are before this one.
        records: u64,
    },
}
