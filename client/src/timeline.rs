//! What was shown of each conversation: each message once, in order, without gaps. Pure.
//!
//! Messages arrive in any order, and more than once; they are shown by their [`Seq`]. One that comes
//! too early is held until what is missing was fetched with [`Request::Sync`](crate::message::Request).

use std::collections::{BTreeMap, HashMap};

use crate::message::{ConversationId, Message, Position, Seq};

/// Messages held because something before them is missing, per conversation. What does not fit is
/// let go, since fetching what is missing brings it again.
const HELD_MAX: usize = 256;

/// What to do with a message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Show these, in this order, and remember that with [`Timelines::position`].
    Show(Vec<Message>),
    /// It was shown before.
    Duplicate,
    /// Something before it is missing: fetch what is after this place.
    Gap(Position),
}

#[derive(Clone, Debug, Default)]
struct Timeline {
    shown: Seq,
    held: BTreeMap<Seq, Message>,
}

/// What was shown of each conversation.
#[derive(Clone, Debug, Default)]
pub struct Timelines {
    timelines: HashMap<ConversationId, Timeline>,
}

impl Timelines {
    /// Everything up to this place was shown before: to be said when a client starts.
    pub fn restore(&mut self, position: Position) {
        let timeline = self.timelines.entry(position.conv).or_default();
        timeline.shown = timeline.shown.max(position.after);
    }

    /// A message arrived.
    pub fn arrive(&mut self, message: Message) -> Arrival {
        let timeline = self.timelines.entry(message.conv.clone()).or_default();
        if message.seq <= timeline.shown {
            return Arrival::Duplicate;
        }
        let position = Position {
            conv: message.conv.clone(),
            after: timeline.shown,
        };
        timeline.held.insert(message.seq, message);
        let ready = timeline.release();
        if ready.is_empty() {
            while timeline.held.len() > HELD_MAX {
                timeline.held.pop_last();
            }
            return Arrival::Gap(position);
        }
        Arrival::Show(ready)
    }

    /// Nothing up to this place is for this user: it counts as shown. Gives what can be shown now.
    pub fn hidden(&mut self, position: Position) -> Vec<Message> {
        let timeline = self.timelines.entry(position.conv).or_default();
        if position.after <= timeline.shown {
            return Vec::new();
        }
        timeline.shown = position.after;
        timeline.held = timeline.held.split_off(&timeline.shown.next());
        timeline.release()
    }

    /// The service has messages up to this place; gives the place after which to fetch, if something
    /// is missing.
    #[must_use]
    pub fn missing(&self, conversation: &ConversationId, last: Seq) -> Option<Position> {
        let after = self.position(conversation);
        (after < last).then(|| Position {
            conv: conversation.clone(),
            after,
        })
    }

    /// Up to where everything was shown.
    #[must_use]
    pub fn position(&self, conversation: &ConversationId) -> Seq {
        self.timelines
            .get(conversation)
            .map_or(Seq::NONE, |timeline| timeline.shown)
    }

    /// All places, for a [`Request::Sync`](crate::message::Request::Sync).
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        let position = |(conv, timeline): (&ConversationId, &Timeline)| Position {
            conv: conv.clone(),
            after: timeline.shown,
        };
        self.timelines.iter().map(position).collect()
    }
}

impl Timeline {
    fn release(&mut self) -> Vec<Message> {
        let mut ready = Vec::new();
        while let Some(message) = self.held.remove(&self.shown.next()) {
            self.shown = message.seq;
            ready.push(message);
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Body, MessageId, Timestamp};
    use proptest::prelude::*;

    fn message(seq: u64) -> Message {
        let time = Timestamp::from_milliseconds(1_764_000_000_000 + seq);
        Message {
            id: MessageId::from_parts(time, [1; 10]),
            conv: "g_a".parse().unwrap(),
            seq: Seq(seq),
            from: "uana".parse().unwrap(),
            ts: time,
            sent_at: time,
            body: Body::text("oi"),
        }
    }

    fn position(after: u64) -> Position {
        Position {
            conv: "g_a".parse().unwrap(),
            after: Seq(after),
        }
    }

    #[test]
    fn what_comes_too_early_waits_for_what_is_missing() {
        let mut timelines = Timelines::default();
        assert_eq!(timelines.arrive(message(2)), Arrival::Gap(position(0)));
        let both = vec![message(1), message(2)];
        assert_eq!(timelines.arrive(message(1)), Arrival::Show(both));
        assert_eq!(timelines.arrive(message(2)), Arrival::Duplicate);
    }

    #[test]
    fn what_is_hidden_from_a_member_that_came_late_counts_as_shown() {
        let mut timelines = Timelines::default();
        assert_eq!(timelines.arrive(message(57)), Arrival::Gap(position(0)));
        assert_eq!(timelines.hidden(position(56)), [message(57)]);
        assert_eq!(timelines.missing(&position(0).conv, Seq(57)), None);
        assert_eq!(
            timelines.missing(&position(0).conv, Seq(60)),
            Some(position(57))
        );
    }

    #[test]
    fn a_client_that_starts_again_shows_nothing_twice() {
        let mut timelines = Timelines::default();
        timelines.restore(position(7));
        assert_eq!(timelines.arrive(message(7)), Arrival::Duplicate);
        assert!(matches!(timelines.arrive(message(8)), Arrival::Show(_)));
    }

    proptest! {
        #[test]
        fn whatever_the_order_and_however_often_each_is_shown_once_and_in_order(
            mut order in prop::collection::vec(1_u64..=40, 0..200)
        ) {
            let mut timelines = Timelines::default();
            let mut shown = Vec::new();
            // At last everything comes once more, as after a synchronisation.
            order.extend(1..=40);
            for seq in order {
                if let Arrival::Show(messages) = timelines.arrive(message(seq)) {
                    shown.extend(messages.into_iter().map(|message| message.seq.0));
                }
            }
            prop_assert_eq!(shown, (1..=40).collect::<Vec<_>>());
        }
    }
}
