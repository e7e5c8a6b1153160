//! Who gets the next message.
//!
//! Consumers that can take a message stand in rings, one ring per priority, and are served in
//! turn. A consumer without credit, or whose outbox is full, stands in none, so that it costs
//! nothing until it can take a message again. Where only one may be active, the others stand in
//! none either.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use thiserror::Error;

use super::slot::Hold;
use super::succession::{Activity, Rank, Sharing, Step, Succession};
use crate::model::ConsumerKey;

/// A consumer to be.
#[derive(Clone, Debug)]
pub struct Consumer<C> {
    /// Its key.
    pub key: ConsumerKey,
    /// What the sink is handed with each delivery.
    pub handle: C,
    /// Messages count as settled when they are delivered.
    pub no_ack: bool,
    /// How many messages it may have unacked; 0 for any number.
    pub prefetch: u32,
    /// Higher ones are served first.
    pub priority: i64,
    /// No other consumer beside it.
    pub exclusive: bool,
}

/// Why a consumer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConsumeRefusal {
    /// An exclusive consumer is there, or the new one wants to be exclusive and is not the first.
    #[error("queue in exclusive use")]
    ExclusiveUse,
    /// The queue cannot tell more consumers apart.
    #[error("queue has too many consumers")]
    TooMany,
}

/// What a cancelled consumer leaves behind.
#[derive(Clone, Debug)]
pub struct Cancelled<C> {
    /// Its handle.
    pub handle: C,
    /// How many consumers remain.
    pub remaining: usize,
}

/// A consumer as it is.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerView<'a, C> {
    /// What the sink is handed with each delivery.
    pub handle: &'a C,
    /// How many messages it may have unacked; 0 for any number.
    pub prefetch: u32,
    /// No other consumer may be beside it.
    pub exclusive: bool,
    /// Whether it gets messages.
    pub activity: Activity,
}

#[derive(Debug)]
struct Member<C> {
    key: ConsumerKey,
    /// `None` once cancelled; the member stays until its last message is settled, because the
    /// messages' slots name it by its index.
    handle: Option<C>,
    no_ack: bool,
    /// The sink had no room.
    blocked: bool,
    /// Another one is active.
    stands_back: bool,
    linked: bool,
    prefetch: u32,
    outstanding: u32,
    rank: Rank,
    previous: u32,
    next: u32,
}

impl<C> Member<C> {
    const fn can_take(&self) -> bool {
        let has_credit = self.no_ack || self.prefetch == 0 || self.outstanding < self.prefetch;
        self.handle.is_some() && !self.blocked && !self.stands_back && has_credit
    }

    const fn priority(&self) -> i64 {
        self.rank.0.0
    }
}

/// The consumers of one priority that can take a message, as a circle.
#[derive(Clone, Copy, Debug)]
struct Ring {
    priority: i64,
    /// The next to be served.
    head: u32,
}

/// A queue's consumers.
#[derive(Debug)]
pub(super) struct Consumers<C> {
    members: Vec<Option<Member<C>>>,
    vacant: Vec<u32>,
    by_key: BTreeMap<ConsumerKey, u32>,
    /// No ring is empty; the highest priority is last.
    rings: Vec<Ring>,
    /// The one that there is, is exclusive.
    exclusive: bool,
    /// Only where one consumer at a time is active.
    succession: Option<Box<Succession>>,
}

/// The consumer that is to be served.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) index: u32,
    pub(super) key: ConsumerKey,
    pub(super) no_ack: bool,
}

impl<C> Consumers<C> {
    pub(super) fn new(sharing: Sharing) -> Self {
        Self {
            succession: match sharing {
                Sharing::Competing => None,
                Sharing::SingleActive(takeover) => Some(Box::new(Succession::new(takeover))),
            },
            members: Vec::new(),
            vacant: Vec::new(),
            by_key: BTreeMap::new(),
            rings: Vec::new(),
            exclusive: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Whether there are none, and none that left is still waited for.
    pub(super) fn is_like_new(&self) -> bool {
        self.members.iter().all(Option::is_none)
    }

    /// Whether a message could be handed out now.
    pub(super) fn any_can_take(&self) -> bool {
        !self.rings.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ConsumerView<'_, C>> {
        let members = self.members.iter().enumerate();
        members.filter_map(|(index, member)| {
            let member = member.as_ref()?;
            Some(ConsumerView {
                handle: member.handle.as_ref()?,
                prefetch: member.prefetch,
                exclusive: self.exclusive,
                activity: self.activity(index),
            })
        })
    }

    fn activity(&self, index: usize) -> Activity {
        match &self.succession {
            None => Activity::Up,
            Some(succession)
                if succession.active().map(|active| active as usize) == Some(index) =>
            {
                Activity::SingleActive
            }
            Some(_) => Activity::Waiting,
        }
    }

    pub(super) fn add(&mut self, consumer: Consumer<C>) -> Result<(), ConsumeRefusal> {
        // A key is never reused; should it be, the older consumer gives way.
        self.cancel(consumer.key);
        let shares = consumer.exclusive && !self.is_empty();
        if self.exclusive || shares {
            return Err(ConsumeRefusal::ExclusiveUse);
        }
        let index = match self.vacant.last() {
            Some(&index) => index,
            None => u32::try_from(self.members.len()).map_err(|_| ConsumeRefusal::TooMany)?,
        };
        if index >= Hold::CONSUMERS_MAX {
            return Err(ConsumeRefusal::TooMany);
        }
        self.exclusive = consumer.exclusive;
        let succession = self.succession.as_mut();
        let arrival = succession.map_or(0, |succession| succession.next_arrival());
        let rank = (Reverse(consumer.priority), arrival);
        let member = Member {
            key: consumer.key,
            handle: Some(consumer.handle),
            no_ack: consumer.no_ack,
            blocked: false,
            stands_back: self.succession.is_some(),
            linked: false,
            prefetch: consumer.prefetch,
            outstanding: 0,
            rank,
            previous: index,
            next: index,
        };
        self.by_key.insert(consumer.key, index);
        match self.vacant.pop() {
            Some(_) => self.members[index as usize] = Some(member),
            None => self.members.push(Some(member)),
        }
        match &mut self.succession {
            None => self.link_if_able(index),
            Some(succession) => {
                succession.join(rank, index);
                self.settle_succession();
            }
        }
        Ok(())
    }

    pub(super) fn cancel(&mut self, key: ConsumerKey) -> Option<Cancelled<C>> {
        let index = self.by_key.remove(&key)?;
        self.unlink(index);
        // An exclusive one is the only one.
        self.exclusive = false;
        let member = self.members.get_mut(index as usize)?.as_mut()?;
        let handle = member.handle.take()?;
        let rank = member.rank;
        self.forget_if_done(index);
        if let Some(succession) = &mut self.succession {
            succession.leave(rank);
            self.settle_succession();
        }
        Some(Cancelled {
            handle,
            remaining: self.by_key.len(),
        })
    }

    pub(super) fn set_prefetch(&mut self, key: ConsumerKey, prefetch: u32) {
        let Some(&index) = self.by_key.get(&key) else {
            return;
        };
        if let Some(member) = self.member_mut(index) {
            member.prefetch = prefetch;
        }
        self.link_if_able(index);
        self.unlink_if_unable(index);
    }

    pub(super) fn resume(&mut self, key: ConsumerKey) {
        let Some(&index) = self.by_key.get(&key) else {
            return;
        };
        if let Some(member) = self.member_mut(index) {
            member.blocked = false;
        }
        self.link_if_able(index);
    }

    /// Whose turn it is.
    pub(super) fn candidate(&self) -> Option<Candidate> {
        let index = self.rings.last()?.head;
        let member = self.members.get(index as usize)?.as_ref()?;
        Some(Candidate {
            index,
            key: member.key,
            no_ack: member.no_ack,
        })
    }

    pub(super) fn candidate_handle(&self) -> Option<(u32, &C)> {
        let index = self.rings.last()?.head;
        let member = self.members.get(index as usize)?.as_ref()?;
        Some((index, member.handle.as_ref()?))
    }

    /// The candidate took a message: the turn passes on.
    pub(super) fn took(&mut self, index: u32) {
        let Some(member) = self.member_mut(index) else {
            return;
        };
        let next = member.next;
        if !member.no_ack {
            member.outstanding += 1;
        }
        if let Some(ring) = self.rings.last_mut() {
            ring.head = next;
        }
        self.unlink_if_unable(index);
    }

    /// The candidate's sink had no room.
    pub(super) fn block(&mut self, index: u32) {
        if let Some(member) = self.member_mut(index) {
            member.blocked = true;
        }
        self.unlink(index);
    }

    /// One of the consumer's messages was settled.
    pub(super) fn give_back(&mut self, index: u32) {
        let Some(member) = self.member_mut(index) else {
            return;
        };
        member.outstanding = member.outstanding.saturating_sub(1);
        if member.handle.is_none() {
            self.forget_if_done(index);
        } else if !member.linked {
            self.link_if_able(index);
            self.settle_succession();
        }
    }

    /// Sees to it that the right consumer is active.
    fn settle_succession(&mut self) {
        let Some(succession) = &self.succession else {
            return;
        };
        let active = succession.active();
        let member = active.and_then(|index| self.members.get(index as usize)?.as_ref());
        let step = succession.step(member.is_some_and(|member| member.outstanding > 0));
        if step != Step::Stay
            && let Some(index) = active
        {
            self.stand_back(index);
        }
        if step == Step::Succeed
            && let Some(succession) = &mut self.succession
        {
            succession.succeed();
        }
        if step != Step::Fade
            && let Some(index) = self
                .succession
                .as_ref()
                .and_then(|succession| succession.active())
        {
            self.step_forward(index);
        }
    }

    fn stand_back(&mut self, index: u32) {
        if let Some(member) = self.member_mut(index) {
            member.stands_back = true;
        }
        self.unlink(index);
    }

    fn step_forward(&mut self, index: u32) {
        if let Some(member) = self.member_mut(index) {
            member.stands_back = false;
        }
        self.link_if_able(index);
    }

    fn member_mut(&mut self, index: u32) -> Option<&mut Member<C>> {
        self.members.get_mut(index as usize)?.as_mut()
    }

    fn forget_if_done(&mut self, index: u32) {
        if let Some(place) = self.members.get_mut(index as usize)
            && place
                .as_ref()
                .is_some_and(|member| member.handle.is_none() && member.outstanding == 0)
        {
            *place = None;
            self.vacant.push(index);
        }
    }

    /// Puts the consumer at the end of its ring's turn.
    fn link_if_able(&mut self, index: u32) {
        let Some(member) = self.member_mut(index) else {
            return;
        };
        if member.linked || !member.can_take() {
            return;
        }
        member.linked = true;
        let priority = member.priority();
        match self
            .rings
            .binary_search_by_key(&priority, |ring| ring.priority)
        {
            Ok(ring) => {
                let head = self.rings[ring].head;
                let last = self.member_mut(head).map_or(head, |member| member.previous);
                self.join(last, index);
                self.join(index, head);
            }
            Err(ring) => {
                self.join(index, index);
                let head = index;
                self.rings.insert(ring, Ring { priority, head });
            }
        }
    }

    fn unlink_if_unable(&mut self, index: u32) {
        if self
            .member_mut(index)
            .is_some_and(|member| !member.can_take())
        {
            self.unlink(index);
        }
    }

    fn unlink(&mut self, index: u32) {
        let Some(member) = self.member_mut(index) else {
            return;
        };
        if !member.linked {
            return;
        }
        member.linked = false;
        let (previous, next, priority) = (member.previous, member.next, member.priority());
        let Ok(ring) = self
            .rings
            .binary_search_by_key(&priority, |ring| ring.priority)
        else {
            return;
        };
        if next == index {
            self.rings.remove(ring);
            return;
        }
        if self.rings[ring].head == index {
            self.rings[ring].head = next;
        }
        self.join(previous, next);
    }

    fn join(&mut self, first: u32, second: u32) {
        if let Some(member) = self.member_mut(first) {
            member.next = second;
        }
        if let Some(member) = self.member_mut(second) {
            member.previous = first;
        }
    }
}

#[cfg(test)]
impl<C> Consumers<C> {
    /// How many consumers there is memory for.
    pub(super) fn capacity(&self) -> usize {
        self.members.len()
    }
}
