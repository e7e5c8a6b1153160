//! Why something was not done.

use serde::{Deserialize, Serialize};

/// Why a message was not taken, or a request not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum RejectionCode {
    /// The sender is not, or no longer, in the conversation; or there is no such conversation, which
    /// is not for everybody to know.
    #[error("you are not a member of this conversation")]
    NotMember,
    /// The sender, or whom it wants to bring in, is banned.
    #[error("banned from this conversation")]
    Banned,
    /// The sender may read and not write for the time being.
    #[error("you may not write here at the moment")]
    Silenced,
    /// The sender's role does not allow it.
    #[error("your role does not allow this")]
    Forbidden,
    /// A direct message to nobody, or a change for nobody.
    #[error("there is no such user")]
    NoSuchUser,
    /// It refers to a message that is not there.
    #[error("there is no such message")]
    NoSuchMessage,
    /// It makes a group that is there already.
    #[error("there is such a group already")]
    Exists,
    /// It is no envelope, or lacks something.
    #[error("the message cannot be read")]
    Malformed,
    /// It is of a type or version that the service does not know.
    #[error("the service does not know this kind of message; it may be older than your client")]
    Unsupported,
    /// It is beyond a limit.
    #[error("the message is too long")]
    TooLarge,
    /// It came to a shard that is not its conversation's.
    #[error("the message came to the wrong shard; the client has a wrong number of shards")]
    WrongShard,
    /// It does not come from whom it says it does.
    #[error("the message is not from whom it says")]
    Forged,
    /// Its id was made too long ago, or in the future.
    #[error("the clock of this device is wrong, or the message has waited for more than 25 days")]
    Clock,
    /// Its id was used for another message of the same sender.
    #[error("this id was used for another message")]
    IdReused,
    /// Too many of them at once.
    #[error("too many messages at once; try again in a moment")]
    RateLimited,
    /// It is to follow a message that is not there yet.
    #[error("an earlier message of this device is still on its way")]
    OutOfTurn,
    /// The service cannot do it now.
    #[error("the service cannot do this at the moment")]
    Unavailable,
    /// It brought the service down again and again, and was set aside for an operator.
    #[error("the message could not be processed and was set aside for the operator")]
    Poison,
    /// A code that this version does not know.
    #[serde(other)]
    #[error("refused for a reason that this version does not know")]
    Unknown,
}

impl RejectionCode {
    /// Whether the same message, with the same id, may be taken later. All others are for good: a message
    /// that was refused once is not taken afterwards, even if the reason is gone.
    #[must_use]
    pub fn is_temporary(self) -> bool {
        match self {
            Self::RateLimited | Self::OutOfTurn | Self::Unavailable => true,
            Self::NotMember
            | Self::Banned
            // Nobody wants to be heard an hour later, when it is over.
            | Self::Silenced
            | Self::Forbidden
            | Self::NoSuchUser
            | Self::NoSuchMessage
            | Self::Exists
            | Self::Malformed
            | Self::Unsupported
            | Self::TooLarge
            | Self::WrongShard
            | Self::Forged
            | Self::Clock
            | Self::IdReused
            | Self::Poison
            | Self::Unknown => false,
        }
    }
}
