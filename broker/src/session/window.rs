//! The deliveries of one channel that wait for an acknowledgement, by delivery tag.
//!
//! Tags count up by one, so the window is a ring indexed by tag. One delivery that is never
//! acknowledged must not keep the ring growing for ever: stragglers move to a map of their own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::engine::{ConsumerLink, Queue};
use crate::model::Seq;

/// Below this length the ring is not worth tidying.
const RING_MIN: usize = 1024;

/// Who a delivery was for.
#[derive(Debug)]
pub(super) enum Receiver {
    /// A consumer.
    Consumer(Arc<ConsumerLink>),
    /// `basic.get` on this queue.
    Get(Arc<Queue>),
    /// A consumer that held it for too long: it is back in the queue, and settling it means nothing
    /// any more.
    Overdue(Arc<Queue>),
}

/// A delivery that is not settled.
#[derive(Debug)]
pub(super) struct Unacked {
    /// Who it was for.
    pub(super) receiver: Receiver,
    /// Its place in the queue.
    pub(super) seq: Seq,
    /// When it was sent, in monotonic milliseconds; 0 where that does not matter.
    pub(super) sent_ms: u64,
}

impl Unacked {
    /// The queue that it came from.
    pub(super) fn queue(&self) -> &Arc<Queue> {
        match &self.receiver {
            Receiver::Consumer(link) => &link.queue,
            Receiver::Get(queue) | Receiver::Overdue(queue) => queue,
        }
    }

    /// Whether it is back in its queue already.
    pub(super) const fn is_overdue(&self) -> bool {
        matches!(self.receiver, Receiver::Overdue(_))
    }
}

/// The unsettled deliveries of a channel.
#[derive(Debug)]
pub(super) struct Window {
    /// The tag of the ring's first entry.
    base: u64,
    ring: VecDeque<Option<Unacked>>,
    stragglers: BTreeMap<u64, Unacked>,
    count: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            base: 1,
            ring: VecDeque::new(),
            stragglers: BTreeMap::new(),
            count: 0,
        }
    }
}

impl Window {
    /// Gives the next delivery its tag. `None` for one that needs no acknowledgement: it takes a
    /// tag all the same.
    pub(super) fn push(&mut self, unacked: Option<Unacked>) -> u64 {
        let tag = self.base + self.ring.len() as u64;
        match unacked {
            // Tags of settled deliveries at the front need no room.
            None if self.ring.is_empty() => self.base += 1,
            None => self.ring.push_back(None),
            Some(unacked) => {
                self.count += 1;
                self.ring.push_back(Some(unacked));
            }
        }
        if self.ring.len() > RING_MIN && self.ring.len() > 2 * (self.count - self.stragglers.len())
        {
            self.tidy();
        }
        tag
    }

    /// Takes one delivery out.
    pub(super) fn take(&mut self, tag: u64) -> Option<Unacked> {
        let taken = match tag.checked_sub(self.base) {
            None => self.stragglers.remove(&tag)?,
            Some(index) => self.ring.get_mut(usize::try_from(index).ok()?)?.take()?,
        };
        self.count -= 1;
        self.trim();
        Some(taken)
    }

    /// Takes out every delivery up to `tag`, oldest first, if `tag` itself waits; 0 means all.
    /// `None`, and nothing changed, if it does not (spec 5.5.1).
    pub(super) fn take_up_to(&mut self, tag: u64) -> Option<Vec<(u64, Unacked)>> {
        if tag == 0 {
            return Some(self.take_all());
        }
        let index = match tag.checked_sub(self.base) {
            None => {
                self.stragglers.get(&tag)?;
                let later = self.stragglers.split_off(&(tag + 1));
                let taken = std::mem::replace(&mut self.stragglers, later);
                self.count -= taken.len();
                return Some(taken.into_iter().collect());
            }
            Some(index) => usize::try_from(index).ok()?,
        };
        self.ring.get(index)?.as_ref()?;
        let mut taken: Vec<_> = std::mem::take(&mut self.stragglers).into_iter().collect();
        taken.extend(tagged(self.base, self.ring.drain(..=index)));
        self.base += index as u64 + 1;
        self.count -= taken.len();
        self.trim();
        Some(taken)
    }

    /// Takes out everything, oldest first. Tags go on from where they are.
    pub(super) fn take_all(&mut self) -> Vec<(u64, Unacked)> {
        let mut taken: Vec<_> = std::mem::take(&mut self.stragglers).into_iter().collect();
        let ring = std::mem::take(&mut self.ring);
        let length = ring.len() as u64;
        taken.extend(tagged(self.base, ring));
        self.base += length;
        self.count = 0;
        taken
    }

    /// Marks what consumers hold for too long, and gives it; and says when the next delivery will
    /// be overdue. `least_ms` is the shortest time that a consumer of the channel has.
    pub(super) fn overdue(
        &mut self,
        now_ms: u64,
        least_ms: u64,
    ) -> (Vec<(Arc<ConsumerLink>, Seq)>, Option<u64>) {
        let (mut overdue, mut next) = (Vec::new(), None);
        let ring = self.ring.iter_mut().flatten();
        for unacked in self.stragglers.values_mut().chain(ring) {
            let Receiver::Consumer(link) = &unacked.receiver else {
                continue;
            };
            let Some(timeout_ms) = link.timeout.ms() else {
                continue;
            };
            // Tags ascend with time: what follows is not due before this.
            if next.is_some_and(|next| unacked.sent_ms.saturating_add(least_ms) >= next) {
                break;
            }
            let due_ms = unacked.sent_ms.saturating_add(timeout_ms);
            if due_ms > now_ms {
                next = Some(next.map_or(due_ms, |next: u64| next.min(due_ms)));
                continue;
            }
            let link = Arc::clone(link);
            unacked.receiver = Receiver::Overdue(Arc::clone(&link.queue));
            overdue.push((link, unacked.seq));
        }
        (overdue, next)
    }

    /// Puts a delivery back that was taken out, under the tag that it had.
    pub(super) fn restore(&mut self, tag: u64, unacked: Unacked) {
        self.count += 1;
        let index = tag
            .checked_sub(self.base)
            .and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| self.ring.get_mut(index)) {
            Some(entry) => *entry = Some(unacked),
            None => {
                self.stragglers.insert(tag, unacked);
            }
        }
    }

    fn trim(&mut self) {
        while let Some(None) = self.ring.front() {
            self.ring.pop_front();
            self.base += 1;
        }
    }

    /// Moves the old half of a sparse ring out of it.
    fn tidy(&mut self) {
        let old = self.ring.len() / 2;
        for (tag, entry) in (self.base..).zip(self.ring.drain(..old)) {
            if let Some(unacked) = entry {
                self.stragglers.insert(tag, unacked);
            }
        }
        self.base += old as u64;
        self.trim();
    }
}

/// The entries that are still there, with their tags.
fn tagged(
    base: u64,
    entries: impl IntoIterator<Item = Option<Unacked>>,
) -> impl Iterator<Item = (u64, Unacked)> {
    (base..)
        .zip(entries)
        .filter_map(|(tag, entry)| entry.map(|unacked| (tag, unacked)))
}
