//! What happens on the log's commit thread.

use std::fmt;
use std::sync::{Arc, OnceLock};

use leveret_log::{Author, Group, Lsn, Reader, RecordIndex, TurnOutcome, Written};
use parking_lot::Mutex;

use super::index::Index;
use super::record;
use crate::store::StoreError;
use crate::store::kv::key;
use crate::store::kv::view::{Changes, Transaction};

/// Is told whether the changes are durable.
pub(super) type Finish = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What an operation came to.
pub(super) enum Keep {
    /// Its changes are to be made.
    Changes(Finish),
    /// It failed, and changes nothing.
    Nothing(Finish),
}

type Work = Box<dyn FnOnce(&mut Transaction<'_>) -> Keep + Send>;

/// Something to be read and changed.
pub(super) struct Operation(Work);

impl Operation {
    pub(super) fn new(work: impl FnOnce(&mut Transaction<'_>) -> Keep + Send + 'static) -> Self {
        Self(Box::new(work))
    }
}

/// Where the author reads messages back, once the log is open.
pub(super) type LateReader = Arc<OnceLock<Mutex<Reader>>>;

/// Decides and writes, turn by turn.
pub(super) struct ChatAuthor {
    index: Arc<Index>,
    reader: LateReader,
    turn: Turn,
}

/// The turn that is on its way.
#[derive(Default)]
struct Turn {
    finishes: Vec<Finish>,
    /// What the index lacks; the values of messages are still to be replaced by their places.
    changes: Changes,
    messages: Vec<(Vec<u8>, RecordIndex)>,
    last: Option<Lsn>,
}

impl fmt::Debug for ChatAuthor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ChatAuthor")
    }
}

impl ChatAuthor {
    pub(super) fn new(index: Arc<Index>, reader: LateReader) -> Self {
        Self {
            index,
            reader,
            turn: Turn::default(),
        }
    }

    /// Runs all operations, each on what the ones before it have left.
    fn run(&self, operations: Vec<Operation>, finishes: &mut Vec<Finish>) -> Changes {
        let Some(reader) = self.reader.get() else {
            // Nothing is submitted before the reader is there.
            return Changes::new();
        };
        let view = self.index.view(reader);
        let mut turn = Transaction::new(&view);
        for operation in operations {
            let mut one = Transaction::new(&turn);
            let kept = (operation.0)(&mut one);
            let changes = one.into_changes();
            match kept {
                Keep::Changes(finish) => {
                    turn.absorb(changes);
                    finishes.push(finish);
                }
                Keep::Nothing(finish) => finishes.push(finish),
            }
        }
        turn.into_changes()
    }
}

impl Author for ChatAuthor {
    type Operation = Operation;

    fn operation_bytes(_: &Operation) -> usize {
        // What it comes to is known only once it runs; turns are bounded by their number.
        1024
    }

    fn compose(&mut self, operations: Vec<Operation>, group: &mut Group) {
        let mut finishes = Vec::with_capacity(operations.len());
        let mut changes = self.run(operations, &mut finishes);
        let mut messages = Vec::new();
        let mut others = Vec::new();
        for (key, change) in &mut changes {
            match change {
                Some(value) if key::is_message(key) => {
                    let head = record::message_head(key);
                    let index = group.record(record::MESSAGE, 0, &[&head, value]);
                    messages.push((key.clone(), index));
                    // The place comes once it is written.
                    value.clear();
                }
                change => record::encode_change(&mut others, key, change.as_deref()),
            }
        }
        for part in record::split(&others) {
            group.record(record::CHANGES, 0, &[part]);
        }
        self.turn = Turn {
            finishes,
            changes,
            messages,
            last: None,
        };
    }

    fn written(&mut self, written: &Written<'_>) {
        for (key, index) in self.turn.messages.drain(..) {
            let place = record::encode_location(written.location(index));
            self.turn.changes.insert(key, Some(place.to_vec()));
        }
        self.turn.last = written.all().last().map(|(_, lsn)| lsn);
    }

    fn settled(&mut self, outcome: &TurnOutcome) {
        let turn = std::mem::take(&mut self.turn);
        let result = match outcome {
            TurnOutcome::Durable { .. } => match turn.last {
                Some(last) => self.index.apply(turn.changes, last.next()),
                None => Ok(()),
            },
            TurnOutcome::Failed { error, .. } => Err(StoreError::Unavailable(error.to_string())),
        };
        for finish in turn.finishes {
            finish(result.clone());
        }
    }
}
