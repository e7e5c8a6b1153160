//! Opening a store: what log and state say together.
//!
//! 1. The state is opened and verified. If it is bad, or older than the log's last checkpoint, it
//!    is put aside, and the whole log gives everything back but the settlements that only the
//!    state knew.
//! 2. The log judges its chain of groups and hands over what the state lacks.
//! 3. What was handed over becomes the first delta; queues are told which blocks exist, and what
//!    is to be added to them and left out. No block is read that the delta does not touch.

use std::collections::BTreeSet;
use std::fmt;

use leveret_log::{CheckpointFound, Location, Lsn, Replay};

use crate::model::{EntityChange, QueueId};

use super::catalog::{Catalog, Unusable};
use super::definitions::Definitions;
use super::delta::Ledger;
use super::error::StoreError;
use super::key;
use super::merge::merge;
use super::ranges::RangeSet;
use super::record::{self, Record};
use super::report::ReportedDamage;
use super::state::State;
use super::summary::{Mark, decode_begun, encode_begun};
use super::swap::StateHandle;

/// The number that a CHECKPOINT record carries for the store: the next queue's.
pub(crate) fn checkpoint_payload(next_queue: u32) -> Vec<u8> {
    next_queue.to_le_bytes().to_vec()
}

/// Takes what the log hands over and finds out what there is.
pub(crate) struct Recovery<'a> {
    state: &'a StateHandle,
    /// Whether a bad state may be put aside and a new one written.
    may_write: bool,
    /// So many messages are held in memory before they are brought into a new state.
    messages_max: usize,
    progress: &'a mut dyn FnMut(u64, u64),
    definitions: Option<Definitions>,
    pub(crate) catalog: Catalog,
    pub(crate) ledger: Ledger,
    /// Whether the state has never seen a checkpoint.
    new: bool,
    /// Whether the state was bad, so that the log gives everything back.
    pub(crate) rebuilding: bool,
    /// Whether what is rebuilt stays in memory, since it cannot be written.
    in_memory: bool,
    /// The highest number of a checkpoint seen anywhere.
    pub(crate) epoch: u64,
    synced_below: Lsn,
    highest: Lsn,
    /// Segments whose records were handed over.
    seen: RangeSet,
    /// Queues that messages speak of and no definition does.
    strangers: BTreeSet<QueueId>,
    removed: BTreeSet<QueueId>,
    undecodable: u64,
    /// Why everything has to be read once more, into memory alone.
    pub(crate) failed: Option<StoreError>,
    pub(crate) damage: Vec<ReportedDamage>,
}

impl fmt::Debug for Recovery<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Recovery")
            .field("rebuilding", &self.rebuilding)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl<'a> Recovery<'a> {
    pub(crate) fn new(
        state: &'a StateHandle,
        may_write: bool,
        messages_max: usize,
        definitions: Option<Definitions>,
        progress: &'a mut dyn FnMut(u64, u64),
    ) -> Self {
        let below = definitions.as_ref().map_or(Lsn(0), Definitions::lsn);
        let next_queue = definitions.as_ref().map_or(0, Definitions::next_queue);
        Self {
            state,
            may_write,
            messages_max,
            progress,
            definitions,
            catalog: Catalog::default(),
            ledger: Ledger {
                next_queue,
                ..Ledger::default()
            },
            new: false,
            rebuilding: false,
            in_memory: !may_write,
            epoch: 0,
            synced_below: below,
            highest: below,
            seen: RangeSet::default(),
            strangers: BTreeSet::new(),
            removed: BTreeSet::new(),
            undecodable: 0,
            failed: None,
            damage: Vec::new(),
        }
    }

    /// Reads the state, as far as it can be read.
    pub(crate) fn load(&mut self) {
        let state = match self.state.get() {
            Ok(state) => state,
            Err(error) => return self.rebuild(&Unusable::State(error)),
        };
        self.load_marks(&state);
        match Catalog::load(&state) {
            Ok(Some(catalog)) => {
                self.ledger.known = catalog.defined_queues().into_iter().collect();
                self.ledger.delta.end = catalog.mark.below;
                self.catalog = catalog;
            }
            Ok(None) => self.new = true,
            Err(unusable) => self.rebuild(&unusable),
        }
    }

    /// Rebuilds into memory, after rebuilding into a new state failed.
    pub(crate) fn load_again(&mut self, damage: Vec<ReportedDamage>) {
        self.rebuilding = true;
        self.in_memory = true;
        self.damage = damage;
        self.put_definitions();
    }

    /// What the state says of checkpoints was true once, even if the rest is bad.
    fn load_marks(&mut self, state: &State) {
        if let Ok(Some(bytes)) = state.get(&[key::BEGUN])
            && let Ok(epoch) = decode_begun(&bytes)
        {
            self.epoch = self.epoch.max(epoch);
        }
        if let Ok(Some(bytes)) = state.get(&[key::DONE])
            && let Ok(mark) = Mark::decode(&bytes)
        {
            self.epoch = self.epoch.max(mark.epoch);
            self.synced_below = self.synced_below.max(mark.below);
            self.highest = self.highest.max(mark.highest).max(mark.below);
            self.ledger.next_queue = self.ledger.next_queue.max(mark.next_queue);
        }
    }

    /// The state is bad: the log and `definitions.json` have to give everything back.
    fn rebuild(&mut self, reason: &Unusable) {
        self.rebuilding = true;
        self.new = false;
        self.catalog = Catalog::default();
        self.ledger = Ledger {
            next_queue: self.ledger.next_queue,
            ..Ledger::default()
        };
        let quarantined = self.put_aside();
        self.damage.push(ReportedDamage {
            what: "the state".to_owned(),
            reason: reason.to_string(),
            consequence: "messages whose settlement was in it alone come back; all are flagged \
                          redelivered"
                .to_owned(),
            quarantined,
        });
        self.put_definitions();
    }

    fn put_definitions(&mut self) {
        let Some(definitions) = &self.definitions else {
            return;
        };
        match definitions.entities() {
            Ok(entities) => {
                for entity in entities {
                    self.ledger.entity(EntityChange::Put(entity));
                }
            }
            Err(reason) => {
                self.definitions = None;
                self.damage.push(ReportedDamage {
                    what: "definitions.json".to_owned(),
                    reason,
                    consequence: "the log alone says what is defined".to_owned(),
                    quarantined: None,
                });
            }
        }
    }

    fn put_aside(&mut self) -> Option<String> {
        if !self.may_write {
            return None;
        }
        match self.state.put_aside() {
            Ok(path) => path.map(|path| path.display().to_string()),
            Err(error) => {
                self.in_memory = true;
                self.failed = Some(error);
                None
            }
        }
    }

    /// Brings what was read so far into the new state, so that memory does not have to hold it.
    fn spill(&mut self) {
        let delta = self.ledger.take();
        let epoch = self.epoch.saturating_add(1);
        let result = self.state.get().and_then(|state| {
            let begun = (vec![key::BEGUN], Some(encode_begun(epoch)));
            state.apply(&[begun])?;
            merge(&state, &mut self.catalog, &delta)
        });
        if let Err(error) = result {
            // The catalog is no longer true: everything has to be read once more.
            self.in_memory = true;
            self.failed = Some(StoreError::State {
                path: self.state.path(),
                reason: error.to_string(),
            });
        }
    }

    fn apply(&mut self, lsn: Lsn, location: Location, record: Record) {
        if !self.rebuilding {
            self.ledger.replay(lsn, location, record);
            return;
        }
        let segment = u64::from(location.segment.0);
        self.seen.insert(segment, segment);
        self.note_strangers(&record);
        match record {
            // The file knows these already, and what came of them.
            Record::Entity { next_queue, .. } if lsn < self.definitions_lsn() => {
                self.ledger.next_queue = self.ledger.next_queue.max(next_queue);
            }
            // Its body was in a segment that was freed: it was settled, and only the state knew.
            Record::Enqueue { message, .. }
                if !self.seen.contains(u64::from(message.location.segment.0)) => {}
            record => self.ledger.replay(lsn, location, record),
        }
        if !self.in_memory && self.ledger.delta.noted > self.messages_max {
            self.spill();
        }
    }

    fn definitions_lsn(&self) -> Lsn {
        self.definitions.as_ref().map_or(Lsn(0), Definitions::lsn)
    }

    /// Without `definitions.json` the log alone names the queues, and it may have forgotten some.
    fn note_strangers(&mut self, record: &Record) {
        if self.definitions.is_some() {
            return;
        }
        match record {
            Record::Message { targets, .. } => {
                for target in targets {
                    self.note_stranger(target.queue);
                }
            }
            Record::Enqueue { target, .. } => self.note_stranger(target.queue),
            Record::Entity { change, .. } => self.removed.extend(change.queue()),
            Record::Settle { .. } | Record::Requeue { .. } | Record::Delivered { .. } => {}
        }
    }

    fn note_stranger(&mut self, queue: QueueId) {
        if !self.ledger.known.contains(&queue) {
            self.strangers.insert(queue);
        }
    }

    /// Everything was handed over.
    pub(crate) fn finish(&mut self) {
        let strangers: Vec<u32> = self
            .strangers
            .difference(&self.removed)
            .map(|q| q.0)
            .collect();
        if !strangers.is_empty() {
            self.damage.push(ReportedDamage {
                what: "the definitions".to_owned(),
                reason: format!(
                    "the log has messages of queues that nothing defines: {strangers:?}"
                ),
                consequence: "these queues are lost unless a backup of definitions.json is put in \
                              place"
                    .to_owned(),
                quarantined: None,
            });
        }
        if self.undecodable > 0 {
            self.damage.push(ReportedDamage {
                what: "the log".to_owned(),
                reason: format!(
                    "{} records have a good checksum and no known meaning",
                    self.undecodable
                ),
                consequence: "what they said is ignored".to_owned(),
                quarantined: None,
            });
        }
    }
}

impl Replay for Recovery<'_> {
    fn synced_below(&self) -> Lsn {
        self.synced_below
    }

    fn highest_lsn(&self) -> Lsn {
        self.highest
    }

    fn checkpoint_found(&mut self, checkpoint: &CheckpointFound) {
        self.epoch = self.epoch.max(checkpoint.epoch);
        if let Ok(bytes) = checkpoint.payload.as_slice().try_into() {
            self.ledger.next_queue = self.ledger.next_queue.max(u32::from_le_bytes(bytes));
        }
        let mark = self.catalog.mark;
        if self.rebuilding {
            return;
        }
        if self.new {
            self.rebuild(&Unusable::Empty);
        } else if (mark.epoch, mark.below) < (checkpoint.epoch, checkpoint.below) {
            self.rebuild(&Unusable::Older {
                found: mark.epoch,
                expected: checkpoint.epoch,
            });
        }
    }

    fn from(&self) -> Lsn {
        // A state that is being rebuilt, or new, has no mark.
        self.catalog.mark.below
    }

    fn record(&mut self, lsn: Lsn, location: Location, kind: u8, _flags: u8, payload: &[u8]) {
        match record::decode(kind, payload) {
            Ok(Some(record)) => self.apply(lsn, location, record),
            Ok(None) | Err(_) => self.undecodable += 1,
        }
    }

    fn progress(&mut self, bytes_done: u64, bytes_total: u64) {
        (self.progress)(bytes_done, bytes_total);
    }
}
