//! What waits for one connection. Pure.
//!
//! Events wait in their order, up to a number and a size. What comes beyond becomes, for each conversation,
//! one `bump`: the history has it, and the client asks when it has come so far. Too many conversations become
//! one `resync`. So a client that does not read costs no more than this, however much is said.

use std::collections::{BTreeMap, VecDeque};

use axum::extract::ws::Utf8Bytes;
use leveret_client::message::{Bump, ConversationId, Event, Seq};

/// Conversations with a bump each, at most; beyond, one resync for all.
const BUMPS_MAX: usize = 1_000;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// What goes to the client next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// As it was encoded for everybody.
    Frame(Utf8Bytes),
    /// Instead of what did not fit.
    Bump(Bump),
    /// Instead of more than that.
    Resync,
}

/// Events of one connection.
#[derive(Debug)]
pub(super) struct Mailbox {
    room: Room,
    frames: VecDeque<Utf8Bytes>,
    bytes: usize,
    bumps: BTreeMap<ConversationId, Seq>,
    resync: bool,
}

impl Mailbox {
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            frames: VecDeque::new(),
            bytes: 0,
            bumps: BTreeMap::new(),
            resync: false,
        }
    }

    /// An event, and the same encoded.
    pub(super) fn push(&mut self, event: &Event, frame: &Utf8Bytes) {
        let bytes = self.bytes.saturating_add(frame.len());
        let is_behind = !self.bumps.is_empty() || self.resync;
        if is_behind || self.frames.len() >= self.room.events || bytes > self.room.bytes {
            self.shorten(event);
            return;
        }
        self.bytes = bytes;
        self.frames.push_back(frame.clone());
    }

    /// Everything may have been missed.
    pub(super) fn resync(&mut self) {
        self.bumps.clear();
        self.resync = true;
    }

    fn shorten(&mut self, event: &Event) {
        let (conversation, seq) = match event {
            Event::Msg(message) => (&message.conv, message.seq),
            Event::Sent(sent) => (&sent.conv, sent.seq),
            Event::Bump(bump) => (&bump.conv, bump.last_seq),
            // Whoever is told to look again asks for the cursors as well.
            Event::Cursor(cursor) => (&cursor.conv, Seq::NONE),
            // The client sends it again, and is told again.
            Event::Rejected(_) => return self.resync(),
            Event::Typing(_) | Event::Presence(_) | Event::Unknown => return,
        };
        if self.resync {
            return;
        }
        let last = self.bumps.entry(conversation.clone()).or_default();
        *last = seq.max(*last);
        if self.bumps.len() > BUMPS_MAX {
            self.resync();
        }
    }

    /// What goes out next.
    pub(super) fn pop(&mut self) -> Option<Next> {
        if let Some(frame) = self.frames.pop_front() {
            self.bytes -= frame.len();
            if self.frames.is_empty() {
                // What a burst took is given back.
                self.frames.shrink_to(16);
            }
            return Some(Next::Frame(frame));
        }
        if let Some((conv, last_seq)) = self.bumps.pop_first() {
            return Some(Next::Bump(Bump { conv, last_seq }));
        }
        std::mem::take(&mut self.resync).then_some(Next::Resync)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.bumps.is_empty() && !self.resync
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_client::message::{MessageId, Sent, Timestamp, UserId};
    use proptest::prelude::*;

    fn sent(conversation: &ConversationId, seq: u64) -> Event {
        Event::Sent(Sent {
            id: MessageId::new(Timestamp::now()),
            conv: conversation.clone(),
            seq: Seq(seq),
            ts: Timestamp::now(),
        })
    }

    fn drain(mailbox: &mut Mailbox) -> Vec<Next> {
        std::iter::from_fn(|| mailbox.pop()).collect()
    }

    #[test]
    fn what_does_not_fit_becomes_one_bump_for_each_conversation() {
        let (events, bytes) = (2, 1_000);
        let mut mailbox = Mailbox::new(Room { events, bytes });
        let (one, other) = ("g_2".parse().unwrap(), "g_3".parse().unwrap());
        for seq in 1..=9 {
            mailbox.push(&sent(&one, seq), &Utf8Bytes::from(seq.to_string()));
        }
        mailbox.push(&sent(&other, 5), &Utf8Bytes::from("5"));
        let bump = |conv: &ConversationId, seq| {
            Next::Bump(Bump {
                conv: conv.clone(),
                last_seq: Seq(seq),
            })
        };
        let expected = [
            Next::Frame("1".into()),
            Next::Frame("2".into()),
            bump(&one, 9),
            bump(&other, 5),
        ];
        assert_eq!(drain(&mut mailbox), expected);
        // Who has caught up gets everything again.
        mailbox.push(&sent(&one, 10), &Utf8Bytes::from("10"));
        assert_eq!(drain(&mut mailbox), [Next::Frame("10".into())]);
    }

    #[test]
    fn a_long_event_does_not_take_more_than_its_room() {
        let (events, bytes) = (100, 10);
        let mut mailbox = Mailbox::new(Room { events, bytes });
        let group = "g_2".parse().unwrap();
        mailbox.push(&sent(&group, 1), &Utf8Bytes::from("x".repeat(11)));
        assert!(matches!(drain(&mut mailbox)[..], [Next::Bump(_)]));
    }

    proptest! {
        /// Whatever comes, and whenever the client reads: of the last message of each conversation it
        /// hears in one way or another, and no more waits than there is room for.
        #[test]
        fn nobody_misses_that_there_is_more(
            steps in proptest::collection::vec((0u8..4, 1usize..40, any::<bool>()), 1..200),
        ) {
            let room = Room { events: 5, bytes: 100 };
            let mut mailbox = Mailbox::new(room);
            let groups: Vec<ConversationId> =
                ["g_2", "g_3", "g_4", "g_5"].map(|id| id.parse().unwrap()).to_vec();
            let mut last = [0u64; 4];
            let mut heard = [0u64; 4];
            let mut frames = std::collections::HashMap::new();
            let mut number = 0;
            let hear = |next: Option<Next>, heard: &mut [u64; 4], frames: &std::collections::HashMap<String, (usize, u64)>| {
                match next {
                    Some(Next::Frame(text)) => {
                        let (group, seq) = frames[text.as_str()];
                        heard[group] = heard[group].max(seq);
                    }
                    Some(Next::Bump(bump)) => {
                        let group = groups.iter().position(|id| *id == bump.conv).unwrap();
                        heard[group] = heard[group].max(bump.last_seq.0);
                    }
                    Some(Next::Resync) | None => {}
                }
            };
            for (group, length, reads) in steps {
                let group = usize::from(group);
                last[group] += 1;
                number += 1;
                let text = format!("{number:0length$}");
                frames.insert(text.clone(), (group, last[group]));
                mailbox.push(&sent(&groups[group], last[group]), &Utf8Bytes::from(text));
                prop_assert!(mailbox.frames.len() <= room.events && mailbox.bytes <= room.bytes);
                if reads {
                    hear(mailbox.pop(), &mut heard, &frames);
                }
            }
            while !mailbox.is_empty() {
                hear(mailbox.pop(), &mut heard, &frames);
            }
            prop_assert_eq!(heard, last);
        }
    }

    #[test]
    fn presence_is_dropped_and_a_lost_rejection_is_a_resync() {
        use leveret_client::message::{DeviceId, Presence, PresenceState, Rejected, RejectionCode};
        let (events, bytes) = (0, 0);
        let mut mailbox = Mailbox::new(Room { events, bytes });
        let presence = Event::Presence(Presence {
            from: UserId::random(),
            dev: DeviceId::random(),
            state: PresenceState::Away,
        });
        mailbox.push(&presence, &Utf8Bytes::from("x"));
        assert!(mailbox.is_empty());
        let id = MessageId::new(Timestamp::now());
        let rejected = Event::Rejected(Rejected::new(id, RejectionCode::Clock));
        mailbox.push(&rejected, &Utf8Bytes::from("x"));
        assert_eq!(drain(&mut mailbox), [Next::Resync]);
    }
}
