//! Publishing while memory or disk are short (spec 1.9.1, 11.1).
//!
//! ```text
//!          content while something is short
//! Open ──────────────────────────────────────► Blocked: the socket is not read
//!   ▲                                             │
//!   └────────────── nothing is short any more ────┘
//! ```

use super::core::Session;
use crate::model::Shortage;
use crate::wire::method::connection;
use crate::wire::{FrameKind, RawFrame};

/// Whether a connection is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Throttle {
    /// It is.
    #[default]
    Open,
    /// It published although something was short, and was told.
    Blocked,
}

impl Session {
    /// Takes notice of what is short now.
    pub(super) fn heed(&mut self, shortage: Shortage) {
        self.shortage = shortage;
        if !shortage.is_none() || self.throttle == Throttle::Open {
            return;
        }
        self.throttle = Throttle::Open;
        self.client.unblocked();
        if self.properties.connection_blocked {
            self.reply(0, connection::Unblocked {});
        }
    }

    /// Blocks the connection if `frame`, which has been taken, was content and something is short.
    pub(super) fn throttle(&mut self, frame: &RawFrame) {
        let is_content = match frame.kind {
            FrameKind::Header | FrameKind::Body => true,
            FrameKind::Method | FrameKind::Heartbeat => false,
        };
        if self.shortage.is_none() || !is_content {
            return;
        }
        self.throttle = Throttle::Blocked;
        self.client.blocked();
        if self.properties.connection_blocked {
            let reason = self.shortage.reason();
            self.reply(0, connection::Blocked { reason });
        }
    }
}
