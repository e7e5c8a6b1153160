//! What a queue holds. Most idle queues never held anything, or nothing since they were read from disk,
//! and a broker may have very many of them: such a queue is its settings and its terms alone.

use std::sync::Arc;

use super::turn::State;
use crate::model::{Now, QueueTerms};
use crate::queue::{Counts, QueueState, Settings};

/// A queue's state, or what it would be made from.
#[derive(Debug)]
pub(super) enum Content {
    /// A state like a new one.
    Unused {
        settings: Settings,
        terms: Arc<QueueTerms>,
    },
    Used(Box<State>),
}

impl Content {
    pub(super) fn new(state: State) -> Self {
        let mut content = Self::Used(Box::new(state));
        content.rest();
        content
    }

    /// The state to work with; afterwards [`rest`](Self::rest) is to be called.
    pub(super) fn state(&mut self) -> &mut State {
        if let Self::Unused { settings, terms } = self {
            let state = QueueState::new(*settings).on_shared_terms(Arc::clone(terms));
            *self = Self::Used(Box::new(state));
        }
        match self {
            Self::Used(state) => state,
            Self::Unused { .. } => unreachable!("it was made a moment ago"),
        }
    }

    /// Gives the state up if it is like a new one.
    pub(super) fn rest(&mut self) {
        let Self::Used(state) = self else {
            return;
        };
        if state.is_unused() {
            *self = Self::Unused {
                settings: state.settings(),
                terms: Arc::clone(state.terms()),
            };
        }
    }

    /// The state, if it is not like a new one.
    pub(super) const fn used(&self) -> Option<&State> {
        match self {
            Self::Unused { .. } => None,
            Self::Used(state) => Some(state),
        }
    }

    pub(super) const fn terms(&self) -> &Arc<QueueTerms> {
        match self {
            Self::Unused { terms, .. } => terms,
            Self::Used(state) => state.terms(),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.used().map(State::counts).unwrap_or_default()
    }

    /// When time has something to do for it, in monotonic milliseconds.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.used()?.deadline()
    }

    /// Notes that somebody used the queue. That matters where queues expire, and those are never like
    /// new ones.
    pub(super) fn touch(&mut self, now: Now) {
        if let Self::Used(state) = self {
            state.used(now);
        }
    }
}

/// There is one for each idle queue, and there may be a hundred thousand.
const _: () = assert!(size_of::<Content>() <= 24);
