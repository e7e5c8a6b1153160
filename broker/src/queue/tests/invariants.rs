//! Recounts what the queue keeps count of.

use crate::queue::chunk::{Content, Places};
use crate::queue::level::Level;
use crate::queue::slot::Slot;
use crate::queue::state::QueueState;

impl<C> QueueState<C> {
    /// Panics if any counter or index disagrees with the places themselves.
    pub(super) fn assert_consistent(&self) {
        let mut total = Recount::default();
        for level in &self.levels {
            level.recount(&mut total);
        }
        assert_eq!(total.ready, self.tally.ready, "ready");
        assert_eq!(total.ready_bytes, self.tally.ready_bytes, "ready bytes");
        assert_eq!(total.unacked, self.tally.unacked, "unacked");
        assert_eq!(total.unacked_bytes, self.tally.unacked_bytes);
        assert_eq!(total.resident, self.tally.resident_bytes, "resident");
    }
}

#[derive(Default)]
struct Recount {
    ready: u64,
    ready_bytes: u64,
    unacked: u64,
    unacked_bytes: u64,
    resident: usize,
}

impl Level {
    fn recount(&self, total: &mut Recount) {
        let (mut stored, mut absent, mut unread) = (0, 0, 0);
        for (index, chunk) in self.chunks.iter().enumerate() {
            if let Some(next) = self.chunks.get(index + 1) {
                assert!(chunk.number < next.number, "blocks ascend");
            }
            let first = self.first_of(chunk.number);
            match &chunk.content {
                Content::Places(places) => {
                    let is_last = index + 1 == self.chunks.len();
                    assert!(places.live > 0 || is_last, "an empty chunk was kept");
                    assert_eq!(
                        !places.requeued.is_empty(),
                        self.requeued.contains(&chunk.number),
                        "the set of blocks with requeued places"
                    );
                    self.recount_places(first, places, total);
                    stored += u64::from(places.stored);
                }
                Content::Paged(paged) => {
                    absent += 1;
                    total.ready += u64::from(paged.ready.count());
                    total.ready_bytes += paged.bytes;
                    assert_eq!(
                        first < self.cursor,
                        self.requeued.contains(&chunk.number),
                        "a paged block before the cursor is a requeued one"
                    );
                }
                Content::Unread(_) => {
                    absent += 1;
                    unread += 1;
                }
            }
        }
        assert_eq!(stored, self.stored, "stored slots");
        assert_eq!((absent, unread), (self.absent, self.unread));
    }

    fn recount_places(&self, first: u64, places: &Places, total: &mut Recount) {
        let (mut live, mut unacked, mut stored) = (0, 0, 0);
        for (index, slot) in places.slots.iter().enumerate() {
            let offset = places.start + index as u16;
            let position = first + u64::from(offset);
            let Some(hold) = slot.hold() else {
                assert!(!places.requeued.contains(offset));
                continue;
            };
            live += 1;
            total.resident += slot.memory_bytes();
            stored += u16::from(matches!(slot, Slot::Stored { .. }));
            let requeued = hold.is_ready() && position < self.cursor;
            assert_eq!(places.requeued.contains(offset), requeued, "{position}");
            if hold.is_ready() {
                total.ready += 1;
                total.ready_bytes += places.bytes(index);
            } else {
                unacked += 1;
                total.unacked += 1;
                total.unacked_bytes += places.bytes(index);
                assert!(position < self.cursor, "an unacked place was delivered");
            }
        }
        assert_eq!(
            (live, unacked, stored),
            (places.live, places.unacked, places.stored)
        );
    }
}
