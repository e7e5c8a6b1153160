//! What clients and gateways say to one another over a WebSocket: the same envelopes, one in each text
//! frame, and what a connection needs besides.
//!
//! ```text
//!   client                                   gateway
//!     │ hello {token, resume}                   │   within ten seconds, before all else
//!     │                            ready {…}    │   or bye {code}
//!     │                        resumed {…}      │   if places were named
//!     │ send, receive, typing, presence {nr}    │
//!     │                  kept | refused {nr}    │   kept: it survives a crash; sent or rejected follows
//!     │ ask {nr, request}                       │
//!     │                      answer {nr, reply} │
//!     │              msg, sent, cursor, bump, … │   events, whenever there are any
//!     │                                 resync  │   some were lost: ask for everything after your places
//!     │                                   ping  │   every 25 seconds
//!     │ pong                                    │
//! ```
//!
//! `nr` is the client's number for what it says; an answer bears the same. Who is too slow for its events
//! gets a `bump` for each conversation instead of them, and asks.

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::event::Event;
use super::id::{DeviceId, UserId};
use super::rejection::RejectionCode;
use super::request::{Position, Reply, Request, SyncPage};
use super::time::Timestamp;

/// A text frame of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientFrame {
    /// The client's number for it, if it wants to be answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nr: Option<u64>,
    /// What it says.
    #[serde(flatten)]
    pub says: ClientSays,
}

/// What a client says to a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientSays {
    /// Who it is; said once, first.
    Hello(Hello),
    /// It asks something.
    Ask {
        /// What.
        request: Request,
    },
    /// It is there, to [`ServerFrame::Ping`].
    Pong,
    /// It hands something over.
    #[serde(untagged)]
    Command(Command),
}

/// Who a client is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The login's token, which also says which device it is.
    pub token: String,
    /// What is there already: everything after it comes at once, as far as one answer holds it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resume: Vec<Position>,
}

impl std::fmt::Debug for Hello {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is a secret.
        formatter
            .debug_struct("Hello")
            .field("resume", &self.resume)
            .finish_non_exhaustive()
    }
}

/// A text frame of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// The client is known; events follow.
    Ready {
        /// Who it is.
        user: UserId,
        /// On which device.
        dev: DeviceId,
        /// The service's clock.
        now: Timestamp,
    },
    /// What is after the places that [`Hello`] names.
    Resumed(SyncPage),
    /// What was handed over survives a crash from here on. For a message, [`Event::Sent`] or
    /// [`Event::Rejected`] follows.
    Kept {
        /// The client's number.
        nr: u64,
    },
    /// What was handed over was not taken, or could not be read. A message whose id could be read is
    /// [rejected](Event::Rejected) as well.
    Refused {
        /// The client's number, if it could be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nr: Option<u64>,
        /// Why.
        code: RejectionCode,
        /// Whether the same may be taken later.
        retry: bool,
    },
    /// To [`ClientSays::Ask`].
    Answer {
        /// The client's number.
        nr: u64,
        /// The answer.
        reply: Reply,
    },
    /// Events may have been lost: ask for everything after your places.
    Resync,
    /// Are you there?
    Ping,
    /// The connection ends.
    Bye {
        /// Why.
        code: ByeCode,
    },
    /// Something happened.
    #[serde(untagged)]
    Event(Event),
}

/// Why a gateway ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ByeCode {
    /// The token is none, or no longer: log in again.
    #[error("log in again")]
    NotLoggedIn,
    /// This user, or the gateway, has too many connections.
    #[error("too many connections")]
    TooManyConnections,
    /// Nothing was heard from the client for too long.
    #[error("nothing was heard for too long")]
    Idle,
    /// The client did not take what was sent to it.
    #[error("the connection is too slow")]
    TooSlow,
    /// The client sent far more than is allowed.
    #[error("far too much was sent")]
    RateLimited,
    /// The client did not keep to the protocol.
    #[error("not the protocol")]
    Protocol,
    /// The gateway stops; connect again.
    #[error("the service restarts")]
    Stopping,
    /// A code that this version does not know.
    #[serde(other)]
    #[error("a reason that this version does not know")]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::super::{Body, ConversationId, Post, envelope};
    use super::*;

    fn post() -> Post {
        let (ana, dev) = (UserId::random(), DeviceId::random());
        let group = ConversationId::random_group();
        Post::to_group(&group, &ana, &dev, Body::text("oi"), Timestamp::now())
    }

    #[test]
    fn a_command_is_the_envelope_that_amqp_carries_with_a_number() {
        let command = Command::Send(post());
        let frame = ClientFrame {
            nr: Some(5),
            says: ClientSays::Command(command.clone()),
        };
        let text = envelope::encode(&frame);
        assert_eq!(envelope::decode(&text), Ok(frame));
        assert_eq!(envelope::decode(&text), Ok(command));
        let hello = r#"{"v":1,"type":"hello","token":"x","resume":[{"conv":"g_ops","after":3}]}"#;
        let frame: ClientFrame = envelope::decode(hello.as_bytes()).unwrap();
        assert!(matches!(frame.says, ClientSays::Hello(hello) if hello.resume.len() == 1));
    }

    #[test]
    fn what_cannot_be_read_says_of_which_number() {
        let code = |text: &str| envelope::decode::<ClientFrame>(text.as_bytes()).unwrap_err();
        let error = code(r#"{"v":1,"nr":7,"type":"dance"}"#);
        assert_eq!(
            (error.code, error.nr),
            (RejectionCode::Unsupported, Some(7))
        );
        let error = code(r#"{"v":1,"nr":8,"type":"ask","request":{"type":"history"}}"#);
        assert_eq!((error.code, error.nr), (RejectionCode::Malformed, Some(8)));
    }

    #[test]
    fn an_event_is_the_envelope_that_amqp_carries() {
        let sent = Event::Rejected(super::super::Rejected::new(
            post().id,
            RejectionCode::NotMember,
        ));
        let frame = ServerFrame::Event(sent.clone());
        let text = envelope::encode(&frame);
        assert_eq!(envelope::decode(&text), Ok(frame));
        let delivery: super::super::Delivery = envelope::decode(&text).unwrap();
        assert_eq!(delivery.event, sent);
        let later: ServerFrame = envelope::decode(br#"{"v":1,"type":"fireworks"}"#).unwrap();
        assert_eq!(later, ServerFrame::Event(Event::Unknown));
    }
}
