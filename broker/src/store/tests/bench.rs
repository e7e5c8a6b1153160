//! What the tests of the store on a real disk share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::model::{
    Arguments, Entity, EntityChange, EntityKey, Message, MessageParts, Operation, QueueDefinition,
    QueueId, QueueName, Seq, SeqRange, VirtualHostName,
};
use crate::store::{BlockEntry, LoadError, Outcome, Recovered, Store, StoreOptions, open};

/// A store in a folder of its own.
pub(super) struct Bench {
    pub(super) folder: TempDir,
    store: Option<Arc<dyn Store>>,
    pub(super) recovered: Recovered,
}

pub(super) fn message(body: &str) -> Message {
    let encoded = [b"\x00\x01q".as_slice(), b"HEAD", body.as_bytes()].concat();
    let parts = MessageParts {
        exchange_bytes: 0,
        routing_key_bytes: 1,
        header_bytes: 4,
        persistent: true,
        priority: 0,
        ..MessageParts::default()
    };
    Message::new(parts, &encoded).expect("lengths fit")
}

pub(super) fn declare(queue: u32) -> Operation {
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

pub(super) fn delete(queue: u32) -> Operation {
    Operation::Entity(EntityChange::Remove(EntityKey::Queue { id: queue }))
}

pub(super) fn enqueue(message: &Message, queue: u32, position: u64) -> Operation {
    Operation::Enqueue {
        message: message.clone(),
        queue: QueueId(queue),
        seq: Seq::new(0, position),
        deadline_ms: 0,
    }
}

pub(super) fn settle(queue: u32, first: u64, last: u64) -> Operation {
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
    pub(super) fn new() -> Self {
        let mut bench = Self {
            folder: tempfile::tempdir().expect("a folder"),
            store: None,
            recovered: Recovered::default(),
        };
        bench.open();
        bench
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(super) fn options(&self) -> StoreOptions {
        let mut options = StoreOptions::new(self.directory());
        // Checkpoints are taken when a test asks for them.
        options.checkpoint_interval = Duration::from_secs(3600);
        options.segment_bytes_min = 64 << 10;
        options.segment_bytes_max = 64 << 10;
        options
    }

    pub(super) fn open(&mut self) {
        let opened = open(self.options(), &mut |_, _| {}).expect("opens");
        self.store = Some(opened.0);
        self.recovered = opened.1;
    }

    pub(super) fn store(&self) -> &dyn Store {
        &**self.store.as_ref().expect("is open")
    }

    pub(super) fn submit(&self, operations: Vec<Operation>) {
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

    pub(super) fn checkpoint(&self) {
        let before = self.store().status().checkpoints;
        self.store().checkpoint();
        while self.store().status().checkpoints == before {
            assert_eq!(self.store().status().checkpoint_failed, None);
            std::thread::yield_now();
        }
    }

    /// The process dies: nothing is closed, no checkpoint is taken.
    pub(super) fn kill(&mut self) {
        self.store = None;
    }

    pub(super) fn reopen_cleanly(&mut self) {
        self.store().close();
        self.store = None;
        self.open();
    }

    pub(super) fn reopen_after_a_kill(&mut self) {
        self.kill();
        self.open();
    }

    pub(super) fn block(
        &self,
        queue: QueueId,
        level: u8,
        block: u64,
    ) -> Result<Vec<BlockEntry>, LoadError> {
        let (reply, answer) = std::sync::mpsc::channel();
        let reply = Box::new(move |entries| reply.send(entries).expect("somebody waits"));
        self.store().load_block(queue, level, block, reply);
        answer.recv().expect("it is answered")
    }

    pub(super) fn bodies(
        &self,
        queue: QueueId,
        entries: &[BlockEntry],
    ) -> Vec<Result<String, LoadError>> {
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
    pub(super) fn entries(&self, queue: u32) -> Vec<BlockEntry> {
        let id = QueueId(queue);
        let found = self
            .recovered
            .queues
            .iter()
            .find(|recovered| recovered.id == id);
        let mut all = Vec::new();
        let Some(found) = found else {
            return all;
        };
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
            // As the queue does it: what is settled is settled, wherever it comes from.
            held.extend(level.entries.iter().map(|entry| (entry.seq, *entry)));
            for range in &level.settled_since {
                held.retain(|seq, _| *seq < range.first || *seq > range.last);
            }
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
    pub(super) fn messages(&self, queue: u32) -> Vec<(u64, String)> {
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
    pub(super) fn publish(&self, queue: u32, positions: std::ops::Range<u64>) {
        let operations = positions.map(|at| enqueue(&message(&format!("body {at}")), queue, at));
        self.submit(operations.collect());
    }
}

pub(super) fn expected(positions: impl IntoIterator<Item = u64>) -> Vec<(u64, String)> {
    positions
        .into_iter()
        .map(|at| (at, format!("body {at}")))
        .collect()
}
