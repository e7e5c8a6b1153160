//! The chat's client library: what is said ([`message`]), what must not be forgotten ([`outbox`],
//! [`timeline`], [`journal`]), how it gets there ([`transport`]), all of that together ([`session`]), and a
//! terminal in front of it ([`tui`]).
//!
//! The service, `leveret-chat`, uses [`message`] as well. `message`, `outbox` and `timeline` are pure:
//! time comes in as an argument, and what is to be done comes out as a value.
//!
//! ```
//! use std::time::Instant;
//!
//! use leveret_client::message::{Body, Command, DeviceId, Post, Timestamp, UserId, envelope};
//! use leveret_client::outbox::Outbox;
//!
//! let (ana, bruno, device) = (UserId::random(), UserId::random(), DeviceId::random());
//! let post = Post::to_user(&bruno, &ana, &device, Body::text("oi!"), Timestamp::now());
//! assert_eq!(post.check(Timestamp::now()), Ok(()));
//!
//! // Written down first, then published, then kept until the service says what became of it.
//! let mut outbox = Outbox::default();
//! outbox.push(post.clone(), Instant::now());
//! let due = outbox.due(Instant::now());
//! let bytes = envelope::encode(&Command::Send(due[0].clone()));
//! assert_eq!(envelope::decode(&bytes), Ok(Command::Send(post)));
//! ```

pub mod http;
pub mod journal;
pub mod message;
pub mod outbox;
pub mod session;
pub mod timeline;
pub mod transport;
pub mod trust;
pub mod tui;
pub mod words;
