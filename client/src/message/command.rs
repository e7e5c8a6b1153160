//! What clients hand over to be done; events answer, later or never.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::body::{Body, Toggle};
use super::id::{ConversationId, DeviceId, MessageId, Seq, UserId};
use super::rejection::RejectionCode;
use super::time::Timestamp;

/// What clients hand over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// SEND MESSAGE.
    Send(Post),
    /// RECEIVE MESSAGE.
    Receive(Receipt),
    /// Somebody is writing. Nobody misses it.
    Typing(Typing),
    /// Somebody is there, or not. Nobody misses it.
    Presence(Presence),
}

impl Command {
    /// Who says so, and on which device.
    #[must_use]
    pub fn author(&self) -> (&UserId, &DeviceId) {
        match self {
            Self::Send(post) => (&post.from, &post.dev),
            Self::Receive(receipt) => (&receipt.recipient, &receipt.dev),
            Self::Typing(typing) => (&typing.from, &typing.dev),
            Self::Presence(presence) => (&presence.from, &presence.dev),
        }
    }
}

/// SEND MESSAGE: a message on its way to the service. Whoever resends it keeps all of it, the id
/// above all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Made by the client; with `from`, what makes sending again harmless.
    pub id: MessageId,
    /// The conversation.
    pub conv: ConversationId,
    /// The other member of a direct conversation, whose id is a hash that says nobody's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<UserId>,
    /// The sender.
    pub from: UserId,
    /// The sender's device, which is told what became of it.
    pub dev: DeviceId,
    /// When it was written, by the client's clock. Nothing is ordered by it.
    pub sent_at: Timestamp,
    /// The sender's message before it in this conversation, if the sender does not know yet what became of
    /// that. It is not taken before that one is: a broker may give back what a consumer had in its hands after
    /// what came later, and one that was refused for a passing reason comes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<MessageId>,
    /// What it says.
    pub body: Body,
}

impl Post {
    /// How old an id may be when it arrives: below the 30 days for which ids are remembered, and
    /// enough for a telephone that was off for weeks.
    pub const AGE_MAX: Duration = Duration::from_secs(25 * 86_400);
    /// How far ahead the sender's clock may be.
    pub const AHEAD_MAX: Duration = Duration::from_secs(3600);

    /// A message to a group.
    #[must_use]
    pub fn to_group(
        group: &ConversationId,
        from: &UserId,
        dev: &DeviceId,
        body: Body,
        now: Timestamp,
    ) -> Self {
        Self {
            id: MessageId::new(now),
            conv: group.clone(),
            to: None,
            from: from.clone(),
            dev: dev.clone(),
            sent_at: now,
            after: None,
            body,
        }
    }

    /// A message to a user.
    #[must_use]
    pub fn to_user(
        user: &UserId,
        from: &UserId,
        dev: &DeviceId,
        body: Body,
        now: Timestamp,
    ) -> Self {
        let conv = ConversationId::direct(from, user);
        Self {
            to: Some(user.clone()),
            ..Self::to_group(&conv, from, dev, body, now)
        }
    }

    /// What can be said without knowing anything but the time: limits, the clock, and whether a
    /// direct conversation is that of its two members.
    pub fn check(&self, now: Timestamp) -> Result<(), RejectionCode> {
        let made = self.id.time();
        if now.since(made) > Self::AGE_MAX || made.since(now) > Self::AHEAD_MAX {
            return Err(RejectionCode::Clock);
        }
        match &self.to {
            Some(to) if ConversationId::direct(&self.from, to) != self.conv => {
                return Err(RejectionCode::Malformed);
            }
            None if self.conv.kind() == super::ConversationKind::Direct => {
                return Err(RejectionCode::Malformed);
            }
            Some(_) | None => {}
        }
        self.body.check()
    }
}

/// How far a recipient has come with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptStatus {
    /// It is kept on one of the recipient's devices.
    Delivered,
    /// It was on the screen. Implies that it was delivered.
    Read,
}

/// RECEIVE MESSAGE: the recipient has it, or has read it; and everything before it as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Who received it.
    pub recipient: UserId,
    /// On which device.
    pub dev: DeviceId,
    /// In which conversation.
    pub conv: ConversationId,
    /// Which message.
    pub message: MessageId,
    /// Its place. Everything up to it is meant.
    pub seq: Seq,
    /// Delivered or read.
    pub status: ReceiptStatus,
    /// When, by the client's clock.
    pub at: Timestamp,
}

/// Somebody is writing, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {
    /// Who.
    pub from: UserId,
    /// On which device.
    pub dev: DeviceId,
    /// Where.
    pub conv: ConversationId,
    /// Begun or ended. Who does not say that it ended has ended after five seconds.
    pub state: Toggle,
}

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PresenceState {
    /// At a device.
    Online,
    /// Connected and not looking.
    Away,
    /// Not connected.
    Offline,
}

/// Somebody is there, or not. Said again every 60 seconds while it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Who.
    pub from: UserId,
    /// On which device.
    pub dev: DeviceId,
    /// There or not.
    pub state: PresenceState,
}
