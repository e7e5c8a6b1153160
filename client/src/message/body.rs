//! What a message says. Whatever is to be kept in a conversation's order is a body: texts, and also
//! edits, deletions, reactions, and who came and went.

use serde::{Deserialize, Serialize};

use super::id::{Seq, UserId};
use super::rejection::RejectionCode;
use super::time::Timestamp;

/// Octets of a text, at most.
pub const TEXT_BYTES_MAX: usize = 64 << 10;
/// Attachments of a message, at most.
pub const ATTACHMENTS_MAX: usize = 10;
/// People mentioned in a message, at most.
pub const MENTIONS_MAX: usize = 50;
/// Characters of a group's title or topic, at most.
pub const TITLE_CHARACTERS_MAX: usize = 200;
/// People added when a group is created, at most; more are added later.
const FIRST_MEMBERS_MAX: usize = 1000;
/// Octets of a reaction, at most: one grapheme, however it is composed.
const EMOJI_BYTES_MAX: usize = 64;
/// Octets of an attachment's id, name or hash, at most.
const ATTACHMENT_TEXT_BYTES_MAX: usize = 255;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Body {
    /// Something to read.
    Text(Text),
    /// The text of an earlier message of the same sender is another now.
    Edit {
        /// The message that is changed.
        #[serde(rename = "ref")]
        target: Seq,
        /// Its text from now on.
        text: String,
        /// How the text is to be read.
        #[serde(default)]
        format: Format,
    },
    /// An earlier message is gone: of the same sender, or any if a moderator says so.
    Delete {
        /// The message that goes.
        #[serde(rename = "ref")]
        target: Seq,
    },
    /// A reaction to a message.
    React {
        /// The message reacted to.
        #[serde(rename = "ref")]
        target: Seq,
        /// The reaction.
        emoji: String,
        /// Whether it comes or goes.
        change: ReactionChange,
    },
    /// Somebody's membership changes.
    Member {
        /// Whose.
        user: UserId,
        /// How.
        #[serde(flatten)]
        change: MemberChange,
    },
    /// The group is created or changed.
    Group(GroupChange),
    /// What was here is gone. Only the service writes this, in the place of another body.
    Erased {
        /// Why.
        reason: Erasure,
    },
    /// Of a kind that this version does not know. Never sent; in a history it is shown as such.
    #[serde(other)]
    Unknown,
}

/// Something to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The words, at most [`TEXT_BYTES_MAX`].
    pub text: String,
    /// How they are to be read.
    #[serde(default)]
    pub format: Format,
    /// The message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Seq>,
    /// The first message of the thread that this one belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<Seq>,
    /// Who is meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<UserId>,
    /// Files that come with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attach: Vec<Attachment>,
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            ..Self::default()
        }
    }
}

/// How a text is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As it stands.
    #[default]
    Plain,
    /// As CommonMark, without HTML.
    Md,
}

/// A file that lies with the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The service's name for it.
    pub id: String,
    /// The name it had.
    pub name: String,
    /// Octets.
    pub size: u64,
    /// Of its content, in hexadecimal.
    pub sha256: String,
}

/// Whether a reaction comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReactionChange {
    /// It comes.
    Add,
    /// It goes.
    Remove,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Toggle {
    /// On.
    On,
    /// Off.
    Off,
}

/// What a member of a group may do.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Write, read, leave.
    #[default]
    Member,
    /// Also add, remove, ban, silence members, and delete messages.
    Moderator,
    /// Also give roles and change the group's settings. A group has at least one as long as it has
    /// members.
    Owner,
}

/// How a membership changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum MemberChange {
    /// The user comes by itself, to an open group.
    Join,
    /// The user goes by itself.
    Leave,
    /// The user is brought in, by a moderator.
    Add {
        /// As what; only owners give more than [`Role::Member`].
        #[serde(default)]
        role: Role,
    },
    /// The user is sent out, by a moderator, and may come back.
    Remove,
    /// The user is sent out, or kept out, and may not come back.
    Ban,
    /// The user may come back.
    Unban,
    /// The user may do more or less from now on.
    Role {
        /// What.
        role: Role,
    },
    /// The user may read and not write, until then; a time in the past lifts it.
    Silence {
        /// Until when.
        until: Timestamp,
    },
}

/// How a group changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum GroupChange {
    /// It comes to be; the sender is its owner.
    Create {
        /// Its settings.
        settings: GroupSettings,
        /// Who else is in it from the beginning.
        #[serde(default)]
        members: Vec<UserId>,
    },
    /// Its settings are these from now on.
    Settings {
        /// All of them.
        settings: GroupSettings,
    },
}

/// What an owner sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSettings {
    /// Its name, without `#`.
    pub title: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// Who may come in.
    #[serde(default)]
    pub access: GroupAccess,
    /// What those who come later may read.
    #[serde(default)]
    pub history: GroupHistory,
    /// Days after which messages are erased; `None` keeps them for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
}

/// Who may come into a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupAccess {
    /// Whoever is added by a moderator.
    #[default]
    Invited,
    /// Whoever knows the group's id.
    Open,
}

/// What those who come later may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupHistory {
    /// From their coming on.
    #[default]
    Joined,
    /// Everything.
    All,
}

/// Why a body is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Erasure {
    /// Its sender, or a moderator, deleted it.
    Deleted,
    /// It was older than the group keeps messages.
    Expired,
    /// Its sender's account was deleted, and the texts with it.
    Account,
}

impl Body {
    /// A plain text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(Text::from(text))
    }

    /// Whether the body is within the limits, and of a kind that a client may send.
    pub fn check(&self) -> Result<(), RejectionCode> {
        match self {
            Self::Text(text) => text.check(),
            Self::Edit { target, text, .. } => {
                check_target(*target)?;
                check_length(text.len(), TEXT_BYTES_MAX)
            }
            Self::Delete { target } => check_target(*target),
            Self::React { target, emoji, .. } => {
                check_target(*target)?;
                if emoji.is_empty() {
                    return Err(RejectionCode::Malformed);
                }
                check_length(emoji.len(), EMOJI_BYTES_MAX)
            }
            Self::Member { .. } => Ok(()),
            Self::Group(change) => change.check(),
            Self::Erased { .. } => Err(RejectionCode::Forbidden),
            Self::Unknown => Err(RejectionCode::Unsupported),
        }
    }
}

impl Text {
    fn check(&self) -> Result<(), RejectionCode> {
        if self.text.is_empty() && self.attach.is_empty() {
            return Err(RejectionCode::Malformed);
        }
        check_length(self.text.len(), TEXT_BYTES_MAX)?;
        check_length(self.mentions.len(), MENTIONS_MAX)?;
        check_length(self.attach.len(), ATTACHMENTS_MAX)?;
        for attachment in &self.attach {
            for text in [&attachment.id, &attachment.name, &attachment.sha256] {
                check_length(text.len(), ATTACHMENT_TEXT_BYTES_MAX)?;
            }
        }
        Ok(())
    }
}

impl GroupChange {
    fn check(&self) -> Result<(), RejectionCode> {
        let settings = match self {
            Self::Create { settings, members } => {
                check_length(members.len(), FIRST_MEMBERS_MAX)?;
                settings
            }
            Self::Settings { settings } => settings,
        };
        if settings.title.trim().is_empty() || settings.retention_days == Some(0) {
            return Err(RejectionCode::Malformed);
        }
        check_length(settings.title.chars().count(), TITLE_CHARACTERS_MAX)?;
        check_length(settings.topic.chars().count(), TITLE_CHARACTERS_MAX)
    }
}

fn check_length(length: usize, max: usize) -> Result<(), RejectionCode> {
    if length > max {
        return Err(RejectionCode::TooLarge);
    }
    Ok(())
}

fn check_target(target: Seq) -> Result<(), RejectionCode> {
    if target == Seq::NONE {
        return Err(RejectionCode::NoSuchMessage);
    }
    Ok(())
}
