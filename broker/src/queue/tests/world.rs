//! The queue in a small world: a log that may be cut anywhere behind what was written, an index
//! as of a checkpoint, sinks of limited room, and a reference that knows what must come out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::reference::{Entry, Member, Reference};
use super::support::{at, id, message, stored};
use crate::model::{ConsumerKey, Message, Now, Seq, SeqRange, Settlement, Stored};
use crate::queue::{
    Admission, BlockEntry, Delivery, Effect, Get, LoadFailure, QueueState, Recovered,
    RecoveredLevel, Settings, Sink,
};

/// One line of the log.
#[derive(Clone)]
enum Record {
    Enqueue(Seq, Message),
    Settle(SeqRange),
    Requeue(SeqRange, u32),
    Lease(Seq),
}

/// What a prefix of the log amounts to.
#[derive(Clone, Default)]
struct Disk {
    live: BTreeMap<Seq, u32>,
    returns: HashMap<Seq, u32>,
    leases: BTreeMap<u8, Seq>,
    next: BTreeMap<u8, u64>,
}

impl Disk {
    fn apply(&mut self, record: &Record) {
        let highest = match record {
            Record::Enqueue(seq, message) => {
                self.live.insert(*seq, id(message));
                *seq
            }
            Record::Settle(range) => {
                self.live
                    .retain(|seq, _| *seq < range.first || *seq > range.last);
                range.last
            }
            Record::Requeue(range, count) => {
                for seq in range.first.0..=range.last.0 {
                    self.returns.insert(Seq(seq), *count);
                }
                range.last
            }
            Record::Lease(up_to) => {
                self.leases.insert(up_to.level(), *up_to);
                return;
            }
        };
        let next = self.next.entry(highest.level()).or_insert(0);
        *next = (*next).max(highest.position() + 1);
    }

    fn covers(&self, seq: Seq) -> bool {
        self.leases
            .get(&seq.level())
            .is_some_and(|lease| seq <= *lease)
    }
}

pub(super) struct World {
    pub(super) settings: Settings,
    block_bits: u32,
    pub(super) queue: QueueState<ConsumerKey>,
    pub(super) reference: Reference,
    log: Vec<Record>,
    written: usize,
    checkpoint: usize,
    /// The log up to `written`, and up to `checkpoint`.
    disk: Disk,
    index: Disk,
    /// Recorded messages that went out.
    delivered: BTreeSet<Seq>,
    must_settle: BTreeSet<Seq>,
    bodies: Vec<(Seq, Stored)>,
    blocks: Vec<Seq>,
    next_id: u32,
    next_key: u64,
    stopping: bool,
    pub(super) now: Now,
}

struct Checker<'a> {
    reference: &'a mut Reference,
    delivered: &'a mut BTreeSet<Seq>,
    must_settle: &'a mut BTreeSet<Seq>,
}

impl Checker<'_> {
    /// The delivery must be exactly what the reference says comes next.
    fn accept(&mut self, key: Option<ConsumerKey>, no_ack: bool, delivery: &Delivery) {
        let expected = self
            .reference
            .deliver(key, no_ack)
            .expect("nothing is ready");
        let actual = Entry {
            seq: delivery.seq,
            id: id(&delivery.message),
            recorded: expected.recorded,
            redelivered: delivery.redelivered,
            returns: expected.returns,
        };
        assert_eq!(actual, expected, "the wrong message, or the wrong flag");
        if expected.recorded {
            self.delivered.insert(expected.seq);
            if no_ack {
                self.must_settle.insert(expected.seq);
            }
        }
    }
}

impl Sink<ConsumerKey> for Checker<'_> {
    fn offer(&mut self, consumer: &ConsumerKey, delivery: Delivery) -> Result<(), Delivery> {
        assert_eq!(self.reference.candidate(), Some(*consumer), "whose turn");
        let member = self.reference.member(*consumer).expect("it is there");
        if member.room == 0 {
            member.blocked = true;
            self.reference.review(*consumer);
            return Err(delivery);
        }
        let no_ack = member.no_ack;
        self.accept(Some(*consumer), no_ack, &delivery);
        Ok(())
    }
}

impl World {
    pub(super) fn new(settings: Settings, block_bits: u32) -> Self {
        Self {
            settings,
            block_bits,
            queue: QueueState::with_block_bits(settings, block_bits),
            reference: Reference::default(),
            log: Vec::new(),
            written: 0,
            checkpoint: 0,
            disk: Disk::default(),
            index: Disk::default(),
            delivered: BTreeSet::new(),
            must_settle: BTreeSet::new(),
            bodies: Vec::new(),
            blocks: Vec::new(),
            next_id: 0,
            next_key: 0,
            stopping: false,
            now: at(1_000),
        }
    }

    pub(super) fn publish(&mut self, persistent: bool, priority: u8) {
        let number = self.next_id;
        self.next_id += 1;
        let message = message(number, persistent, priority);
        let mut effects = Vec::new();
        let Admission::Accepted { seq, record } =
            self.queue.enqueue(self.now, message.clone(), &mut effects);
        if self.reference.members.is_empty() {
            assert!(effects.is_empty(), "a lease for a queue without consumers");
        }
        self.carry_out(effects);
        assert_eq!(record, self.settings.recorded && persistent);
        if record {
            self.log.push(Record::Enqueue(seq, message));
        }
        let level = u16::from(priority).min(self.settings.levels - 1);
        assert_eq!(u16::from(seq.level()), level);
        self.reference.enqueue(Entry {
            seq,
            id: number,
            recorded: record,
            redelivered: false,
            returns: 0,
        });
    }

    pub(super) fn consume(&mut self, mut member: Member) {
        member.key = ConsumerKey(self.next_key);
        self.next_key += 1;
        self.queue
            .consume(crate::queue::Consumer {
                key: member.key,
                handle: member.key,
                no_ack: member.no_ack,
                prefetch: member.prefetch,
                priority: member.priority,
                exclusive: false,
            })
            .expect("nothing is exclusive");
        self.reference.consume(member);
    }

    /// The key of the consumer with this number, counted modulo how many there are.
    pub(super) fn pick(&self, number: usize) -> Option<ConsumerKey> {
        let members = &self.reference.members;
        members
            .get(number.checked_rem(members.len())?)
            .map(|member| member.key)
    }

    pub(super) fn cancel(&mut self, key: ConsumerKey) {
        self.reference.cancel(key);
        let cancelled = self.queue.cancel(key).expect("it is there");
        assert_eq!(cancelled.remaining, self.reference.members.len());
    }

    pub(super) fn resume(&mut self, key: ConsumerKey, room: u32) {
        if let Some(member) = self.reference.member(key) {
            member.room = room;
            member.blocked = false;
        }
        self.reference.review(key);
        self.queue.resume(key);
    }

    pub(super) fn set_prefetch(&mut self, key: ConsumerKey, prefetch: u32) {
        if let Some(member) = self.reference.member(key) {
            member.prefetch = prefetch;
        }
        self.reference.review(key);
        self.queue.set_prefetch(key, prefetch);
    }

    pub(super) fn dispatch(&mut self) {
        let mut effects = Vec::new();
        let mut checker = Checker {
            reference: &mut self.reference,
            delivered: &mut self.delivered,
            must_settle: &mut self.must_settle,
        };
        self.queue.dispatch(self.now, &mut checker, &mut effects);
        self.carry_out(effects);
        let could_deliver = self.reference.candidate().is_some() && self.reference.head().is_some();
        if could_deliver && !self.stopping {
            assert!(self.waits_for_something(), "stuck");
        }
        self.assert_a_crash_would_flag_what_was_delivered();
    }

    /// A clean stop that may be interrupted: see [`Self::crash`].
    pub(super) fn stop(&mut self, written: u8, kept: u8, checkpoint: u8) {
        self.stopping = true;
        let mut effects = Vec::new();
        self.queue.tighten(&mut effects);
        self.carry_out(effects);
        self.assert_a_crash_would_flag_what_was_delivered();
        self.dispatch();
        self.write(written);
        self.dispatch();
        self.crash(kept, checkpoint);
        self.stopping = false;
    }

    pub(super) fn get(&mut self, no_ack: bool) {
        let mut effects = Vec::new();
        match self.queue.get(self.now, no_ack, &mut effects) {
            Get::Empty => assert!(self.reference.ready.is_empty(), "something is ready"),
            Get::Loading => {
                self.carry_out(std::mem::take(&mut effects));
                assert!(self.waits_for_something(), "get is stuck");
            }
            Get::Message {
                delivery,
                ready_left,
            } => {
                Checker {
                    reference: &mut self.reference,
                    delivered: &mut self.delivered,
                    must_settle: &mut self.must_settle,
                }
                .accept(None, no_ack, &delivery);
                assert_eq!(ready_left, self.reference.ready.len() as u64);
            }
        }
        self.carry_out(effects);
        self.assert_a_crash_would_flag_what_was_delivered();
    }

    pub(super) fn settle(&mut self, seqs: &[Seq], settlement: Settlement) {
        let requeue = settlement == Settlement::Requeue;
        let mut counted = BTreeMap::new();
        for seq in seqs {
            let Some(entry) = self.reference.settle(*seq, requeue) else {
                continue;
            };
            if entry.recorded && !requeue {
                self.must_settle.insert(*seq);
            }
            if entry.recorded && requeue && self.settings.counts_deliveries {
                counted.insert(*seq, entry.returns);
            }
        }
        let mut effects = Vec::new();
        self.queue.settle(self.now, seqs, settlement, &mut effects);
        let mut recorded = BTreeMap::new();
        for effect in &effects {
            if let Effect::Requeued {
                ranges,
                delivery_count,
            } = effect
            {
                let seqs = ranges.iter().flat_map(|range| range.first.0..=range.last.0);
                recorded.extend(seqs.map(|seq| (Seq(seq), *delivery_count)));
            }
        }
        assert_eq!(recorded, counted, "what came back, and how often");
        self.carry_out(effects);
    }

    pub(super) fn purge(&mut self) {
        let ready = std::mem::take(&mut self.reference.ready);
        let recorded = ready.values().filter(|entry| entry.recorded);
        self.must_settle.extend(recorded.map(|entry| entry.seq));
        let mut effects = Vec::new();
        assert_eq!(self.queue.purge(&mut effects), ready.len() as u64);
        self.carry_out(effects);
    }

    /// Writes a part of what waits, in 256ths.
    pub(super) fn write(&mut self, part: u8) {
        let waiting = self.log.len() - self.written;
        let end = self.written + (waiting * usize::from(part)).div_ceil(255);
        for index in self.written..end {
            self.disk.apply(&self.log[index]);
            match &self.log[index] {
                Record::Enqueue(_, message) => message.set_stored(stored(id(message))),
                Record::Lease(up_to) => self.queue.lease_written(up_to.level(), *up_to),
                Record::Settle(_) | Record::Requeue(..) => {}
            }
        }
        self.written = end;
    }

    /// Answers some of the bodies that were asked for; `failure` strikes the first of them.
    pub(super) fn serve_bodies(&mut self, count: usize, failure: Option<LoadFailure>) {
        let count = count.min(self.bodies.len());
        let mut loaded = Vec::new();
        let mut failure = failure;
        for (seq, place) in self.bodies.drain(..count) {
            let number = place.location.offset;
            assert_eq!(place, stored(number));
            let outcome = match failure.take() {
                Some(LoadFailure::Damaged) => {
                    self.reference.ready.retain(|_, entry| entry.seq != seq);
                    // The place was recorded as lost.
                    self.log.push(Record::Settle(SeqRange::one(seq)));
                    Err(LoadFailure::Damaged)
                }
                Some(LoadFailure::Unavailable) => Err(LoadFailure::Unavailable),
                None => Ok(message(number, true, seq.level())),
            };
            loaded.push((seq, outcome));
        }
        let mut effects = Vec::new();
        self.queue.bodies_loaded(loaded, &mut effects);
        effects.retain(|effect| !matches!(effect, Effect::Damaged { .. }));
        assert!(effects.is_empty());
    }

    pub(super) fn serve_blocks(&mut self, available: bool) {
        for first in std::mem::take(&mut self.blocks) {
            let mut effects = Vec::new();
            if available {
                let last = first.0 + (1 << self.block_bits) - 1;
                let entries: Vec<BlockEntry> = self
                    .index
                    .live
                    .range(first..=Seq(last))
                    .map(|(seq, number)| block_entry(*seq, *number))
                    .collect();
                self.queue
                    .block_loaded(first.level(), first, &entries, &mut effects);
            } else {
                let failure = LoadFailure::Unavailable;
                self.queue
                    .block_failed(first.level(), first, failure, &mut effects);
            }
            assert!(effects.is_empty(), "nothing was damaged");
        }
    }

    pub(super) fn release(&mut self, bytes: usize) {
        let before = self.queue.counts().resident_bytes;
        let freed = self.queue.release_bodies(bytes);
        assert_eq!(self.queue.counts().resident_bytes, before - freed);
    }

    /// Takes a checkpoint of a part of what was written, in 256ths, and gives up what it has.
    pub(super) fn page_out(&mut self, keep_blocks: usize, part: u8) {
        let newer = self.written - self.checkpoint;
        self.advance_checkpoint(self.checkpoint + newer * usize::from(part) / 255);
        let bits = self.block_bits;
        for level in 0..=u8::try_from(self.settings.levels - 1).expect("few levels") {
            let unwritten: BTreeSet<u64> = self.log[self.checkpoint..]
                .iter()
                .filter_map(|record| match record {
                    Record::Enqueue(seq, _) if seq.level() == level => Some(seq.position() >> bits),
                    _ => None,
                })
                .collect();
            let covered = |block: u64| !unwritten.contains(&block);
            self.queue.page_out(level, keep_blocks, &covered);
        }
    }

    pub(super) fn tick(&mut self, milliseconds: u64) {
        self.now.monotonic_ms += milliseconds;
        let mut effects = Vec::new();
        if let Some(deadline) = self.queue.tick(self.now, &mut effects) {
            assert!(deadline > self.now.monotonic_ms, "a timer that never ends");
        }
        self.carry_out(effects);
        self.assert_a_crash_would_flag_what_was_delivered();
    }

    /// Loses a part of what was not written, and recovers with an index as of any earlier time
    /// that is not before the last checkpoint; both in 256ths.
    pub(super) fn crash(&mut self, kept: u8, checkpoint: u8) {
        self.write_silently(kept);
        self.log.truncate(self.written);
        let newer = self.written - self.checkpoint;
        self.advance_checkpoint(self.checkpoint + newer * usize::from(checkpoint) / 255);
        let recovered = self.recovered();
        self.queue =
            QueueState::with_block_bits(self.settings, self.block_bits).with_recovered(recovered);
        self.bodies.clear();
        self.blocks.clear();
        self.reference = Reference::default();
        let disk = &self.disk;
        self.delivered.retain(|seq| disk.live.contains_key(seq));
        for (&seq, &number) in &disk.live {
            let redelivered = disk.covers(seq);
            assert!(redelivered || !self.delivered.contains(&seq));
            let returns = disk.returns.get(&seq).copied().unwrap_or(0);
            self.reference.enqueue(Entry {
                seq,
                id: number,
                recorded: true,
                redelivered,
                returns,
            });
        }
    }

    /// Everything that is ready comes out, once nothing stands in the way.
    pub(super) fn drain(&mut self) {
        self.consume(Member {
            key: ConsumerKey(0),
            priority: 0,
            prefetch: 0,
            no_ack: false,
            blocked: false,
            outstanding: 0,
            room: u32::MAX,
        });
        for _ in 0..10_000 {
            if self.reference.ready.is_empty() {
                break;
            }
            self.dispatch();
            self.write(255);
            self.serve_blocks(true);
            self.serve_bodies(usize::MAX, None);
        }
        assert!(self.reference.ready.is_empty(), "something never comes out");
        let seqs: Vec<Seq> = self.reference.unacked.keys().copied().collect();
        self.settle(&seqs, Settlement::Acknowledge);
        self.check();
        let counts = self.queue.counts();
        let left = (
            counts.ready,
            counts.ready_bytes,
            counts.unacked,
            counts.unacked_bytes,
        );
        assert_eq!((left, counts.resident_bytes), ((0, 0, 0, 0), 0));
    }

    /// Compares what can be compared at any time.
    pub(super) fn check(&self) {
        self.queue.assert_consistent();
        let counts = self.queue.counts();
        let bytes = |id: u32| 4 + u64::from(id % 5);
        let ready = self.reference.ready.values();
        let unacked = self.reference.unacked.values();
        assert_eq!(counts.ready, self.reference.ready.len() as u64);
        assert_eq!(counts.unacked, self.reference.unacked.len() as u64);
        assert_eq!(
            counts.ready_bytes,
            ready.map(|entry| bytes(entry.id)).sum::<u64>()
        );
        let unacked_bytes: u64 = unacked.map(|(entry, _)| bytes(entry.id)).sum();
        assert_eq!(counts.unacked_bytes, unacked_bytes);
        assert_eq!(counts.consumers, self.reference.members.len());
    }

    fn waits_for_something(&self) -> bool {
        let lease = |record: &Record| matches!(record, Record::Lease(_));
        let lease_is_under_way = self.log[self.written..].iter().any(lease);
        lease_is_under_way || !self.bodies.is_empty() || !self.blocks.is_empty()
    }

    /// Does what the queue wants, and compares what it settles with what it had to.
    fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut settled = BTreeSet::new();
        for effect in effects {
            match effect {
                Effect::Settled(ranges) => {
                    for range in ranges {
                        settled.extend((range.first.0..=range.last.0).map(Seq));
                        self.log.push(Record::Settle(range));
                    }
                }
                Effect::SettledBlocks(range) => {
                    let in_it = self.must_settle.range(range.first..=range.last);
                    settled.extend(in_it.copied());
                    let unacked = self.reference.unacked.range(range.first..=range.last);
                    assert_eq!(unacked.count(), 0, "an unread block has nothing unacked");
                    self.log.push(Record::Settle(range));
                }
                Effect::Requeued {
                    ranges,
                    delivery_count,
                } => {
                    let records = ranges
                        .into_iter()
                        .map(|range| Record::Requeue(range, delivery_count));
                    self.log.extend(records);
                }
                Effect::ExtendLease { up_to } => self.log.push(Record::Lease(up_to)),
                Effect::LoadBlock { level, first } => {
                    assert_eq!(level, first.level());
                    assert!(!self.blocks.contains(&first), "asked for twice");
                    self.blocks.push(first);
                }
                Effect::LoadBodies(wanted) => {
                    for (seq, stored) in wanted {
                        let twice = self.bodies.iter().any(|(other, _)| *other == seq);
                        assert!(!twice, "asked for twice");
                        self.bodies.push((seq, stored));
                    }
                }
                Effect::Damaged { .. } | Effect::Missing { .. } => {
                    panic!("nothing was damaged")
                }
            }
        }
        assert_eq!(settled, std::mem::take(&mut self.must_settle), "settled");
    }

    /// However much of the log survives, what was delivered and is still there is covered.
    fn assert_a_crash_would_flag_what_was_delivered(&self) {
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
                Record::Enqueue(seq, _) if self.delivered.contains(seq) => {
                    delivered.insert(*seq);
                }
                Record::Settle(range) => {
                    delivered.retain(|seq| *seq < range.first || *seq > range.last);
                    continue;
                }
                Record::Lease(_) => leases.apply(record),
                Record::Enqueue(..) | Record::Requeue(..) => continue,
            }
            check(&delivered, &leases);
        }
    }

    /// Writes without anybody learning of it.
    fn write_silently(&mut self, part: u8) {
        let waiting = self.log.len() - self.written;
        let end = self.written + waiting * usize::from(part) / 255;
        for record in &self.log[self.written..end] {
            self.disk.apply(record);
        }
        self.written = end;
    }

    fn advance_checkpoint(&mut self, to: usize) {
        for record in &self.log[self.checkpoint..to] {
            self.index.apply(record);
        }
        self.checkpoint = to;
    }

    fn recovered(&self) -> Recovered {
        let mut recovered = Recovered {
            ready_count: self.disk.live.len() as u64,
            ready_bytes: self
                .disk
                .live
                .values()
                .map(|id| 4 + u64::from(id % 5))
                .sum(),
            ..Recovered::default()
        };
        for (seq, count) in &self.disk.returns {
            if self.disk.live.contains_key(seq) {
                recovered.delivery_counts.push((*seq, *count));
            }
        }
        for level in 0..=u8::try_from(self.settings.levels - 1).expect("few levels") {
            recovered.levels.push(self.recovered_level(level));
        }
        recovered
    }

    fn recovered_level(&self, level: u8) -> RecoveredLevel {
        let of_level = |seq: &Seq| seq.level() == level;
        let mut found = RecoveredLevel {
            next_position: self.disk.next.get(&level).copied().unwrap_or(0),
            lease: self.disk.leases.get(&level).copied(),
            ..RecoveredLevel::default()
        };
        for seq in self.index.live.keys().filter(|seq| of_level(seq)) {
            let block = seq.position() >> self.block_bits;
            match found.blocks.last_mut() {
                Some(range) if *range.end() == block => {}
                Some(range) if *range.end() + 1 == block => *range = *range.start()..=block,
                Some(_) | None => found.blocks.push(block..=block),
            }
        }
        for record in &self.log[self.checkpoint..self.written] {
            match record {
                Record::Enqueue(seq, message) if of_level(seq) => {
                    found.entries.push(block_entry(*seq, id(message)));
                }
                Record::Settle(range) if of_level(&range.first) => {
                    found.settled_since.push(*range);
                }
                Record::Enqueue(..)
                | Record::Settle(_)
                | Record::Requeue(..)
                | Record::Lease(_) => {}
            }
        }
        found
    }
}

fn block_entry(seq: Seq, id: u32) -> BlockEntry {
    BlockEntry {
        seq,
        location: stored(id),
        bytes: 4 + id % 5,
        deadline_ms: 0,
        redelivered: false,
    }
}
