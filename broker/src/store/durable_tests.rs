//! Tests of the store on a real disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::model::{
    Arguments, Entity, EntityChange, EntityKey, Message, MessageParts, Operation, QueueDefinition,
    QueueId, QueueName, Seq, SeqRange, VirtualHostName,
};
use crate::store::sled_state::SledState;
use crate::store::state::StateStore;
use crate::store::{
    BlockEntry, LoadError, Outcome, Recovered, StateSync, Store, StoreError, StoreOptions, key,
    open, piece, verify,
};

/// A store in a folder of its own.
struct Bench {
    folder: TempDir,
    store: Option<Arc<dyn Store>>,
    recovered: Recovered,
}

fn message(body: &str) -> Message {
    let encoded = [b"\x00\x01q".as_slice(), b"HEAD", body.as_bytes()].concat();
    let parts = MessageParts {
        exchange_bytes: 0,
        routing_key_bytes: 1,
        header_bytes: 4,
        persistent: true,
        priority: 0,
    };
    Message::new(parts, &encoded).expect("lengths fit")
}

fn declare(queue: u32) -> Operation {
    Operation::Entity(EntityChange::Put(Entity::Queue {
        virtual_host: VirtualHostName::from("/"),
        id: queue,
        definition: QueueDefinition {
            name: QueueName::from(format!("queue {queue}")),
            durable: true,
            auto_delete: false,
            exclusive: false,
            arguments: Arguments::default(),
        },
    }))
}

fn delete(queue: u32) -> Operation {
    Operation::Entity(EntityChange::Remove(EntityKey::Queue { id: queue }))
}

fn enqueue(message: &Message, queue: u32, position: u64) -> Operation {
    Operation::Enqueue {
        message: message.clone(),
        queue: QueueId(queue),
        seq: Seq::new(0, position),
        deadline_ms: 0,
    }
}

fn settle(queue: u32, first: u64, last: u64) -> Operation {
    let range = SeqRange {
        first: Seq::new(0, first),
        last: Seq::new(0, last),
    };
    Operation::Settle {
        queue: QueueId(queue),
        ranges: vec![range],
    }
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            folder: tempfile::tempdir().expect("a folder"),
            store: None,
            recovered: Recovered::default(),
        };
        bench.open();
        bench
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn options(&self) -> StoreOptions {
        let mut options = StoreOptions::new(self.directory());
        // Checkpoints are taken when a test asks for them.
        options.checkpoint_interval = Duration::from_secs(3600);
        options.segment_bytes_min = 64 << 10;
        options.segment_bytes_max = 64 << 10;
        options
    }

    fn open(&mut self) {
        let opened = open(self.options(), &mut |_, _| {}).expect("opens");
        self.store = Some(opened.0);
        self.recovered = opened.1;
    }

    fn store(&self) -> &dyn Store {
        &**self.store.as_ref().expect("is open")
    }

    fn submit(&self, operations: Vec<Operation>) {
        let mut operations = operations;
        let ticket = self.store().submit(&mut operations);
        loop {
            match self.store().progress().outcome(ticket) {
                Outcome::Durable => return,
                Outcome::Failed => panic!("the operation failed"),
                Outcome::Pending | Outcome::Written => std::thread::yield_now(),
            }
        }
    }

    fn checkpoint(&self) {
        let before = self.store().status().checkpoints;
        self.store().checkpoint();
        while self.store().status().checkpoints == before {
            assert_eq!(self.store().status().checkpoint_failed, None);
            std::thread::yield_now();
        }
    }

    /// The process dies: nothing is closed, no checkpoint is taken.
    fn kill(&mut self) {
        self.store = None;
    }

    fn reopen_cleanly(&mut self) {
        self.store().close();
        self.store = None;
        self.open();
    }

    fn reopen_after_a_kill(&mut self) {
        self.kill();
        self.open();
    }

    fn block(&self, queue: QueueId, level: u8, block: u64) -> Result<Vec<BlockEntry>, LoadError> {
        let (reply, answer) = std::sync::mpsc::channel();
        let reply = Box::new(move |entries| reply.send(entries).expect("somebody waits"));
        self.store().load_block(queue, level, block, reply);
        answer.recv().expect("it is answered")
    }

    fn bodies(&self, queue: QueueId, entries: &[BlockEntry]) -> Vec<Result<String, LoadError>> {
        let wanted = entries
            .iter()
            .map(|entry| (entry.seq, entry.stored))
            .collect();
        let (reply, answer) = std::sync::mpsc::channel();
        let reply = Box::new(move |bodies| reply.send(bodies).expect("somebody waits"));
        self.store().load_bodies(queue, wanted, reply);
        let bodies = answer.recv().expect("it is answered");
        assert!(
            bodies
                .iter()
                .zip(entries)
                .all(|((seq, _), entry)| *seq == entry.seq)
        );
        let text = |message: Message| String::from_utf8_lossy(message.body()).into_owned();
        bodies.into_iter().map(|(_, body)| body.map(text)).collect()
    }

    /// What a queue holds, as its owner would put it together.
    fn entries(&self, queue: u32) -> Vec<BlockEntry> {
        let id = QueueId(queue);
        let found = self
            .recovered
            .queues
            .iter()
            .find(|recovered| recovered.id == id);
        let found = found.expect("the queue is there");
        let mut all = Vec::new();
        for level in &found.levels {
            let mut held = BTreeMap::new();
            for number in level
                .blocks
                .iter()
                .flat_map(|range| range.first..=range.last)
            {
                for entry in self
                    .block(id, level.level, number)
                    .expect("the block is good")
                {
                    held.insert(entry.seq, entry);
                }
            }
            for range in &level.settled_since {
                held.retain(|seq, _| *seq < range.first || *seq > range.last);
            }
            held.extend(level.entries.iter().map(|entry| (entry.seq, *entry)));
            all.extend(held.into_values());
        }
        assert_eq!(
            found.ready_count,
            all.len() as u64,
            "the count is that of the messages"
        );
        let bytes: u64 = all.iter().map(|entry| u64::from(entry.bytes)).sum();
        assert_eq!(
            found.ready_bytes, bytes,
            "the bytes are those of the messages"
        );
        all
    }

    /// Position and body of all messages of a queue.
    fn messages(&self, queue: u32) -> Vec<(u64, String)> {
        let entries = self.entries(queue);
        let bodies = self.bodies(QueueId(queue), &entries);
        let bodies = bodies
            .into_iter()
            .map(|body| body.expect("the body is good"));
        entries
            .iter()
            .map(|entry| entry.seq.position())
            .zip(bodies)
            .collect()
    }

    /// Publishes messages to a queue, one operation each.
    fn publish(&self, queue: u32, positions: std::ops::Range<u64>) {
        let operations = positions.map(|at| enqueue(&message(&format!("body {at}")), queue, at));
        self.submit(operations.collect());
    }
}

fn expected(positions: impl IntoIterator<Item = u64>) -> Vec<(u64, String)> {
    positions
        .into_iter()
        .map(|at| (at, format!("body {at}")))
        .collect()
}

#[test]
fn what_was_published_is_there_after_a_clean_restart() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..1500);
    bench.submit(vec![settle(1, 0, 9), settle(1, 700, 702)]);
    bench.reopen_cleanly();
    let left = (10..1500).filter(|at| !(700..703).contains(at));
    assert_eq!(bench.messages(1), expected(left));
    assert!(
        !bench.recovered.report.is_alarming(),
        "{:?}",
        bench.recovered.report
    );
    assert_eq!(
        bench.recovered.report.records_read, 0,
        "the checkpoint holds everything"
    );
}

#[test]
fn what_was_published_is_there_after_a_kill() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..1500);
    bench.submit(vec![settle(1, 3, 3)]);
    bench.reopen_after_a_kill();
    assert_eq!(bench.messages(1), expected((0..1500).filter(|at| *at != 3)));
}

#[test]
fn what_came_after_a_checkpoint_is_added_to_it() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..600);
    bench.checkpoint();
    bench.publish(1, 600..700);
    bench.submit(vec![settle(1, 0, 520), settle(1, 650, 650)]);
    bench.reopen_after_a_kill();
    let left: Vec<u64> = (521..700).filter(|at| *at != 650).collect();
    assert_eq!(bench.messages(1), expected(left.clone()));
    bench.checkpoint();
    bench.reopen_after_a_kill();
    assert_eq!(bench.messages(1), expected(left));
}

#[test]
fn a_lost_state_costs_settlements_and_no_messages() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1), declare(2)]);
    bench.publish(1, 0..300);
    bench.checkpoint();
    bench.submit(vec![settle(1, 0, 99)]);
    bench.kill();
    std::fs::remove_dir_all(bench.directory().join("state")).expect("removed");
    bench.open();
    assert!(bench.recovered.report.rebuilt);
    assert!(
        bench
            .recovered
            .queues
            .iter()
            .all(|queue| queue.all_redelivered)
    );
    assert_eq!(bench.messages(1), expected(100..300));
    assert_eq!(bench.recovered.queues.len(), 2);
    // It is whole again, and everything stays flagged.
    bench.checkpoint();
    bench.reopen_after_a_kill();
    assert!(!bench.recovered.report.rebuilt);
    assert_eq!(bench.messages(1), expected(100..300));
    let lease = bench.recovered.queues[0].levels[0].lease;
    assert_eq!(lease, Some(Seq::new(0, 299)));
}

#[test]
fn a_state_that_went_back_is_noticed_whichever_it_is() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    let mut copies = Vec::new();
    for round in 0..4_u64 {
        bench.publish(1, round * 100..round * 100 + 100);
        bench.submit(vec![settle(1, round * 100, round * 100 + 49)]);
        bench.checkpoint();
        let copy = bench.folder.path().join(format!("copy {round}"));
        copy_folder(&bench.directory().join("state"), &copy);
        copies.push(copy);
    }
    bench.kill();
    let current = bench.directory().join("state");
    let last = copies.pop().expect("four were made");
    let left = (0..400).filter(|at| at % 100 >= 50);
    for copy in copies {
        std::fs::remove_dir_all(&current).expect("removed");
        copy_folder(&copy, &current);
        bench.open();
        assert!(bench.recovered.report.rebuilt, "{}", copy.display());
        // The log still knows all settlements here: nothing was freed.
        assert_eq!(bench.messages(1), expected(left.clone()));
        bench.kill();
    }
    std::fs::remove_dir_all(&current).expect("removed");
    copy_folder(&last, &current);
    bench.open();
    assert!(
        !bench.recovered.report.rebuilt,
        "it is the one that the log knows"
    );
    assert_eq!(bench.messages(1), expected(left));
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("read") {
        let entry = entry.expect("read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn a_deleted_queue_and_its_messages_stay_deleted() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1), declare(2)]);
    bench.publish(1, 0..600);
    bench.checkpoint();
    bench.submit(vec![delete(1)]);
    bench.reopen_after_a_kill();
    let ids = |bench: &Bench| {
        bench
            .recovered
            .queues
            .iter()
            .map(|q| q.id.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&bench), [2]);
    bench.reopen_cleanly();
    assert_eq!(ids(&bench), [2]);
    assert!(
        bench.store().next_queue_id().0 > 2,
        "numbers are never given out again"
    );
}

#[test]
fn a_message_for_many_queues_is_stored_once() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1), declare(2), declare(3)]);
    let big = message(&"x".repeat(20_000));
    let before = bench.store().status().log_bytes;
    for queue in 1..=3 {
        for position in 0..1 {
            bench.submit(vec![enqueue(&big, queue, position)]);
        }
    }
    assert!(bench.store().status().log_bytes <= before + (64 << 10));
    bench.checkpoint();
    bench.reopen_after_a_kill();
    let places: Vec<_> = (1..=3)
        .map(|queue| bench.entries(queue)[0].stored)
        .collect();
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    assert_eq!(bench.messages(3)[0].1.len(), 20_000);
}

#[test]
fn a_drained_queue_gives_its_space_back() {
    let bench = Bench::new();
    bench.submit(vec![declare(1)]);
    for round in 0..40_u64 {
        bench.publish(1, round * 200..round * 200 + 200);
    }
    bench.checkpoint();
    assert!(bench.store().status().segments > 3);
    bench.submit(vec![settle(1, 0, 7999)]);
    bench.checkpoint();
    bench.submit(vec![declare(2)]);
    bench.checkpoint();
    assert!(
        bench.store().status().segments <= 2,
        "{:?}",
        bench.store().status()
    );
}

#[test]
fn few_messages_do_not_keep_a_long_log() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    let filler = "f".repeat(1000);
    for round in 0..40_u64 {
        let body = |at: u64| format!("{at} {filler}");
        let operations = (round * 100..round * 100 + 100)
            .map(|at| enqueue(&message(&body(at)), 1, at))
            .collect();
        bench.submit(operations);
    }
    bench.checkpoint();
    let before = bench.store().status().segments;
    for first in (0..4000).step_by(100) {
        bench.submit(vec![settle(1, first, first + 98)]);
    }
    for queue in 2..30 {
        bench.checkpoint();
        bench.submit(vec![declare(queue)]);
    }
    let after = bench.store().status().segments;
    assert!(
        after <= 10 && after * 3 < before,
        "{before} segments became {after}"
    );
    bench.reopen_after_a_kill();
    let left: Vec<u64> = bench.messages(1).iter().map(|(at, _)| *at).collect();
    assert_eq!(
        left,
        (0..4000).filter(|at| at % 100 == 99).collect::<Vec<_>>()
    );
    assert!(
        bench
            .messages(1)
            .iter()
            .all(|(at, body)| body == &format!("{at} {filler}"))
    );
}

#[test]
fn a_copy_of_a_running_store_can_be_opened() {
    let bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..1000);
    bench.submit(vec![settle(1, 0, 9)]);
    let mut copy = Bench::new();
    copy.kill();
    std::fs::remove_dir_all(copy.directory()).expect("removed");
    bench.store().backup(&copy.directory()).expect("copies");
    assert!(
        bench.store().backup(&copy.directory()).is_err(),
        "the folder is not empty"
    );
    copy.open();
    assert!(
        !copy.recovered.report.is_alarming(),
        "{:?}",
        copy.recovered.report
    );
    assert_eq!(copy.messages(1), expected(10..1000));
}

#[test]
fn verifying_tells_what_opening_would_and_changes_nothing() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..600);
    bench.checkpoint();
    bench.submit(vec![settle(1, 0, 9)]);
    assert!(matches!(
        verify(&bench.directory()),
        Err(StoreError::InUse(_))
    ));
    bench.kill();
    let report = verify(&bench.directory()).expect("reads");
    assert_eq!((report.messages, report.queues), (590, 1));
    assert!(!report.is_alarming(), "{report:?}");
    std::fs::remove_dir_all(bench.directory().join("state")).expect("removed");
    let report = verify(&bench.directory()).expect("reads");
    assert!(report.rebuilt && report.messages == 590, "{report:?}");
    assert!(!bench.directory().join("state").exists());
    bench.open();
    assert_eq!(bench.messages(1), expected(10..600));
}

#[test]
fn one_folder_has_one_store() {
    let bench = Bench::new();
    let second = open(bench.options(), &mut |_, _| {});
    assert!(matches!(second, Err(StoreError::InUse(_))));
}

#[test]
fn delivery_counts_and_leases_come_back() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..10);
    let requeue = |at, delivery_count| Operation::Requeue {
        queue: QueueId(1),
        ranges: vec![SeqRange::one(Seq::new(0, at))],
        delivery_count,
    };
    let up_to = |at| Operation::Delivered {
        queue: QueueId(1),
        up_to: Seq::new(0, at),
    };
    bench.submit(vec![requeue(3, 1), requeue(4, 2), up_to(7)]);
    bench.checkpoint();
    bench.submit(vec![requeue(3, 5), settle(1, 4, 4), up_to(5)]);
    for checkpoint in [true, false] {
        bench.reopen_after_a_kill();
        let queue = &bench.recovered.queues[0];
        let counts: Vec<_> = queue
            .delivery_counts
            .iter()
            .map(|c| (c.seq.0, c.count))
            .collect();
        assert_eq!(counts, [(3, 5)]);
        assert_eq!(
            queue.levels[0].lease,
            Some(Seq::new(0, 5)),
            "the later lease holds"
        );
        assert_eq!(queue.levels[0].next_position, 10);
        if checkpoint {
            bench.checkpoint();
        }
    }
}

/// Changes the piece that holds one block of queue 1, in the state of a store that is not open.
fn change_block(bench: &Bench, number: u64, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
    let sync = StateSync::default();
    let state = SledState::open(&bench.directory().join("state"), &sync).expect("opens");
    let key = piece::key_of(&key::of_block(key::BLOCK, QueueId(1), 0, number), 0);
    let value = state.get(&key).expect("reads").expect("is there");
    state.apply(&[(key, change(value))]).expect("applies");
    state.sync().expect("syncs");
}

fn damage_block(bench: &Bench, number: u64) {
    change_block(bench, number, |mut value| {
        value[20] ^= 1;
        Some(value)
    });
}

#[test]
fn a_block_that_vanished_is_given_back_by_the_log() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..1600);
    bench.checkpoint();
    bench.kill();
    change_block(&bench, 1, |_| None);
    bench.open();
    assert_eq!(bench.messages(1), expected(0..1600));
    assert_eq!(bench.store().status().report.damage.len(), 1);
}

#[test]
fn a_damaged_block_is_given_back_by_the_log() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1), declare(2)]);
    bench.publish(1, 0..1600);
    bench.publish(2, 0..3);
    bench.submit(vec![settle(1, 600, 610)]);
    bench.checkpoint();
    bench.kill();
    damage_block(&bench, 1);
    bench.open();
    assert!(!bench.recovered.report.rebuilt);
    let left = (0..1600).filter(|at| !(600..=610).contains(at));
    assert_eq!(bench.messages(1), expected(left.clone()));
    assert_eq!(bench.messages(2), expected(0..3));
    let flagged = |bench: &Bench| bench.entries(1).iter().filter(|e| e.redelivered).count();
    assert_eq!(
        flagged(&bench),
        512 - 11,
        "the block's messages, and no others"
    );
    assert_eq!(bench.store().status().report.damage.len(), 1);
    bench.reopen_after_a_kill();
    assert_eq!(bench.messages(1), expected(left));
    assert!(
        !bench.recovered.report.is_alarming(),
        "{:?}",
        bench.recovered.report
    );
}

#[test]
fn a_damaged_block_that_opening_needs_is_repaired_first() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..1000);
    bench.checkpoint();
    bench.submit(vec![settle(1, 10, 19)]);
    bench.kill();
    damage_block(&bench, 0);
    bench.open();
    assert_eq!(bench.recovered.report.damage.len(), 1);
    assert_eq!(bench.messages(1), expected((0..10).chain(20..1000)));
    bench.checkpoint();
    assert_eq!(bench.store().status().checkpoint_failed, None);
}

#[test]
fn a_checkpoint_repairs_the_block_that_it_meets_damaged() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..1000);
    bench.checkpoint();
    bench.kill();
    damage_block(&bench, 0);
    bench.open();
    bench.submit(vec![settle(1, 10, 19)]);
    bench.checkpoint();
    assert_eq!(bench.store().status().report.damage.len(), 1);
    bench.reopen_after_a_kill();
    assert_eq!(bench.messages(1), expected((0..10).chain(20..1000)));
}
