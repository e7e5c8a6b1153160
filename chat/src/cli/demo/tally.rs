//! What was written, who was shown it, and what that comes to. Pure.

use std::collections::{BTreeMap, HashMap};

use leveret_client::message::{ConversationId, Message, MessageId, Seq};

/// A person of the demonstration.
pub(super) type Number = usize;

/// Counts messages.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The conversations that are counted, and who is in them.
    readers: HashMap<ConversationId, Vec<Number>>,
    written: BTreeMap<MessageId, Written>,
    /// How far each has come in each conversation.
    positions: HashMap<(Number, ConversationId), Seq>,
    duplicated: u64,
}

#[derive(Debug)]
struct Written {
    conv: ConversationId,
    /// Its place, as soon as anybody was shown it.
    seq: Option<Seq>,
    shown_to: Vec<Number>,
}

/// What it comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) written: u64,
    /// Shown to everybody who is to see it.
    pub(super) everywhere: u64,
    /// Somebody was shown what comes after it, and never it.
    pub(super) lost: u64,
    /// Shown to somebody once more.
    pub(super) duplicated: u64,
}

impl Tally {
    /// These people are in this conversation.
    pub(super) fn begin(&mut self, conv: ConversationId, readers: &[Number]) {
        self.readers.insert(conv, readers.to_vec());
    }

    /// A message was written, or is safe with the broker.
    pub(super) fn written(&mut self, conv: &ConversationId, id: MessageId) {
        if self.readers.contains_key(conv) {
            self.written.entry(id).or_insert_with(|| Written {
                conv: conv.clone(),
                seq: None,
                shown_to: Vec::new(),
            });
        }
    }

    /// A message was not taken, and its writer was told so.
    pub(super) fn refused(&mut self, id: MessageId) {
        self.written.remove(&id);
    }

    /// Somebody was shown a message.
    pub(super) fn shown(&mut self, number: Number, message: &Message) {
        self.written(&message.conv, message.id);
        let Some(written) = self.written.get_mut(&message.id) else {
            return;
        };
        written.seq = Some(message.seq);
        if written.shown_to.contains(&number) {
            self.duplicated += 1;
        } else {
            written.shown_to.push(number);
        }
        let position = self
            .positions
            .entry((number, message.conv.clone()))
            .or_default();
        *position = message.seq.max(*position);
    }

    fn readers_of(&self, written: &Written) -> impl Iterator<Item = Number> {
        self.readers
            .get(&written.conv)
            .into_iter()
            .flatten()
            .copied()
    }

    fn is_everywhere(&self, written: &Written) -> bool {
        self.readers_of(written)
            .all(|number| written.shown_to.contains(&number))
    }

    /// Whether somebody will never be shown it: what comes later in the order was.
    fn is_lost(&self, written: &Written) -> bool {
        let Some(seq) = written.seq else {
            return false;
        };
        self.readers_of(written).any(|number| {
            let position = self.positions.get(&(number, written.conv.clone()));
            !written.shown_to.contains(&number) && position.is_some_and(|position| *position > seq)
        })
    }

    /// How many messages somebody has not been shown.
    pub(super) fn waiting_for(&self, number: Number) -> u64 {
        let waits = |written: &&Written| {
            !written.shown_to.contains(&number)
                && self.readers_of(written).any(|reader| reader == number)
        };
        self.written.values().filter(waits).count() as u64
    }

    /// What it comes to so far.
    pub(super) fn count(&self) -> Count {
        let count = |is: &dyn Fn(&Written) -> bool| {
            self.written.values().filter(|written| is(written)).count() as u64
        };
        Count {
            written: self.written.len() as u64,
            everywhere: count(&|written| self.is_everywhere(written)),
            lost: count(&|written| self.is_lost(written)),
            duplicated: self.duplicated,
        }
    }

    /// What it comes to when nothing is on its way any more: what is not everywhere is lost.
    pub(super) fn verdict(&self) -> Count {
        let count = self.count();
        Count {
            lost: count.written - count.everywhere,
            ..count
        }
    }

    /// The ids of what was written in a conversation.
    pub(super) fn ids(&self, conv: &ConversationId) -> Vec<MessageId> {
        let here = self.written.iter().filter(|(_, one)| one.conv == *conv);
        here.map(|(id, _)| *id).collect()
    }
}

impl Count {
    /// Whether nothing was lost and nothing shown twice.
    pub(super) fn is_good(self) -> bool {
        self.written > 0 && self.lost == 0 && self.duplicated == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_client::message::{Body, Timestamp};

    fn message(seq: u64) -> Message {
        let now = Timestamp::now();
        Message {
            id: MessageId::from_parts(now, [u8::try_from(seq).unwrap(); 10]),
            conv: "g_geral".parse().unwrap(),
            seq: Seq(seq),
            from: "uana".parse().unwrap(),
            ts: now,
            sent_at: now,
            body: Body::text("oi"),
        }
    }

    fn tally(shown: &[(Number, u64)]) -> Tally {
        let mut tally = Tally::default();
        tally.begin("g_geral".parse().unwrap(), &[0, 1]);
        let messages: Vec<_> = (0..10).map(message).collect();
        for (number, seq) in shown {
            tally.shown(*number, &messages[usize::try_from(*seq).unwrap()]);
        }
        tally
    }

    #[test]
    fn what_everybody_was_shown_once_is_neither_lost_nor_duplicated() {
        let tally = tally(&[(0, 1), (1, 1), (0, 2), (1, 2)]);
        assert_eq!(tally.count().everywhere, 2);
        assert!(tally.count().is_good() && tally.verdict().is_good());
    }

    #[test]
    fn a_planted_loss_and_a_planted_duplicate_are_counted() {
        let loss = tally(&[(0, 1), (1, 1), (0, 2), (0, 3), (1, 3)]);
        assert_eq!(loss.count().lost, 1);
        assert!(!loss.count().is_good());
        let twice = tally(&[(0, 1), (1, 1), (1, 1)]);
        assert_eq!(twice.count().duplicated, 1);
        assert!(!twice.verdict().is_good());
    }

    #[test]
    fn what_is_on_its_way_is_lost_only_in_the_end() {
        let tally = tally(&[(0, 1), (1, 1), (0, 2)]);
        assert_eq!(tally.waiting_for(1), 1);
        assert!(tally.count().is_good());
        assert_eq!(tally.verdict().lost, 1);
    }

    #[test]
    fn what_was_kept_and_never_seen_again_is_lost_and_what_was_refused_is_not() {
        let mut tally = tally(&[(0, 1), (1, 1)]);
        let (conv, gone) = ("g_geral".parse().unwrap(), message(7).id);
        tally.written(&conv, gone);
        assert_eq!(tally.verdict().lost, 1);
        tally.refused(gone);
        assert!(tally.verdict().is_good());
    }

    #[test]
    fn nothing_written_proves_nothing() {
        assert!(!Tally::default().verdict().is_good());
    }
}
