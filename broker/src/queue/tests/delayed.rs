//! Random histories of messages that wait, against a sorted list.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::support::{id, message, stored};
use crate::model::{Seq, SeqRange};
use crate::queue::delayed::DelayedMessages;
use crate::queue::{BLOCK_PLACES, BlockEntry, LoadFailure, RecoveredLevel};

#[derive(Clone, Debug)]
enum Step {
    Add {
        count: u16,
        delay_ms: u64,
    },
    /// Time goes on, and what is due is taken.
    Wait(u64),
    Serve,
    Fail(LoadFailure),
    Release(usize),
    Checkpoint,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let delay_ms = prop_oneof![0..50_u64, 0..3_000_u64, 0..400_000_u64];
    prop_oneof![
        8 => (1..600_u16, delay_ms).prop_map(|(count, delay_ms)| Step::Add { count, delay_ms }),
        8 => prop_oneof![0..2_000_u64, 0..200_000_u64].prop_map(Step::Wait),
        8 => Just(Step::Serve),
        1 => Just(Step::Fail(LoadFailure::Unavailable)),
        2 => prop_oneof![Just(0_usize), 0..5_000_usize].prop_map(Step::Release),
        4 => Just(Step::Checkpoint),
        1 => Just(Step::Crash),
    ]
}

struct World {
    delayed: DelayedMessages,
    now_ms: u64,
    next: u32,
    /// What has to come out: time and place, with the message's number.
    waiting: BTreeMap<(u64, Seq), u32>,
    /// The index as of the last checkpoint, and up to which position it holds everything.
    index: BTreeMap<Seq, (u64, u32)>,
    indexed_to: u64,
    taken_since: Vec<Seq>,
    blocks: BTreeSet<u64>,
    bodies: Vec<Seq>,
}

fn entry(seq: Seq, due_ms: u64, number: u32) -> BlockEntry {
    BlockEntry {
        seq,
        location: stored(number),
        bytes: 4,
        deadline_ms: due_ms,
        redelivered: false,
    }
}

impl World {
    fn new() -> Self {
        Self {
            delayed: DelayedMessages::keeping(100),
            now_ms: 1_000_000,
            next: 0,
            waiting: BTreeMap::new(),
            index: BTreeMap::new(),
            indexed_to: 0,
            taken_since: Vec::new(),
            blocks: BTreeSet::new(),
            bodies: Vec::new(),
        }
    }

    fn add(&mut self, count: u16, delay_ms: u64) {
        for _ in 0..count {
            let message = message(self.next, true, 0);
            message.set_stored(stored(self.next));
            let due_ms = self.now_ms + delay_ms;
            let seq = self.delayed.add(message, due_ms);
            self.waiting.insert((due_ms, seq), self.next);
            self.next += 1;
        }
    }

    /// Takes what is due: exactly what the list says, in its order, as far as it comes.
    fn take(&mut self) {
        let wishes = self.delayed.wishes(self.now_ms);
        self.blocks.extend(wishes.blocks);
        self.bodies
            .extend(wishes.bodies.into_iter().map(|(seq, _)| seq));
        for due in self.delayed.take_due(self.now_ms, usize::MAX) {
            let ((due_ms, seq), number) = self.waiting.pop_first().expect("something waits");
            assert!(due_ms <= self.now_ms, "too early");
            assert_eq!((due.seq, id(&due.message)), (seq, number), "out of turn");
            self.taken_since.push(seq);
        }
    }

    fn serve(&mut self) {
        for block in std::mem::take(&mut self.blocks) {
            let first = Seq::new(0, block * BLOCK_PLACES);
            let last = Seq(first.0 + BLOCK_PLACES - 1);
            let entries: Vec<_> = self
                .index
                .range(first..=last)
                .map(|(seq, (due_ms, number))| entry(*seq, *due_ms, *number))
                .collect();
            self.delayed.block_loaded(block, &entries, self.now_ms);
        }
        let bodies = std::mem::take(&mut self.bodies);
        let numbers: BTreeMap<Seq, u32> = self
            .waiting
            .iter()
            .map(|((_, seq), number)| (*seq, *number))
            .collect();
        let loaded = bodies
            .into_iter()
            .map(|seq| (seq, Ok(message(numbers[&seq], true, 0))))
            .collect();
        assert!(self.delayed.bodies_loaded(loaded).is_empty());
    }

    fn fail(&mut self, failure: LoadFailure) {
        for block in std::mem::take(&mut self.blocks) {
            self.delayed.block_failed(block, failure);
        }
        let failed = std::mem::take(&mut self.bodies);
        let failed = failed.into_iter().map(|seq| (seq, Err(failure))).collect();
        self.delayed.bodies_loaded(failed);
    }

    fn checkpoint(&mut self) {
        self.index = self
            .waiting
            .iter()
            .map(|((due_ms, seq), number)| (*seq, (*due_ms, *number)))
            .collect();
        self.indexed_to = u64::from(self.next);
        self.taken_since.clear();
        self.delayed.page_out(self.indexed_to, self.now_ms);
    }

    /// Everything that was written comes back: blocks, what was settled since, what came since.
    fn crash(&mut self) {
        let blocks: BTreeSet<u64> = self
            .index
            .keys()
            .map(|seq| seq.position() / BLOCK_PLACES)
            .collect();
        let since = self
            .waiting
            .iter()
            .filter(|((_, seq), _)| seq.position() >= self.indexed_to);
        let found = RecoveredLevel {
            next_position: u64::from(self.next),
            lease: None,
            blocks: blocks.into_iter().map(|block| block..=block).collect(),
            settled_since: SeqRange::collect(self.taken_since.clone()),
            entries: since
                .map(|((due_ms, seq), number)| entry(*seq, *due_ms, *number))
                .collect(),
        };
        self.delayed = DelayedMessages::keeping(100).with_recovered(found);
        self.blocks.clear();
        self.bodies.clear();
    }

    /// In the end everything comes out.
    fn drain(&mut self) {
        self.now_ms += 10_000_000;
        for _ in 0..10_000 {
            if self.waiting.is_empty() {
                break;
            }
            self.take();
            self.serve();
        }
        assert!(
            self.waiting.is_empty(),
            "{} never come out",
            self.waiting.len()
        );
        assert_eq!(self.delayed.resident_bytes(), 0);
        assert_eq!(self.delayed.counts().0, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn messages_come_out_when_they_are_due_in_order_and_once(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new();
        for step in &steps {
            match *step {
                Step::Add { count, delay_ms } => world.add(count, delay_ms),
                Step::Wait(ms) => world.now_ms += ms,
                Step::Serve => world.serve(),
                Step::Fail(failure) => world.fail(failure),
                Step::Release(bytes) => world.delayed.release_bodies(bytes, world.now_ms),
                Step::Checkpoint => world.checkpoint(),
                Step::Crash => world.crash(),
            }
            world.take();
        }
        world.drain();
    }
}

#[test]
fn what_is_far_off_costs_a_block_its_place_in_a_map() {
    let mut world = World::new();
    world.add(600, 0);
    for _ in 0..100 {
        world.add(512, 1_000_000);
    }
    world.checkpoint();
    let (known, paged) = world.delayed.counts();
    assert!(
        known <= 600 + 2 * 512 && paged >= 98,
        "{known} known, {paged} paged"
    );
    world.drain();
}

#[test]
fn a_damaged_body_is_reported_and_the_next_message_comes() {
    let mut world = World::new();
    world.add(2, 10_000);
    world.delayed.release_bodies(0, world.now_ms);
    world.now_ms += 10_000;
    world.take();
    assert_eq!(world.bodies.len(), 2);
    let first = world.bodies.remove(0);
    let lost = world
        .delayed
        .bodies_loaded(vec![(first, Err(LoadFailure::Damaged))]);
    assert_eq!(lost, [first]);
    world.waiting.pop_first();
    world.drain();
}
