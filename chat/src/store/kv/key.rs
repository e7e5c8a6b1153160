//! How things are called in a store of keys and values.
//!
//! ```text
//!   s                        deployment
//!   u user                   account                 h handle              user
//!   c conv                   conversation            e conv 0 seq          message, or where it is
//!   m conv 0 user            membership              b user 0 conv         nothing: a member, or was
//!   r conv 0 user            cursor                  i user 0 message id   conv and seq
//!   f conv 0 seq 0 seq       nothing: the second edits the first
//!   d user 0 device          device
//!   t token hash             session                 o user 0 device 0 token hash   nothing
//! ```
//!
//! Numbers are big-endian, so that the order of keys is the order of things. No id holds an octet 0.

use leveret_client::message::{ConversationId, DeviceId, Handle, MessageId, Seq, UserId};

use crate::store::TokenHash;

/// The letter of messages, whose values a store may keep elsewhere.
const MESSAGE: u8 = b'e';

/// A letter and what it stands for, in the plural.
pub(crate) const KINDS: [(u8, &str); 13] = [
    (b's', "deployment"),
    (b'u', "users"),
    (b'h', "handles"),
    (b'c', "conversations"),
    (MESSAGE, "messages"),
    (b'm', "members"),
    (b'b', "memberships"),
    (b'r', "cursors"),
    (b'i', "message_ids"),
    (b'f', "edits"),
    (b'd', "devices"),
    (b't', "sessions"),
    (b'o', "device_sessions"),
];

pub(crate) const DEPLOYMENT: &[u8] = b"s";
pub(crate) const USERS: &[u8] = b"u";
pub(crate) const CONVERSATIONS: &[u8] = b"c";
pub(crate) const MESSAGE_IDS: &[u8] = b"i";

fn key(letter: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len() + 1).sum::<usize>();
    let mut key = Vec::with_capacity(length + 1);
    key.push(letter);
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            key.push(0);
        }
        key.extend_from_slice(part);
    }
    key
}

/// Whether a message's value belongs to this key.
pub(crate) fn is_message(key: &[u8]) -> bool {
    key.first() == Some(&MESSAGE)
}

pub(crate) fn user(id: &UserId) -> Vec<u8> {
    key(b'u', &[id.as_str().as_bytes()])
}

pub(crate) fn handle(handle: &Handle) -> Vec<u8> {
    key(b'h', &[handle.as_str().as_bytes()])
}

pub(crate) fn conversation(id: &ConversationId) -> Vec<u8> {
    key(b'c', &[id.as_str().as_bytes()])
}

pub(crate) fn message(id: &ConversationId, seq: Seq) -> Vec<u8> {
    key(MESSAGE, &[id.as_str().as_bytes(), &seq.0.to_be_bytes()])
}

/// The same, for an id that is read back.
pub(crate) fn message_at(id: &str, seq: u64) -> Vec<u8> {
    key(MESSAGE, &[id.as_bytes(), &seq.to_be_bytes()])
}

/// The key of the message after the one with this key, if it is a message's.
pub(crate) fn next_message(key: &[u8]) -> Option<Vec<u8>> {
    let (id, seq) = message_parts(key)?;
    Some(message_at(id, seq.0.saturating_add(1)))
}

/// The conversation and the place that a message's key is made of.
pub(crate) fn message_parts(key: &[u8]) -> Option<(&str, Seq)> {
    let (head, _) = key.split_last_chunk::<8>()?;
    let id = head.strip_prefix(&[MESSAGE])?.strip_suffix(&[0])?;
    Some((std::str::from_utf8(id).ok()?, last_seq(key)?))
}

pub(crate) fn member(id: &ConversationId, user: &UserId) -> Vec<u8> {
    key(b'm', &[id.as_str().as_bytes(), user.as_str().as_bytes()])
}

pub(crate) fn members(id: &ConversationId) -> Vec<u8> {
    key(b'm', &[id.as_str().as_bytes(), b""])
}

pub(crate) fn belongs(user: &UserId, id: &ConversationId) -> Vec<u8> {
    key(b'b', &[user.as_str().as_bytes(), id.as_str().as_bytes()])
}

pub(crate) fn all_of(user: &UserId) -> Vec<u8> {
    key(b'b', &[user.as_str().as_bytes(), b""])
}

pub(crate) fn cursor(id: &ConversationId, user: &UserId) -> Vec<u8> {
    key(b'r', &[id.as_str().as_bytes(), user.as_str().as_bytes()])
}

pub(crate) fn message_id(user: &UserId, id: MessageId) -> Vec<u8> {
    key(b'i', &[user.as_str().as_bytes(), id.as_bytes()])
}

pub(crate) fn cursors(id: &ConversationId) -> Vec<u8> {
    key(b'r', &[id.as_str().as_bytes(), b""])
}

/// All of a user.
pub(crate) fn message_ids(user: &UserId) -> Vec<u8> {
    key(b'i', &[user.as_str().as_bytes(), b""])
}

pub(crate) fn edit(id: &ConversationId, target: Seq, edit: Seq) -> Vec<u8> {
    let (target, edit) = (target.0.to_be_bytes(), edit.0.to_be_bytes());
    key(b'f', &[id.as_str().as_bytes(), &target, &edit])
}

pub(crate) fn edits(id: &ConversationId, target: Seq) -> Vec<u8> {
    key(
        b'f',
        &[id.as_str().as_bytes(), &target.0.to_be_bytes(), b""],
    )
}

pub(crate) fn device(user: &UserId, id: &DeviceId) -> Vec<u8> {
    key(b'd', &[user.as_str().as_bytes(), id.as_str().as_bytes()])
}

pub(crate) fn devices(user: &UserId) -> Vec<u8> {
    key(b'd', &[user.as_str().as_bytes(), b""])
}

pub(crate) fn session(token: &TokenHash) -> Vec<u8> {
    key(b't', &[&token.0])
}

pub(crate) fn device_session(user: &UserId, device: &DeviceId, token: &TokenHash) -> Vec<u8> {
    let (user, device) = (user.as_str().as_bytes(), device.as_str().as_bytes());
    key(b'o', &[user, device, &token.0])
}

pub(crate) fn device_sessions(user: &UserId, device: &DeviceId) -> Vec<u8> {
    let (user, device) = (user.as_str().as_bytes(), device.as_str().as_bytes());
    key(b'o', &[user, device, b""])
}

/// The number at the end of a key.
pub(crate) fn last_seq(key: &[u8]) -> Option<Seq> {
    let octets = key.last_chunk::<8>()?;
    Some(Seq(u64::from_be_bytes(*octets)))
}

/// The token at the end of a key.
pub(crate) fn last_token(key: &[u8]) -> Option<TokenHash> {
    key.last_chunk::<32>().copied().map(TokenHash)
}

/// The text after a prefix.
pub(crate) fn rest<'k>(key: &'k [u8], prefix: &[u8]) -> Option<&'k str> {
    std::str::from_utf8(key.strip_prefix(prefix)?).ok()
}
