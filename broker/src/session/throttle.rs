//! Publishing while memory or disk are short (spec 1.9.1, 11.1).
//!
//! ```text
//!          content while something is short
//! open ──────────────────────────────────────► blocked: the socket is not read
//!   ▲                                             │
//!   └────────────── nothing is short any more ────┘
//! ```

use crate::model::Shortage;
use crate::wire::FrameKind;

/// Whether a connection is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Throttle {
    /// What is short, as far as the connection has heard.
    shortage: Shortage,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Blocked,
}

/// What a client is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is not read any more, for this reason.
    Blocked(&'static str),
    /// It is read again.
    Unblocked,
}

impl Throttle {
    /// Whether the connection must not be read.
    pub(super) fn is_blocked(self) -> bool {
        self.state == State::Blocked
    }

    /// Takes notice of what is short now.
    pub(super) fn heed(&mut self, shortage: Shortage) -> Option<Change> {
        self.shortage = shortage;
        if !shortage.is_none() || self.state == State::Open {
            return None;
        }
        self.state = State::Open;
        Some(Change::Unblocked)
    }

    /// A frame was taken. Content blocks the connection while something is short.
    pub(super) fn taken(&mut self, frame: FrameKind) -> Option<Change> {
        let is_content = match frame {
            FrameKind::Header | FrameKind::Body => true,
            FrameKind::Method | FrameKind::Heartbeat => false,
        };
        if self.shortage.is_none() || !is_content || self.is_blocked() {
            return None;
        }
        self.state = State::Blocked;
        Some(Change::Blocked(self.shortage.reason()))
    }
}
