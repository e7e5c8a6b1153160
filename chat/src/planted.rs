//! Faults that are planted, to see that everybody else survives them. There are none but in tests.

use std::fmt;
use std::num::NonZeroU32;

use leveret_client::message::Body;

/// A moment between two steps of a worker, at which it hurts most to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A router has messages that are in no history.
    BeforeAppend,
    /// They are in the history, and nobody was told.
    AfterAppend,
    /// Some were told.
    AmidFanout,
    /// Everybody was told, and the broker does not know.
    BeforeAck,
    /// Receipts have moved no cursor.
    BeforeAdvance,
    /// The cursors have moved, and nobody was told.
    AfterAdvance,
    /// Everybody was told, and the broker does not know.
    BeforeReceiptAck,
    /// A message was set aside, and its sender was not told.
    BeforeVerdict,
    /// Its sender was told, and the broker does not know.
    AfterVerdict,
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::BeforeAppend => "before the append",
            Self::AfterAppend => "after the append",
            Self::AmidFanout => "amid the fan-out",
            Self::BeforeAck => "before the ack",
            Self::BeforeAdvance => "before the cursor",
            Self::AfterAdvance => "after the cursor",
            Self::BeforeReceiptAck => "before the receipt's ack",
            Self::BeforeVerdict => "before the verdict",
            Self::AfterVerdict => "after the verdict",
        })
    }
}

/// What is planted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    /// A text that brings a router down, to see what becomes of such a message and of its neighbours.
    pub poison: Option<String>,
    /// One in so many times that a worker comes between two of its steps, its process dies there, with no more
    /// warning than `kill -9` gives.
    pub deaths: Option<NonZeroU32>,
}

impl Planted {
    /// Panics if the message is poisoned.
    pub(crate) fn taste(&self, body: &Body) {
        if let (Some(poison), Body::Text(text)) = (&self.poison, body) {
            assert!(!text.text.contains(poison.as_str()), "a planted fault");
        }
    }

    /// Comes to a moment, and may not leave it.
    pub(crate) fn pass(&self, moment: Moment) {
        let Some(one_in) = self.deaths else { return };
        // Without randomness nobody dies.
        let Ok(lot) = getrandom::u32() else { return };
        if lot % one_in == 0 {
            tracing::error!("a planted death {moment}");
            std::process::abort();
        }
    }
}
