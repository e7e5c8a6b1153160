//! Who is served where only one consumer may be (spec 5.3.7).
//!
//! ```text
//!            the active one goes, or yields
//!  waiting ----------------------------------> active
//!     ^                                          |
//!     +------------------------------------------+
//!       yields: one of higher priority waits, and
//!       everything that it had in hand is settled
//! ```

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// How a queue shares its messages among its consumers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody gets some, in turn.
    #[default]
    Competing,
    /// One consumer gets everything; the others wait for their time.
    SingleActive(Takeover),
}

/// When a waiting consumer becomes the active one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// When the active one has gone.
    WhenGone,
    /// Also when its priority is higher: then the active one gets nothing more, and steps back once
    /// all that it has in hand is settled.
    ByPriority,
}

/// What a consumer does, in the words of RabbitMQ's HTTP API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It gets messages, as others do.
    Up,
    /// It is the one that gets messages.
    SingleActive,
    /// Another one gets messages.
    Waiting,
}

impl Activity {
    /// Whether it gets messages.
    #[must_use]
    pub const fn is_active(self) -> bool {
        match self {
            Self::Up | Self::SingleActive => true,
            Self::Waiting => false,
        }
    }

    /// RabbitMQ's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::SingleActive => "single_active",
            Self::Waiting => "waiting",
        }
    }
}

/// A consumer's place among those that wait: higher priorities first, then who came first.
pub(super) type Rank = (Reverse<i64>, u64);

/// The active consumer and its heirs, by their indices.
#[derive(Debug)]
pub(super) struct Succession {
    takeover: Takeover,
    active: Option<(Rank, u32)>,
    waiting: BTreeMap<Rank, u32>,
    /// How many consumers there were.
    arrivals: u64,
}

/// What is to be done about who is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The active one, if there is one, goes on.
    Stay,
    /// The active one gets nothing more.
    Fade,
    /// The next one becomes active.
    Succeed,
}

impl Succession {
    pub(super) const fn new(takeover: Takeover) -> Self {
        Self {
            takeover,
            active: None,
            waiting: BTreeMap::new(),
            arrivals: 0,
        }
    }

    pub(super) fn active(&self) -> Option<u32> {
        self.active.map(|(_, index)| index)
    }

    /// A number for one more consumer, above all others.
    pub(super) const fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    pub(super) fn join(&mut self, rank: Rank, index: u32) {
        self.waiting.insert(rank, index);
    }

    pub(super) fn leave(&mut self, rank: Rank) {
        self.waiting.remove(&rank);
        if self.active.is_some_and(|(active, _)| active == rank) {
            self.active = None;
        }
    }

    /// What comes next; `has_unsettled` says whether the active one has messages in hand.
    pub(super) fn step(&self, has_unsettled: bool) -> Step {
        let Some((next, _)) = self.waiting.first_key_value() else {
            return Step::Stay;
        };
        let Some(((active, _), _)) = self.active else {
            return Step::Succeed;
        };
        let is_higher = next.0 < active;
        match self.takeover {
            Takeover::ByPriority if is_higher && has_unsettled => Step::Fade,
            Takeover::ByPriority if is_higher => Step::Succeed,
            Takeover::ByPriority | Takeover::WhenGone => Step::Stay,
        }
    }

    /// Makes the first of those that wait the active one; the former joins those that wait.
    pub(super) fn succeed(&mut self) {
        let next = self.waiting.pop_first();
        if let Some((rank, index)) = self.active {
            self.waiting.insert(rank, index);
        }
        self.active = next;
    }
}
