//! Names and numbers of things, each a type of its own.
//!
//! ```text
//!   user          u + [a-z2-7]{1,32}        made by the service: u and 16 characters, 80 random bits
//!   device        d + [a-z2-7]{1,32}        unique for its user alone
//!   conversation  g_ + [a-z2-7]{1,32}       a group; made by the client that creates it
//!                 d_ + [a-z2-7]{26}         a direct conversation: a hash of its two members
//!   message       UUID, version 7           made by the client that sends it
//!   seq           1, 2, 3, … without gaps   made by the service, per conversation
//! ```
//!
//! The letters are those of base32 in lower case, so that an id can stand in a routing key, in a queue's
//! name and in a permission's regular expression as it is.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, Encoding};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::time::Timestamp;

/// Characters after an id's prefix, at most.
const ID_CHARACTERS_MAX: usize = 32;
/// Random bytes of an id that is made here: 16 characters.
const ID_RANDOM_BYTES: usize = 10;
/// Characters of the hash in a direct conversation's id: 130 bits.
const DIRECT_CHARACTERS: usize = 26;

/// Something that was to be an id and is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}")]
pub struct InvalidId {
    what: &'static str,
    text: String,
}

impl InvalidId {
    fn new(what: &'static str, text: &str) -> Self {
        // What a peer sent may be long.
        Self {
            what,
            text: text.chars().take(2 * ID_CHARACTERS_MAX).collect(),
        }
    }
}

fn base32(bytes: &[u8]) -> String {
    // The alphabet is that of RFC 4648; only the case differs.
    let upper: &Encoding = &BASE32_NOPAD;
    upper.encode(bytes).to_ascii_lowercase()
}

fn is_base32(text: &str) -> bool {
    let is_letter = |octet| matches!(octet, b'a'..=b'z' | b'2'..=b'7');
    (1..=ID_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(is_letter)
}

fn random_base32() -> String {
    let mut bytes = [0; ID_RANDOM_BYTES];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    base32(&bytes)
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                if Self::is_valid(&text) {
                    Ok(Self(text))
                } else {
                    Err(InvalidId::new($what, &text))
                }
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_from(text.to_owned())
            }
        }
    };
}

text_id!(
    /// A person or a bot.
    UserId,
    "user id"
);
text_id!(
    /// One client of a user: a telephone, a terminal, a browser.
    DeviceId,
    "device id"
);
text_id!(
    /// A group, or the conversation of two people.
    ConversationId,
    "conversation id"
);

impl UserId {
    /// A new one, random.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("u{}", random_base32()))
    }

    fn is_valid(text: &str) -> bool {
        text.strip_prefix('u').is_some_and(is_base32)
    }
}

impl DeviceId {
    /// A new one, random.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("d{}", random_base32()))
    }

    fn is_valid(text: &str) -> bool {
        text.strip_prefix('d').is_some_and(is_base32)
    }
}

/// What kind of conversation it is; its id says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConversationKind {
    /// Any number of members, with roles.
    Group,
    /// Two users, or one with itself; nobody joins and nobody leaves.
    Direct,
}

impl ConversationId {
    /// A new group's, random.
    #[must_use]
    pub fn random_group() -> Self {
        Self(format!("g_{}", random_base32()))
    }

    /// The one direct conversation of two users, whoever computes it. A user's with itself is for
    /// notes.
    #[must_use]
    pub fn direct(one: &UserId, other: &UserId) -> Self {
        let (first, second) = if one <= other {
            (one, other)
        } else {
            (other, one)
        };
        let mut hash = Sha256::new();
        hash.update(first.as_str());
        // Ids have no line ends: no other pair gives the same text.
        hash.update("\n");
        hash.update(second.as_str());
        let text = base32(&hash.finalize());
        Self(format!("d_{}", &text[..DIRECT_CHARACTERS]))
    }

    /// What kind of conversation it is.
    #[must_use]
    pub fn kind(&self) -> ConversationKind {
        if self.0.starts_with("g_") {
            ConversationKind::Group
        } else {
            ConversationKind::Direct
        }
    }

    fn is_valid(text: &str) -> bool {
        let is_direct = |hash: &str| hash.len() == DIRECT_CHARACTERS && is_base32(hash);
        text.strip_prefix("g_").is_some_and(is_base32)
            || text.strip_prefix("d_").is_some_and(is_direct)
    }
}

/// The id of a message: UUID version 7, made by the sending client. With the sender it is what
/// makes sending again harmless.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Uuid", into = "Uuid")]
pub struct MessageId(Uuid);

impl MessageId {
    /// A new one, made at this time.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let mut random = [0; 10];
        getrandom::fill(&mut random).expect("the operating system has random numbers");
        Self::from_parts(now, random)
    }

    /// The one of this time and these random bits.
    #[must_use]
    pub fn from_parts(time: Timestamp, random: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(time.milliseconds(), &random).into_uuid())
    }

    /// When the client made it, by the client's clock.
    #[must_use]
    pub fn time(self) -> Timestamp {
        let mut milliseconds = [0; 8];
        milliseconds[2..].copy_from_slice(&self.0.as_bytes()[..6]);
        Timestamp::from_milliseconds(u64::from_be_bytes(milliseconds))
    }

    /// The 16 octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl TryFrom<Uuid> for MessageId {
    type Error = InvalidId;

    fn try_from(uuid: Uuid) -> Result<Self, InvalidId> {
        if uuid.get_version_num() == 7 {
            Ok(Self(uuid))
        } else {
            Err(InvalidId::new(
                "message id (UUID version 7)",
                &uuid.to_string(),
            ))
        }
    }
}

impl From<MessageId> for Uuid {
    fn from(id: MessageId) -> Self {
        id.0
    }
}

impl FromStr for MessageId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let uuid = Uuid::try_parse(text)
            .map_err(|_| InvalidId::new("message id (UUID version 7)", text))?;
        Self::try_from(uuid)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A message's place in its conversation: 1, 2, 3, … without gaps, given by the service. The only
/// order in which messages are shown.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first message.
    pub const NONE: Self = Self(0);

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The one before it; none before the first.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// How many messages there are from `earlier`, not counted, to this one.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The name that a user logs in with and is addressed by: 2 to 32 of `a-z0-9._-`, beginning with a
/// letter or a digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Handle(String);

impl Handle {
    /// The name as text, without `@`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Handle {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        let is_letter = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let begins_well = text
            .bytes()
            .next()
            .is_some_and(|o| o.is_ascii_alphanumeric());
        if (2..=32).contains(&text.len()) && begins_well && text.bytes().all(is_letter) {
            Ok(Self(text))
        } else {
            Err(InvalidId::new(
                "name (2 to 32 of a-z, 0-9, dot, hyphen and underscore)",
                &text,
            ))
        }
    }
}

impl FromStr for Handle {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::try_from(text.to_owned())
    }
}

impl From<Handle> for String {
    fn from(handle: Handle) -> Self {
        handle.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_members_compute_the_same_direct_conversation() {
        let (ana, bruno): (UserId, UserId) = ("uana".parse().unwrap(), "ubruno".parse().unwrap());
        let id = ConversationId::direct(&ana, &bruno);
        assert_eq!(id, ConversationId::direct(&bruno, &ana));
        assert_eq!(id.kind(), ConversationKind::Direct);
        // A golden value: another one would send both to another conversation.
        assert_eq!(id.as_str(), "d_witz73nuni62odlzhrjlgwmqcm");
        assert_eq!(id.as_str().parse(), Ok(id));
    }

    #[test]
    fn what_does_not_fit_into_a_regular_expression_is_no_id() {
        for text in ["", "u", "uA", "u.", "u1", "ux y", "xabc", "u$", "ua.*"] {
            assert!(text.parse::<UserId>().is_err(), "{text}");
        }
        assert!(format!("u{}", "a".repeat(33)).parse::<UserId>().is_err());
        for text in ["g_", "d_abc", "gabc", "d_", "g_A"] {
            assert!(text.parse::<ConversationId>().is_err(), "{text}");
        }
        let made = UserId::random();
        assert_eq!(made.as_str().len(), 17);
        assert_eq!(made.as_str().parse(), Ok(made));
    }

    #[test]
    fn a_message_id_knows_its_time_and_other_versions_are_refused() {
        let time = Timestamp::from_milliseconds(1_764_000_000_123);
        let id = MessageId::new(time);
        assert_eq!(id.time(), time);
        assert_eq!(id.to_string().parse(), Ok(id));
        let version_4 = "936da01f-9abd-4d9d-80c7-02af85c822a8";
        assert!(version_4.parse::<MessageId>().is_err());
        assert!(serde_json::from_str::<MessageId>(&format!("{version_4:?}")).is_err());
    }

    #[test]
    fn a_name_is_lower_case_and_short() {
        assert!("ana.b-2".parse::<Handle>().is_ok());
        for text in ["a", "Ana", "an a", "@ana", "-ana", "ana\n"] {
            assert!(text.parse::<Handle>().is_err(), "{text:?}");
        }
    }
}
