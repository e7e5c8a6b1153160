//! Tests of merging: random histories against a plain map.

use std::collections::BTreeMap;
use std::sync::Arc;

use leveret_log::{Location, Lsn};
use proptest::prelude::*;

use super::*;
use crate::model::{Seq, SeqRange, Stored};
use crate::store::record::Target;
use crate::store::state::tests::MapStore;

/// A step of a history.
#[derive(Clone, Debug)]
enum Step {
    Enqueue(u32, u8),
    Settle(u32, u8, u64, u64),
    Move(u32, u8, u64),
    Requeue(u32, u8, u64),
    Remove(u32),
    Merge,
    /// A checkpoint is cut off after so many batches; the delta is merged again after a reload.
    Interrupted(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let place = (0_u32..3, 0_u8..2, 0_u64..1400);
    prop_oneof![
        30 => (0_u32..3, 0_u8..2).prop_map(|(queue, level)| Step::Enqueue(queue, level)),
        10 => (place.clone(), 0_u64..300)
            .prop_map(|((queue, level, first), more)| Step::Settle(queue, level, first, more)),
        4 => place.clone().prop_map(|(queue, level, at)| Step::Move(queue, level, at)),
        4 => place.prop_map(|(queue, level, at)| Step::Requeue(queue, level, at)),
        1 => (0_u32..3).prop_map(Step::Remove),
        4 => Just(Step::Merge),
        2 => (1_usize..4).prop_map(Step::Interrupted),
    ]
}

/// An engine that takes so many batches and then no more.
#[derive(Debug)]
struct Failing(Arc<MapStore>, parking_lot::Mutex<usize>);

impl crate::store::state::StateStore for Failing {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.0.get(key)
    }
    fn scan(
        &self,
        prefix: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        self.0.scan(prefix, each)
    }
    fn apply(&self, changes: &[Change]) -> Result<(), StateError> {
        let mut left = self.1.lock();
        *left = left
            .checked_sub(1)
            .ok_or_else(|| StateError::Failed("cut off".into()))?;
        self.0.apply(changes)
    }
    fn sync(&self) -> Result<(), StateError> {
        Ok(())
    }
    fn bytes_on_disk(&self) -> u64 {
        0
    }
}

#[derive(Default)]
struct History {
    engine: Arc<MapStore>,
    catalog: Catalog,
    delta: Delta,
    next: BTreeMap<(u32, u8), u64>,
    live: BTreeMap<(u32, u8, u64), (Stored, SegmentId)>,
    counts: BTreeMap<(u32, u8, u64), u32>,
    clock: u32,
}

impl History {
    fn state(&self) -> State {
        State(self.engine.clone())
    }

    fn stored(&mut self) -> (Stored, SegmentId) {
        self.clock += 1;
        let segment = SegmentId(self.clock / 90);
        let location = Location {
            segment,
            offset: self.clock,
            length: 50,
        };
        let home = if self.clock.is_multiple_of(7) {
            SegmentId(segment.0 + 1)
        } else {
            segment
        };
        let stored = Stored {
            lsn: Lsn(u64::from(self.clock)),
            location,
        };
        (stored, home)
    }

    fn put(&mut self, queue: u32, level: u8, position: u64) {
        let (stored, home) = self.stored();
        let target = Target {
            queue: QueueId(queue),
            seq: Seq::new(level, position),
            deadline_ms: 5,
        };
        self.delta.enqueue(target, stored, 40, home);
        self.live.insert((queue, level, position), (stored, home));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Enqueue(queue, level) => {
                for _ in 0..40 {
                    let next = self.next.entry((queue, level)).or_default();
                    *next += 1;
                    let position = *next - 1;
                    self.put(queue, level, position);
                }
            }
            Step::Settle(queue, level, first, more) => {
                let next = self.next.get(&(queue, level)).copied().unwrap_or(0);
                if first >= next {
                    return;
                }
                let last = (first + more).min(next - 1);
                let range = SeqRange {
                    first: Seq::new(level, first),
                    last: Seq::new(level, last),
                };
                self.delta.settle(QueueId(queue), &[range]);
                for position in first..=last {
                    self.live.remove(&(queue, level, position));
                    self.counts.remove(&(queue, level, position));
                }
            }
            Step::Move(queue, level, at) => {
                if self.live.contains_key(&(queue, level, at)) {
                    self.put(queue, level, at);
                }
            }
            Step::Requeue(queue, level, at) => {
                if self.live.contains_key(&(queue, level, at)) {
                    let range = [SeqRange::one(Seq::new(level, at))];
                    self.delta.requeue(QueueId(queue), &range, 3);
                    self.counts.insert((queue, level, at), 3);
                }
            }
            Step::Remove(queue) => {
                self.delta.queues.remove(&QueueId(queue));
                self.delta.removed.push(QueueId(queue));
                self.live.retain(|(other, _, _), _| *other != queue);
                self.counts.retain(|(other, _, _), _| *other != queue);
                self.next.retain(|(other, _), _| *other != queue);
            }
            Step::Merge => self.merge(),
            Step::Interrupted(batches) => {
                let failing = Failing(self.engine.clone(), parking_lot::Mutex::new(batches));
                let _ = merge(&State(Arc::new(failing)), &mut self.catalog, &self.delta);
                self.reload();
            }
        }
    }

    fn merge(&mut self) {
        let delta = std::mem::take(&mut self.delta);
        merge(&self.state(), &mut self.catalog, &delta).expect("merges");
    }

    fn reload(&mut self) {
        let begun = (vec![key::BEGUN], Some(vec![1]));
        self.state().apply(&[begun]).expect("applies");
        let loaded = Catalog::load(&self.state()).expect("is usable");
        self.catalog = loaded.expect("it is not new");
    }

    fn check(&mut self) {
        self.merge();
        let in_memory = self.catalog.clone();
        self.reload();
        assert_eq!(self.catalog.queues, in_memory.queues);
        assert_eq!(self.catalog.segments, in_memory.segments);
        let mut found = BTreeMap::new();
        let mut pins: BTreeMap<SegmentId, (u64, u64, u64)> = BTreeMap::new();
        for (queue, held) in &self.catalog.queues {
            let (mut count, mut bytes) = (0, 0);
            for (level, held) in &held.levels {
                for number in held.blocks.iter().flat_map(|(first, last)| first..=last) {
                    let block = Block::read(&self.state(), *queue, *level, number);
                    let block = block.expect("reads").expect("exists");
                    for entry in block.live() {
                        let stored = entry.entry.stored;
                        let place = (queue.0, *level, entry.entry.seq.position());
                        found.insert(place, (stored, entry.home));
                        count += 1;
                        bytes += u64::from(entry.entry.bytes);
                        pins.entry(entry.home).or_default().0 += 1;
                        let body = pins.entry(stored.location.segment).or_default();
                        body.1 += u64::from(entry.home != stored.location.segment);
                        body.2 += 50;
                    }
                }
            }
            assert_eq!(
                (held.count, held.bytes),
                (count, bytes),
                "queue {}",
                queue.0
            );
        }
        assert_eq!(found, self.live);
        let held = self.catalog.segments.iter();
        let held: BTreeMap<_, _> = held
            .map(|(id, pins)| (*id, (pins.homes, pins.bodies, pins.bytes)))
            .collect();
        assert_eq!(held, pins);
        let counts = self
            .catalog
            .counts
            .iter()
            .flat_map(|((queue, level, _), counts)| {
                counts
                    .iter()
                    .map(|(at, count)| ((queue.0, *level, *at), *count))
            });
        assert_eq!(counts.collect::<BTreeMap<_, _>>(), self.counts);
        let keys = self
            .engine
            .0
            .lock()
            .keys()
            .filter(|key| key[0] == key::BLOCK)
            .count();
        let blocks: u64 = self.catalog.queues.values().map(|held| held.blocks).sum();
        assert_eq!(keys as u64, blocks, "blocks that nobody knows of");
    }
}

proptest! {
    #[test]
    fn the_index_holds_what_a_plain_map_holds(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut history = History::default();
        for step in steps {
            history.step(step);
        }
        history.check();
    }
}
