//! JSON, with a version in front.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::command::Command;
use super::event::Delivery;
use super::frame::{ClientFrame, ServerFrame};
use super::id::MessageId;
use super::rejection::RejectionCode;
use super::request::{Reply, Request};
use super::{ENVELOPE_BYTES_MAX, REPLY_BYTES_MAX, VERSION};

/// Something that can stand in an envelope.
pub trait Content: Serialize + DeserializeOwned + sealed::Sealed {
    /// Octets of it, at most; what is longer is refused before it is read.
    const BYTES_MAX: usize = ENVELOPE_BYTES_MAX;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Command {}
    impl Sealed for super::Delivery {}
    impl Sealed for super::Request {}
    impl Sealed for super::Reply {}
    impl Sealed for super::ClientFrame {}
    impl Sealed for super::ServerFrame {}
}

impl Content for Command {}
impl Content for Delivery {}
impl Content for Request {}
/// Whole pages of messages.
impl Content for Reply {
    const BYTES_MAX: usize = REPLY_BYTES_MAX;
}
impl Content for ClientFrame {}
/// Replies among others.
impl Content for ServerFrame {
    const BYTES_MAX: usize = REPLY_BYTES_MAX;
}

#[derive(Serialize)]
struct Written<'a, T> {
    v: u32,
    #[serde(flatten)]
    content: &'a T,
}

#[derive(Deserialize)]
struct Read<T> {
    #[serde(flatten)]
    content: T,
}

/// The little that can be told of an envelope that cannot be read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Outside {
    v: u32,
    r#type: String,
    id: serde_json::Value,
    nr: serde_json::Value,
}

/// An envelope that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct DecodeError {
    /// What to tell whoever sent it.
    pub code: RejectionCode,
    /// The message it may have been, if that much could be read.
    pub id: Option<MessageId>,
    /// The number that a client gave it, if it gave one that could be read.
    pub nr: Option<u64>,
    /// What is wrong with it, for a log.
    pub reason: String,
}

/// Types that a service knows, for telling what is new from what is broken.
const KNOWN_TYPES: [&str; 7] = [
    "send", "receive", "typing", "presence", "hello", "ask", "pong",
];

/// Writes an envelope.
///
/// # Panics
/// Never: there is nothing in a content that JSON cannot say.
#[must_use]
pub fn encode<T: Content>(content: &T) -> Vec<u8> {
    serde_json::to_vec(&Written {
        v: VERSION,
        content,
    })
    .expect("contents have only string keys")
}

/// Reads an envelope.
pub fn decode<T: Content>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > T::BYTES_MAX {
        return Err(DecodeError {
            code: RejectionCode::TooLarge,
            id: None,
            nr: None,
            reason: format!("{} octets", bytes.len()),
        });
    }
    let outside = serde_json::from_slice::<Outside>(bytes).unwrap_or_default();
    let error = |code, reason: String| DecodeError {
        code,
        id: outside.id.as_str().and_then(|id| id.parse().ok()),
        nr: outside.nr.as_u64(),
        reason,
    };
    if outside.v > VERSION {
        let reason = format!("version {}", outside.v);
        return Err(error(RejectionCode::Unsupported, reason));
    }
    if outside.v == 0 {
        return Err(error(RejectionCode::Malformed, "no version".to_owned()));
    }
    match serde_json::from_slice::<Read<T>>(bytes) {
        Ok(read) => Ok(read.content),
        Err(reason) => {
            let is_known = KNOWN_TYPES.contains(&outside.r#type.as_str());
            let code = if is_known || outside.r#type.is_empty() {
                RejectionCode::Malformed
            } else {
                RejectionCode::Unsupported
            };
            Err(error(code, reason.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    const SEND: &str = r#"{"v":1,"type":"send","id":"0192f0c4-7c1e-7d0a-9a53-2f1f0f0e8b11",
        "conv":"g_ops","from":"uana","dev":"dterm","sent_at":"2026-11-23T16:40:01.123Z",
        "body":{"kind":"text","text":"oi!","format":"md","reply_to":118,"mentions":["ubruno"]},
        "a field of a later version":1}"#;

    #[test]
    fn a_message_as_the_design_writes_it_is_read() {
        let Command::Send(post) = decode(SEND.as_bytes()).unwrap() else {
            panic!("it is a send");
        };
        let Body::Text(text) = &post.body else {
            panic!("it is a text");
        };
        assert_eq!((text.text.as_str(), text.format), ("oi!", Format::Md));
        assert_eq!(text.reply_to, Some(Seq(118)));
        assert_eq!(post.sent_at.to_string(), "2026-11-23T16:40:01.123Z");
        let written = encode(&Command::Send(post.clone()));
        assert_eq!(decode(&written), Ok(Command::Send(post)));
    }

    #[test]
    fn the_written_form_says_version_and_type_once() {
        let post = Post::to_group(
            &"g_ops".parse().unwrap(),
            &"uana".parse().unwrap(),
            &"dterm".parse().unwrap(),
            Body::Member {
                user: "ubruno".parse().unwrap(),
                change: MemberChange::Add { role: Role::Member },
            },
            Timestamp::from_milliseconds(1_764_000_000_000),
        );
        let value: serde_json::Value =
            serde_json::from_slice(&encode(&Command::Send(post))).unwrap();
        assert_eq!(value["v"], 1);
        assert_eq!(value["type"], "send");
        assert_eq!(value["body"]["kind"], "member");
        assert_eq!(value["body"]["change"], "add");
        assert!(value.get("to").is_none());
    }

    #[test]
    fn what_cannot_be_read_says_why_and_of_which_message() {
        let code = |text: &str| decode::<Command>(text.as_bytes()).unwrap_err();
        assert_eq!(code("").code, RejectionCode::Malformed);
        assert_eq!(code("[1,2]").code, RejectionCode::Malformed);
        assert_eq!(code(r#"{"v":1}"#).code, RejectionCode::Malformed);
        assert_eq!(
            code(r#"{"v":1,"type":"dance"}"#).code,
            RejectionCode::Unsupported
        );
        let later = SEND.replace("\"v\":1", "\"v\":2");
        assert_eq!(code(&later).code, RejectionCode::Unsupported);
        let broken = SEND.replace("uana", "ANA");
        let error = code(&broken);
        assert_eq!(error.code, RejectionCode::Malformed);
        assert!(error.id.is_some());
        let long = " ".repeat(ENVELOPE_BYTES_MAX + 1);
        assert_eq!(code(&long).code, RejectionCode::TooLarge);
    }

    #[test]
    fn a_page_of_long_messages_is_read() {
        let text = "\"".repeat(TEXT_BYTES_MAX);
        let message = Message {
            id: "0192f0c4-7c1e-7d0a-9a53-2f1f0f0e8b11".parse().unwrap(),
            conv: "g_ops".parse().unwrap(),
            seq: Seq(1),
            from: "uana".parse().unwrap(),
            ts: Timestamp::from_milliseconds(0),
            sent_at: Timestamp::from_milliseconds(0),
            body: Body::text(&text),
        };
        let messages = vec![message; 17];
        let reply = Reply::Messages { messages };
        assert_eq!(decode(&encode(&reply)), Ok(reply));
    }

    #[test]
    fn a_client_skips_what_a_later_service_says() {
        let delivery: Delivery = decode(br#"{"v":1,"type":"fireworks","x":1}"#).unwrap();
        assert_eq!(delivery.event, Event::Unknown);
        let text = r#"{"v":1,"type":"msg","id":"0192f0c4-7c1e-7d0a-9a53-2f1f0f0e8b11","conv":"g_ops",
            "seq":3,"from":"uana","ts":"2026-11-23T16:40:01Z","sent_at":"2026-11-23T16:40:01Z",
            "body":{"kind":"poll","x":[1]}}"#;
        let delivery: Delivery = decode(text.as_bytes()).unwrap();
        let Event::Msg(message) = delivery.event else {
            panic!("it is a message");
        };
        assert_eq!(message.body, Body::Unknown);
    }

    #[test]
    fn a_wrong_clock_a_wrong_hash_and_a_long_text_are_refused() {
        let now = Timestamp::from_milliseconds(1_764_000_000_000);
        let (ana, bruno, dev) = ("uana", "ubruno", "dterm");
        let (ana, bruno) = (ana.parse().unwrap(), bruno.parse().unwrap());
        let dev = dev.parse().unwrap();
        let post = Post::to_user(&bruno, &ana, &dev, Body::text("oi"), now);
        assert_eq!(post.check(now), Ok(()));
        let late = now
            .plus(Post::AGE_MAX)
            .plus(std::time::Duration::from_secs(1));
        assert_eq!(post.check(late), Err(RejectionCode::Clock));
        let early = now.minus(Post::AHEAD_MAX * 2);
        assert_eq!(post.check(early), Err(RejectionCode::Clock));
        let mut other = post.clone();
        other.to = Some("ucarla".parse().unwrap());
        assert_eq!(other.check(now), Err(RejectionCode::Malformed));
        let mut long = post;
        long.body = Body::text(&"x".repeat(TEXT_BYTES_MAX + 1));
        assert_eq!(long.check(now), Err(RejectionCode::TooLarge));
    }
}
