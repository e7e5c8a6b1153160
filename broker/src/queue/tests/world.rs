//! The queue in a small world: a log that may be cut anywhere behind what was written, an index
//! as of a checkpoint, sinks of limited room, and a reference that knows what must come out.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::checker::Checker;
use super::disk::{Disk, Record, Recovery, block_entry};
use super::reference::{Entry, Member, Reference};
use super::support::{at, id, message, stored};
use crate::model::{ConsumerKey, DeathReason, Now, QueueTerms, Seq, SeqRange, Settlement, Stored};
use crate::queue::{
    Admission, BlockEntry, DeadLetters, Effect, Get, LoadFailure, QueueState, Recording, Settings,
};

pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) terms: QueueTerms,
    pub(super) block_bits: u32,
    pub(super) queue: QueueState<ConsumerKey>,
    pub(super) reference: Reference,
    pub(super) log: Vec<Record>,
    pub(super) written: usize,
    pub(super) checkpoint: usize,
    /// The log up to `written`, and up to `checkpoint`.
    pub(super) disk: Disk,
    pub(super) index: Disk,
    /// Recorded messages that went out.
    pub(super) delivered: BTreeSet<Seq>,
    pub(super) must_settle: BTreeSet<Seq>,
    pub(super) bodies: Vec<(Seq, Stored)>,
    pub(super) blocks: Vec<Seq>,
    /// Where each message is or was, by its number.
    pub(super) places: HashMap<u32, Seq>,
    /// Messages that the queue let die and has not accounted for.
    pub(super) died: Vec<(Entry, DeathReason)>,
    /// Messages that consumers gave up and that did not come out as letters yet.
    pub(super) graves: HashMap<u32, (Entry, DeathReason)>,
    pub(super) burials: VecDeque<DeadLetters>,
    pub(super) next_id: u32,
    pub(super) next_key: u64,
    pub(super) stopping: bool,
    pub(super) now: Now,
}

impl World {
    pub(super) fn new(settings: Settings, terms: QueueTerms, block_bits: u32) -> Self {
        Self {
            settings,
            terms: terms.clone(),
            block_bits,
            queue: QueueState::with_block_bits(settings, block_bits).on_terms(terms),
            reference: Reference::new(settings.sharing),
            log: Vec::new(),
            written: 0,
            checkpoint: 0,
            disk: Disk::default(),
            index: Disk::default(),
            delivered: BTreeSet::new(),
            must_settle: BTreeSet::new(),
            bodies: Vec::new(),
            blocks: Vec::new(),
            places: HashMap::new(),
            died: Vec::new(),
            graves: HashMap::new(),
            burials: VecDeque::new(),
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
        assert!(!self.queue.is_duplicate(self.now, &message), "it is new");
        let mut effects = Vec::new();
        let Admission::Accepted {
            seq,
            record,
            deadline_ms,
        } = self.queue.enqueue(self.now, message.clone(), &mut effects);
        let ttl_ms = self.terms.message_ttl_ms;
        assert_eq!(
            deadline_ms,
            ttl_ms.map_or(0, |ttl_ms| self.now.wall_ms + ttl_ms)
        );
        self.places.insert(number, seq);
        if self.reference.members.is_empty() {
            assert!(effects.is_empty(), "a lease for a queue without consumers");
        }
        self.carry_out(effects);
        let must_record = match self.settings.recording {
            Recording::Nothing => false,
            Recording::Persistent => persistent,
            Recording::Everything => true,
        };
        assert_eq!(record, must_record);
        if record {
            self.log.push(Record::Enqueue(seq, message, deadline_ms));
        }
        let level = u16::from(priority).min(self.settings.levels - 1);
        assert_eq!(u16::from(seq.level()), level);
        self.reference.enqueue(Entry {
            seq,
            id: number,
            recorded: record,
            redelivered: false,
            returns: 0,
            deadline_ms,
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
            died: &mut self.died,
            now: self.now,
        };
        self.queue.dispatch(self.now, &mut checker, &mut effects);
        self.catch_up();
        self.carry_out(effects);
        let could_deliver = self.reference.candidate().is_some() && self.reference.head().is_some();
        if could_deliver && !self.stopping {
            assert!(self.waits_for_something(), "stuck");
        }
        self.enforce();
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
            Get::Empty => {
                self.catch_up();
                assert!(self.reference.ready.is_empty(), "something is ready");
            }
            Get::Loading => {
                self.catch_up();
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
                    died: &mut self.died,
                    now: self.now,
                }
                .accept(None, no_ack, &delivery);
                self.catch_up_with_the_expired();
                assert_eq!(ready_left, self.reference.ready.len() as u64);
            }
        }
        self.carry_out(effects);
        self.assert_a_crash_would_flag_what_was_delivered();
    }

    pub(super) fn settle(&mut self, seqs: &[Seq], settlement: Settlement) {
        let requeue = settlement.is_requeue();
        let failed = settlement == Settlement::Requeue;
        let mut counted = BTreeMap::new();
        for seq in seqs {
            let counts = failed && self.terms.counts_deliveries();
            let Some(entry) = self.reference.settle(*seq, requeue, counts) else {
                continue;
            };
            let death = match settlement {
                Settlement::Acknowledge | Settlement::Return => None,
                Settlement::Discard => Some(DeathReason::Rejected),
                Settlement::Requeue => {
                    let spent = self.terms.is_spent(entry.returns);
                    spent.then_some(DeathReason::DeliveryLimit)
                }
            };
            if death.is_some() {
                self.reference.remove_ready(*seq);
            }
            if let Some(reason) = death.filter(|_| self.terms.dead_letter.is_some()) {
                self.graves.insert(entry.id, (entry, reason));
                continue;
            }
            if entry.recorded && (!requeue || death.is_some()) {
                self.must_settle.insert(*seq);
            }
            if entry.recorded && failed && death.is_none() && self.terms.counts_deliveries() {
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
                Record::Enqueue(_, message, _) => message.set_stored(stored(id(message))),
                Record::Lease(up_to, generation) => self.queue.lease_written(*up_to, *generation),
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
                    self.graves.remove(&number);
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
        self.carry_out(effects);
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
                    .map(|(seq, number)| block_entry(*seq, *number, self.index.deadlines[number]))
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
                    Record::Enqueue(seq, ..) if seq.level() == level => {
                        Some(seq.position() >> bits)
                    }
                    _ => None,
                })
                .collect();
            let covered = |block: u64| !unwritten.contains(&block);
            self.queue.page_out(level, keep_blocks, &covered);
        }
    }

    pub(super) fn tick(&mut self, milliseconds: u64) {
        self.now.monotonic_ms += milliseconds;
        self.now.wall_ms += milliseconds;
        let mut effects = Vec::new();
        self.queue.tick(self.now, &mut effects);
        self.carry_out(effects);
        self.enforce();
        if let Some(deadline) = self.queue.deadline() {
            assert!(deadline > self.now.monotonic_ms, "a timer that never ends");
        }
        self.assert_a_crash_would_flag_what_was_delivered();
    }

    /// Loses a part of what was not written, and recovers with an index as of any earlier time
    /// that is not before the last checkpoint; both in 256ths.
    pub(super) fn crash(&mut self, kept: u8, checkpoint: u8) {
        self.write_silently(kept);
        self.log.truncate(self.written);
        let newer = self.written - self.checkpoint;
        self.advance_checkpoint(self.checkpoint + newer * usize::from(checkpoint) / 255);
        let recovered = Recovery {
            settings: self.settings,
            block_bits: self.block_bits,
            disk: &self.disk,
            index: &self.index,
            since: &self.log[self.checkpoint..],
            settled_left_out: checkpoint.is_multiple_of(2),
        }
        .recovered();
        self.queue = QueueState::with_block_bits(self.settings, self.block_bits)
            .with_recovered(recovered)
            .on_terms(self.terms.clone());
        for (&seq, &number) in &self.disk.live {
            let message = message(number, true, seq.level());
            self.queue.remember(self.now, seq, &message);
        }
        self.bodies.clear();
        self.blocks.clear();
        self.graves.clear();
        self.burials.clear();
        self.reference = Reference::new(self.settings.sharing);
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
                deadline_ms: disk.deadlines[&number],
            });
        }
    }

    /// Everything that is ready comes out, once nothing stands in the way.
    pub(super) fn drain(&mut self) {
        // Whoever else is active may be unable to take anything.
        while let Some(key) = self.pick(0) {
            self.cancel(key);
        }
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
            if self.reference.ready.is_empty() && self.graves.is_empty() {
                break;
            }
            self.dispatch();
            self.bury();
            self.write(255);
            self.serve_blocks(true);
            self.serve_bodies(usize::MAX, None);
        }
        assert!(self.reference.ready.is_empty(), "something never comes out");
        assert!(self.graves.is_empty(), "something is never buried");
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

    /// Does what the queue wants, and compares what it settles with what it had to.
    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) {
        self.account_for_the_dead(&effects);
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
                Effect::ExtendLease { up_to, generation } => {
                    self.log.push(Record::Lease(up_to, generation));
                }
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
                Effect::DeadLetters(dead) => {
                    if !dead.from_head {
                        self.open_graves(&dead);
                    }
                    self.burials.push_back(dead);
                }
                Effect::Unused => panic!("no term says so"),
                Effect::Damaged { .. } | Effect::Missing { .. } => {
                    panic!("nothing was damaged")
                }
            }
        }
        assert_eq!(settled, std::mem::take(&mut self.must_settle), "settled");
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
}
