//! What came of a request, and the short notation in which tests expect it.
//!
//! - `ok`: the method's own reply
//! - `404c no queue 'x' in vhost '/'`: channel.close with that code, text `NOT_FOUND - no queue …`
//! - `505x expected content body…`: connection.close
//! - `drop`: the connection ended without a frame
//!
//! In a text `…` stands for anything. Alternatives are parted by ` || `.

use std::fmt;

use anyhow::Result;

use crate::client::Received;
use crate::raw::bytes::Reader;
use crate::raw::method::MethodId;

/// What came of a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A reply other than a close.
    Reply(Box<Received>),
    /// channel.close.
    ChannelClosed(Close),
    /// connection.close.
    ConnectionClosed(Close),
    /// The connection ended without a close.
    Dropped,
}

/// An outcome that a test did not expect.
#[derive(Debug)]
pub struct Unexpected {
    /// Of what, and what was expected.
    pub what: String,
    /// What came.
    pub outcome: Outcome,
}

impl fmt::Display for Unexpected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {:?}", self.what, self.outcome)
    }
}

impl std::error::Error for Unexpected {}

/// The arguments of channel.close or connection.close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Reply code.
    pub code: u16,
    /// Reply text.
    pub text: String,
    /// The offending method, 0/0 if none.
    pub method: MethodId,
}

impl Close {
    /// Reads a close's arguments.
    pub fn read(arguments: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(arguments);
        let (code, text) = (reader.u16()?, reader.short()?);
        Ok(Self {
            code,
            text,
            method: MethodId(reader.u16()?, reader.u16()?),
        })
    }
}

impl Outcome {
    /// This outcome in the notation of expectations.
    #[must_use]
    pub fn notation(&self) -> String {
        match self {
            Self::Reply(_) => "ok".to_owned(),
            Self::ChannelClosed(close) => close.notation('c'),
            Self::ConnectionClosed(close) => close.notation('x'),
            Self::Dropped => "drop".to_owned(),
        }
    }

    /// Fails unless this is what `expected` says.
    pub fn expect(&self, expected: &str) -> Result<()> {
        let actual = self.notation();
        let met = expected
            .split(" || ")
            .any(|pattern| text_matches(pattern, &actual));
        if met {
            return Ok(());
        }
        Err(self.unexpected(format!("expected {expected:?}, got {actual:?}")))
    }

    /// The failure of a test that did not expect this outcome.
    #[must_use]
    pub fn unexpected(&self, what: String) -> anyhow::Error {
        let outcome = self.clone();
        Unexpected { what, outcome }.into()
    }

    /// The close, if it is one.
    #[must_use]
    pub fn close(&self) -> Option<&Close> {
        match self {
            Self::ChannelClosed(close) | Self::ConnectionClosed(close) => Some(close),
            Self::Reply(_) | Self::Dropped => None,
        }
    }
}

impl Close {
    /// Code, scope and text; a text that does not open with the code's name shows whole, after `!`.
    fn notation(&self, scope: char) -> String {
        let text = code_name(self.code)
            .and_then(|name| self.text.strip_prefix(name))
            .and_then(|rest| {
                if rest.is_empty() {
                    Some("")
                } else {
                    rest.strip_prefix(" - ")
                }
            });
        match text {
            Some(text) => format!("{}{scope} {}", self.code, without_line_breaks(text)),
            None => format!("{}{scope} !{}", self.code, self.text),
        }
    }
}

/// RabbitMQ breaks long terms into lines and indents them, depending on their width.
fn without_line_breaks(text: &str) -> String {
    let mut lines = text.split('\n');
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |joined, line| joined + line.trim_start())
}

/// The name that a reply code has in reply texts.
#[must_use]
pub fn code_name(code: u16) -> Option<&'static str> {
    Some(match code {
        311 => "CONTENT_TOO_LARGE",
        312 => "NO_ROUTE",
        313 => "NO_CONSUMERS",
        320 => "CONNECTION_FORCED",
        402 => "INVALID_PATH",
        403 => "ACCESS_REFUSED",
        404 => "NOT_FOUND",
        405 => "RESOURCE_LOCKED",
        406 => "PRECONDITION_FAILED",
        501 => "FRAME_ERROR",
        502 => "SYNTAX_ERROR",
        503 => "COMMAND_INVALID",
        504 => "CHANNEL_ERROR",
        505 => "UNEXPECTED_FRAME",
        506 => "RESOURCE_ERROR",
        530 => "NOT_ALLOWED",
        540 => "NOT_IMPLEMENTED",
        541 => "INTERNAL_ERROR",
        _ => return None,
    })
}

/// Whether `text` is `pattern`, in which `…` stands for anything.
#[must_use]
pub fn text_matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(found) = rest.find(part) else {
            return false;
        };
        rest = &rest[found + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ellipsis_stands_for_anything_and_the_rest_is_exact() {
        for (pattern, text, expected) in [
            ("drop", "drop", true),
            ("drop", "dropped", false),
            (
                "404c no queue '…' in vhost '/'",
                "404c no queue 'x' in vhost '/'",
                true,
            ),
            (
                "404c no queue '…' in vhost '/'",
                "404c no queue 'x' in vhost '/a'",
                false,
            ),
            ("404c…", "404c anything", true),
            ("404c…", "405c anything", false),
            ("…a…b", "xaxb", true),
            ("…a…b", "xbxa", false),
            ("a…a", "a", false),
        ] {
            assert_eq!(
                text_matches(pattern, text),
                expected,
                "{pattern} against {text}"
            );
        }
    }
}
