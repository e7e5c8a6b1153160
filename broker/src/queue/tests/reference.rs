//! What a queue has to do, written down as plainly as possible.

use std::collections::BTreeMap;

use crate::model::{ConsumerKey, Seq};
use crate::queue::{Sharing, Takeover};

/// Highest level first, then by position.
type Order = (std::cmp::Reverse<u8>, u64);

fn order(seq: Seq) -> Order {
    (std::cmp::Reverse(seq.level()), seq.position())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) seq: Seq,
    pub(super) id: u32,
    pub(super) recorded: bool,
    pub(super) redelivered: bool,
    pub(super) returns: u32,
    /// When it expires; 0 for never.
    pub(super) deadline_ms: u64,
}

impl Entry {
    /// The place that is to be settled when it is gone.
    pub(super) fn place(&self) -> Option<Seq> {
        self.recorded.then_some(self.seq)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) key: ConsumerKey,
    pub(super) priority: i64,
    pub(super) prefetch: u32,
    pub(super) no_ack: bool,
    pub(super) blocked: bool,
    pub(super) outstanding: u32,
    pub(super) room: u32,
}

impl Member {
    fn can_take(&self) -> bool {
        let has_credit = self.no_ack || self.prefetch == 0 || self.outstanding < self.prefetch;
        !self.blocked && has_credit
    }
}

#[derive(Default)]
pub(super) struct Reference {
    pub(super) ready: BTreeMap<Order, Entry>,
    pub(super) unacked: BTreeMap<Seq, (Entry, Option<ConsumerKey>)>,
    pub(super) members: Vec<Member>,
    /// Who can take a message, in turn.
    pub(super) line: Vec<ConsumerKey>,
    pub(super) sharing: Sharing,
    /// Who gets everything, where only one may.
    pub(super) active: Option<ConsumerKey>,
}

impl Reference {
    pub(super) fn new(sharing: Sharing) -> Self {
        Self {
            sharing,
            ..Self::default()
        }
    }

    pub(super) fn member(&mut self, key: ConsumerKey) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.key == key)
    }

    pub(super) fn enqueue(&mut self, entry: Entry) {
        self.ready.insert(order(entry.seq), entry);
    }

    pub(super) fn head(&self) -> Option<Entry> {
        self.ready.values().next().copied()
    }

    /// The one with the highest priority; of those, the first to come.
    fn best(&self) -> Option<&Member> {
        let highest = self.members.iter().map(|member| member.priority).max()?;
        let mut members = self.members.iter();
        members.find(|member| member.priority == highest)
    }

    /// Makes the right consumer the active one.
    fn choose_active(&mut self) {
        let Sharing::SingleActive(takeover) = self.sharing else {
            return;
        };
        let (Some(best), active) = (self.best(), self.active_member()) else {
            self.active = None;
            return;
        };
        let yields = takeover == Takeover::ByPriority;
        let stays = active.is_some_and(|active| {
            !(yields && active.priority < best.priority && active.outstanding == 0)
        });
        if !stays {
            self.active = Some(best.key);
        }
    }

    fn active_member(&self) -> Option<&Member> {
        let mut members = self.members.iter();
        members.find(|member| self.active == Some(member.key))
    }

    fn active_candidate(&self, takeover: Takeover) -> Option<ConsumerKey> {
        let (active, best) = (self.active_member()?, self.best()?);
        let fades = takeover == Takeover::ByPriority && active.priority < best.priority;
        (active.can_take() && !fades).then_some(active.key)
    }

    pub(super) fn remove_ready(&mut self, seq: Seq) {
        self.ready.remove(&order(seq));
    }

    pub(super) fn candidate(&self) -> Option<ConsumerKey> {
        if let Sharing::SingleActive(takeover) = self.sharing {
            return self.active_candidate(takeover);
        }
        let priority = |key| {
            self.members
                .iter()
                .find(|member| member.key == key)
                .map(|member| member.priority)
        };
        let highest = self.line.iter().filter_map(|key| priority(*key)).max()?;
        self.line
            .iter()
            .copied()
            .find(|key| priority(*key) == Some(highest))
    }

    pub(super) fn consume(&mut self, member: Member) {
        self.line.push(member.key);
        self.members.push(member);
        self.choose_active();
    }

    pub(super) fn cancel(&mut self, key: ConsumerKey) {
        self.members.retain(|member| member.key != key);
        self.line.retain(|other| *other != key);
        self.choose_active();
    }

    /// Whoever can take a message again joins the line's end; whoever cannot leaves it.
    pub(super) fn review(&mut self, key: ConsumerKey) {
        let able = self.member(key).is_some_and(|member| member.can_take());
        if !able {
            self.line.retain(|other| *other != key);
        } else if !self.line.contains(&key) {
            self.line.push(key);
        }
    }

    /// The head goes to `key`, or to a `basic.get`.
    pub(super) fn deliver(&mut self, key: Option<ConsumerKey>, no_ack: bool) -> Option<Entry> {
        let (_, entry) = self.ready.pop_first()?;
        if !no_ack {
            self.unacked.insert(entry.seq, (entry, key));
        }
        if let Some(key) = key {
            self.line.retain(|other| *other != key);
            if let Some(member) = self.member(key) {
                member.room -= 1;
                member.outstanding += u32::from(!no_ack);
            }
            self.review(key);
        }
        Some(entry)
    }

    /// Takes a message back; `counts` if returns are counted.
    pub(super) fn settle(&mut self, seq: Seq, requeue: bool, counts: bool) -> Option<Entry> {
        let (mut entry, holder) = self.unacked.remove(&seq)?;
        if requeue {
            entry.redelivered = true;
            entry.returns += u32::from(counts);
            self.enqueue(entry);
        }
        if let Some(key) = holder {
            if let Some(member) = self.member(key) {
                member.outstanding -= 1;
            }
            self.review(key);
            self.choose_active();
        }
        Some(entry)
    }
}
