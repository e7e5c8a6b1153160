//! The author of the log's records: what the commit thread does with operations.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};

use leveret_log::{Author, CommitError, Group, Lsn, RecordIndex, SegmentId, TurnOutcome, Written};
use parking_lot::Mutex;

use crate::model::{Message, Operation, Stored};

use super::board::Board;
use super::delta::Ledger;
use super::ranges::RangeSet;
use super::record::{self, Target, kind};
use super::signal::Signal;
use super::turn::{Placed, Turn, TurnMessage};

/// A message that the cleaner wants out of its segment.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    /// The message's first number.
    pub(crate) origin: Lsn,
    pub(crate) message: Message,
    /// Its places that were live when the cleaner looked.
    pub(crate) targets: Vec<Target>,
}

/// What the store's threads share with the author.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) board: Board,
    /// What the cleaner wants written with the next turn.
    pub(crate) moves: Mutex<Vec<Move>>,
    /// Where the checkpoint thread is told that there is something to do.
    pub(crate) signals: Mutex<Option<mpsc::Sender<Signal>>>,
    /// Less free space than this is too little, in bytes.
    pub(crate) disk_free_limit: AtomicU64,
}

impl Shared {
    pub(crate) fn new(ledger: Ledger, disk_free_limit: u64) -> Self {
        Self {
            ledger: Mutex::new(ledger),
            board: Board::new(),
            moves: Mutex::default(),
            signals: Mutex::new(None),
            disk_free_limit: AtomicU64::new(disk_free_limit),
        }
    }

    /// Tells the checkpoint thread something; says whether it is there.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        let signals = self.signals.lock();
        signals
            .as_ref()
            .is_some_and(|sender| sender.send(signal).is_ok())
    }
}

/// Turns operations into records.
#[derive(Debug)]
pub(crate) struct StoreAuthor {
    shared: Arc<Shared>,
    /// Segments that were freed: bodies in them are gone.
    freed: RangeSet,
    turn: Turn,
    placed: Vec<Placed>,
    last_record: Option<RecordIndex>,
    /// What a failed turn left to be written.
    retained: Vec<Operation>,
    scratch: Vec<u8>,
    /// Bytes written since the checkpoint thread took the delta.
    bytes: u64,
    checkpoint_bytes: u64,
}

impl StoreAuthor {
    /// An author that asks for a checkpoint after so many bytes.
    pub(crate) fn new(shared: Arc<Shared>, checkpoint_bytes: u64) -> Self {
        Self {
            shared,
            freed: RangeSet::default(),
            turn: Turn::default(),
            placed: Vec::new(),
            last_record: None,
            retained: Vec::new(),
            scratch: Vec::new(),
            bytes: 0,
            checkpoint_bytes,
        }
    }

    /// Whether something was enqueued since the last checkpoint that lies in this segment. If not,
    /// and if the index has nothing in it either, the segment goes, and this is noted.
    pub(crate) fn keeps(&mut self, segment: SegmentId, index_pins: bool) -> bool {
        let keeps = index_pins || self.shared.ledger.lock().delta.pinned.contains(&segment);
        if !keeps {
            self.freed
                .insert(u64::from(segment.0), u64::from(segment.0));
        }
        keeps
    }

    /// Tells the checkpoint thread of the first change since it took the last ones, and when they
    /// have become many.
    fn tell(&mut self, was_empty: bool, is_empty: bool) {
        if was_empty && !is_empty {
            self.bytes = 0;
            self.shared.signal(Signal::Activity);
        }
        if self.bytes >= self.checkpoint_bytes {
            self.bytes = 0;
            self.shared.signal(Signal::Checkpoint);
        }
    }

    fn write(&mut self, group: &mut Group, record_kind: u8, more: &[u8]) -> RecordIndex {
        let index = group.record(record_kind, 0, &[&self.scratch, more]);
        self.bytes += (self.scratch.len() + more.len()) as u64;
        self.scratch.clear();
        self.last_record = Some(index);
        index
    }

    fn compose_entities(&mut self, group: &mut Group) {
        if self.turn.entities.is_empty() {
            return;
        }
        group.require_sync();
        let shared = self.shared.clone();
        let mut ledger = shared.ledger.lock();
        for index in 0..self.turn.entities.len() {
            let change = self.turn.entities[index].clone();
            if let Some(queue) = change.queue() {
                ledger.next_queue = ledger.next_queue.max(queue.0.saturating_add(1));
            }
            self.scratch = record::entity(ledger.next_queue, change);
            self.write(group, kind::ENTITY, &[]);
        }
    }

    fn compose_messages(&mut self, group: &mut Group) {
        for TurnMessage { message, targets } in std::mem::take(&mut self.turn.messages) {
            let earlier = message.stored().filter(|stored| {
                let segment = stored.location.segment;
                !self.freed.contains(u64::from(segment.0))
            });
            match earlier {
                Some(stored) => self.compose_enqueues(group, &message, stored, &targets),
                None => {
                    record::put_message_head(&mut self.scratch, None, &message, &targets);
                    let record = self.write(group, kind::MESSAGE, message.encoded());
                    self.placed.push(Placed::Message {
                        record,
                        message,
                        targets,
                    });
                }
            }
        }
    }

    /// Further places of a message whose body is in the log already.
    fn compose_enqueues(
        &mut self,
        group: &mut Group,
        message: &Message,
        stored: Stored,
        targets: &[Target],
    ) {
        let bytes = body_bytes(message);
        for target in targets {
            let (lsn, location) = (stored.lsn, stored.location);
            record::put_enqueue(&mut self.scratch, *target, lsn, location, bytes);
            self.write(group, kind::ENQUEUE, &[]);
            self.placed.push(Placed::Enqueue {
                target: *target,
                stored,
                bytes,
            });
        }
    }

    /// Writes what the cleaner asked for, unless it was settled meanwhile.
    fn compose_moves(&mut self, group: &mut Group) {
        let moves = std::mem::take(&mut *self.shared.moves.lock());
        for mut moved in moves {
            {
                let ledger = self.shared.ledger.lock();
                moved.targets.retain(|target| {
                    ledger.known.contains(&target.queue)
                        && !ledger.delta.is_settled(target.queue, target.seq)
                        && !self.turn.settles(target.queue, target.seq)
                });
            }
            if moved.targets.is_empty() {
                continue;
            }
            let origin = Some(moved.origin);
            record::put_message_head(&mut self.scratch, origin, &moved.message, &moved.targets);
            let record = self.write(group, kind::MOVED_TO, moved.message.encoded());
            self.placed.push(Placed::Moved {
                record,
                origin: moved.origin,
                targets: moved.targets,
                bytes: body_bytes(&moved.message),
            });
        }
    }

    fn compose_consumption(&mut self, group: &mut Group) {
        for (queue, ranges) in self.turn.settlements() {
            record::put_settle(&mut self.scratch, queue, &ranges);
            self.write(group, kind::SETTLE, &[]);
        }
        for index in 0..self.turn.requeues.len() {
            let (queue, count, ranges) = &self.turn.requeues[index];
            record::put_requeue(&mut self.scratch, *queue, *count, ranges);
            self.write(group, kind::REQUEUE, &[]);
        }
        for (queue, up_to) in self.turn.delivered_list() {
            record::put_delivered(&mut self.scratch, queue, up_to);
            self.write(group, kind::DELIVERED, &[]);
        }
    }
}

fn body_bytes(message: &Message) -> u32 {
    // A record, and so a body, is shorter than 2 GiB: the log refuses longer ones.
    u32::try_from(message.body().len()).unwrap_or(u32::MAX)
}

impl Author for StoreAuthor {
    type Operation = Operation;

    fn operation_bytes(operation: &Operation) -> usize {
        match operation {
            Operation::Enqueue { message, .. } => message.encoded().len() + 40,
            Operation::Settle { ranges, .. } | Operation::Requeue { ranges, .. } => {
                20 + ranges.len() * 8
            }
            Operation::Delivered { .. } => 24,
            Operation::Entity(_) => 512,
            Operation::Transaction(operations) => {
                operations.iter().map(Self::operation_bytes).sum()
            }
        }
    }

    fn compose(&mut self, turn: Vec<Operation>, group: &mut Group) {
        let mut operations = std::mem::take(&mut self.retained);
        operations.extend(turn);
        self.turn = Turn::of(operations);
        self.placed.clear();
        self.scratch.clear();
        self.last_record = None;
        self.compose_entities(group);
        self.compose_messages(group);
        self.compose_moves(group);
        self.compose_consumption(group);
    }

    fn written(&mut self, written: &Written<'_>) {
        let shared = self.shared.clone();
        let mut ledger = shared.ledger.lock();
        let was_empty = ledger.delta.is_empty();
        for change in &self.turn.entities {
            ledger.entity(change.clone());
        }
        let home = written.segment();
        for placed in self.placed.drain(..) {
            match placed {
                Placed::Message {
                    record,
                    message,
                    targets,
                } => {
                    let stored = Stored {
                        lsn: written.lsn(record),
                        location: written.location(record),
                    };
                    message.set_stored(stored);
                    let bytes = body_bytes(&message);
                    ledger.enqueue_all(&targets, stored, bytes, home);
                }
                Placed::Enqueue {
                    target,
                    stored,
                    bytes,
                } => ledger.enqueue_all(&[target], stored, bytes, home),
                Placed::Moved {
                    record,
                    origin,
                    targets,
                    bytes,
                } => {
                    let stored = Stored {
                        lsn: origin,
                        location: written.location(record),
                    };
                    ledger.enqueue_all(&targets, stored, bytes, home);
                }
            }
        }
        for (queue, ranges) in self.turn.settlements() {
            ledger.settle(queue, &ranges);
        }
        for (queue, count, ranges) in &self.turn.requeues {
            ledger.requeue(*queue, ranges, *count);
        }
        for (queue, up_to) in self.turn.delivered_list() {
            ledger.delivered(queue, up_to);
        }
        if let Some(last) = self.last_record {
            ledger.delta.end = written.lsn(last).next();
        }
        let is_empty = ledger.delta.is_empty();
        drop(ledger);
        self.tell(was_empty, is_empty);
    }

    fn settled(&mut self, outcome: &TurnOutcome) {
        if matches!(outcome, TurnOutcome::Failed { .. }) {
            self.retained = self.turn.consumption();
        }
        if let TurnOutcome::Failed { error, .. } = outcome
            && matches!(error, CommitError::NoSpace { .. })
        {
            self.shared.signal(Signal::DiskFull);
        }
        self.shared.board.settled(outcome);
    }
}
