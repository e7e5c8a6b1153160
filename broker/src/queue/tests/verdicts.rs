//! What must hold in the world at any time.

use std::collections::BTreeSet;

use super::disk::{Disk, Record};
use super::world::World;
use crate::model::Seq;

impl World {
    /// Compares what can be compared at any time.
    pub(super) fn check(&self) {
        self.queue.assert_consistent();
        let counts = self.queue.counts();
        let bytes = |id: u32| 4 + u64::from(id % 5);
        let ready = self.reference.ready.values();
        let unacked = self.reference.unacked.values();
        assert_eq!(counts.ready, self.reference.ready.len() as u64);
        // A dead message whose body is still to be read counts as unacked.
        let graves = self.graves.values().filter(|(entry, _)| !entry.recorded);
        assert_eq!(graves.count(), 0, "what is not on disk waits for nothing");
        let unacked_count = self.reference.unacked.len() + self.graves.len();
        assert_eq!(counts.unacked, unacked_count as u64);
        assert_eq!(
            counts.ready_bytes,
            ready.map(|entry| bytes(entry.id)).sum::<u64>()
        );
        let unacked = unacked.map(|(entry, _)| entry);
        let unacked = unacked.chain(self.graves.values().map(|(entry, _)| entry));
        let unacked_bytes: u64 = unacked.map(|entry| bytes(entry.id)).sum();
        assert_eq!(counts.unacked_bytes, unacked_bytes);
        assert_eq!(counts.consumers, self.reference.members.len());
        if self.terms.deduplication.is_some() {
            let unacked = self.reference.unacked.values().map(|(entry, _)| entry);
            let graves = self.graves.values().map(|(entry, _)| entry);
            let held = self.reference.ready.values().chain(unacked).chain(graves);
            let held: BTreeSet<Seq> = held.map(|entry| entry.seq).collect();
            let known: BTreeSet<Seq> = self.queue.notes.key_places().into_iter().collect();
            assert_eq!(
                known, held,
                "the keys of what is in the queue, and no others"
            );
        }
    }

    /// Whether an answer is still to come that could let a message out.
    pub(super) fn waits_for_something(&self) -> bool {
        let lease = |record: &Record| matches!(record, Record::Lease(..));
        let lease_is_under_way = self.log[self.written..].iter().any(lease);
        let loads = !self.bodies.is_empty() || !self.blocks.is_empty();
        lease_is_under_way || loads || !self.burials.is_empty()
    }

    /// However much of the log survives, what was delivered and is still there is covered.
    pub(super) fn assert_a_crash_would_flag_what_was_delivered(&self) {
        let mut leases = Disk {
            leases: self.disk.leases.clone(),
            ..Disk::default()
        };
        let live = |seq: &&Seq| self.disk.live.contains_key(seq);
        let mut delivered: BTreeSet<Seq> = self.delivered.iter().filter(live).copied().collect();
        let check = |delivered: &BTreeSet<Seq>, leases: &Disk| {
            for seq in delivered {
                assert!(leases.covers(*seq), "{seq:?} would come back unflagged");
            }
        };
        check(&delivered, &leases);
        for record in &self.log[self.written..] {
            match record {
                Record::Enqueue(seq, ..) if self.delivered.contains(seq) => {
                    delivered.insert(*seq);
                }
                Record::Settle(range) => {
                    delivered.retain(|seq| *seq < range.first || *seq > range.last);
                    continue;
                }
                Record::Lease(..) => leases.apply(record),
                Record::Enqueue(..) | Record::Requeue(..) => continue,
            }
            check(&delivered, &leases);
        }
    }
}
