//! Where something is sent.

use leveret_client::message::properties::BrokerUser;
use leveret_client::message::{Body, ConversationId, Post, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// A person or a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum To {
    User(UserId),
    Group(ConversationId),
}

impl To {
    pub(crate) fn conversation(&self, own: &UserId) -> ConversationId {
        match self {
            Self::User(user) => ConversationId::direct(own, user),
            Self::Group(group) => group.clone(),
        }
    }

    /// A message of this device to it.
    pub(crate) fn post(&self, device: &BrokerUser, body: Body) -> Post {
        let (user, device, now) = (&device.user, &device.device, Timestamp::now());
        match self {
            Self::User(other) => Post::to_user(other, user, device, body, now),
            Self::Group(group) => Post::to_group(group, user, device, body, now),
        }
    }
}
