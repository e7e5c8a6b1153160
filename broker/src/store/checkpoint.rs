//! The checkpoint thread: brings into the state what the log gained, and frees segments.
//!
//! The order is what makes it safe, whatever happens between two steps:
//!
//! ```text
//! sync the log up to L ─► w ─► batches ─► p ─► flush, fdatasync of the state ─► definitions.json
//!   ─► CHECKPOINT record, synced ─► segments freed that hold nothing live as of L, nor since
//! ```
//!
//! A checkpoint that was cut off is harmless: what it wrote is true, and replaying from the last
//! one that was completed changes nothing twice.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use leveret_log::{Checkpoint, CommitError, Log, Lsn};
use parking_lot::Mutex;

use super::CheckpointCallback;
use super::author::{Shared, StoreAuthor};
use super::catalog::{Catalog, Unusable, definition};

use super::definitions;
use super::delta::Delta;
use super::error::StoreError;
use super::files::Layout;
use super::key;
use super::merge::merge;
use super::options::StoreOptions;
use super::recovery::checkpoint_payload;
use super::repair::repair;
use super::report::{CheckpointNews, HeldLevel, ReportedDamage};
use super::signal::Signal;
use super::state::StateError;
use super::summary::{Mark, encode_begun};
use super::swap::StateHandle;

/// After a failure the next try waits this long at first, and twice as long each time,
const RETRY_FIRST: Duration = Duration::from_millis(200);
/// up to this.
const RETRY_LAST: Duration = Duration::from_secs(30);

/// Why a checkpoint was not completed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    #[error("the log fails: {0}")]
    Log(#[from] CommitError),
    #[error("the state fails: {0}")]
    State(#[from] StateError),
    #[error("the state cannot be used: {0}")]
    Unusable(#[from] Unusable),
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// What others may know of the checkpoints.
#[derive(Debug, Default)]
pub(crate) struct CheckpointStatus {
    pub(crate) done: u64,
    pub(crate) failed: Option<String>,
    /// What was found damaged since the store was opened.
    pub(crate) damage: Vec<ReportedDamage>,
}

/// What the checkpoint thread owns.
pub(crate) struct Checkpointer {
    pub(crate) log: Log<StoreAuthor>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: Arc<StateHandle>,
    pub(crate) layout: Layout,
    pub(crate) options: StoreOptions,
    pub(crate) catalog: Catalog,
    /// Whether the catalog says what the state holds.
    pub(crate) catalog_is_true: bool,
    /// The number of the next checkpoint.
    pub(crate) epoch: u64,
    /// Whether `definitions.json` must be written.
    pub(crate) definitions_stale: bool,
    pub(crate) definitions_next_queue: u32,
    /// What was taken from the ledger and is not in the state for certain.
    pub(crate) pending: Vec<Delta>,
    pub(crate) status: Arc<Mutex<CheckpointStatus>>,
    pub(crate) callbacks: Arc<Mutex<Vec<CheckpointCallback>>>,
}

impl Checkpointer {
    /// Runs until told to end.
    pub(crate) fn run(mut self, signals: &mpsc::Receiver<Signal>) {
        let mut due: Option<Instant> = None;
        let mut retry = RETRY_FIRST;
        loop {
            let signal = match due {
                Some(due) => signals.recv_timeout(due.saturating_duration_since(Instant::now())),
                None => signals
                    .recv()
                    .map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            };
            match signal {
                Ok(Signal::Activity) => {
                    let interval = self.options.checkpoint_interval;
                    due = due.or_else(|| Instant::now().checked_add(interval));
                    continue;
                }
                Ok(Signal::Backup(destination, reply)) => {
                    let result = self.guarded(|this| this.backup(&destination));
                    // Whoever asked may have gone.
                    let _ = reply.send(result.map_err(backup_error));
                    continue;
                }
                Ok(Signal::Ping(reply)) => {
                    // Whoever asked may have gone.
                    let _ = reply.send(());
                    continue;
                }
                Ok(Signal::Repair(again)) => {
                    if let Err(error) = self.guarded(Self::repair) {
                        tracing::error!(%error, "the index cannot be repaired");
                    }
                    again();
                    continue;
                }
                Ok(Signal::DiskFull) => {
                    self.use_reserve();
                    continue;
                }
                Ok(Signal::Close) => {
                    if let Err(error) = self.log.sync() {
                        tracing::warn!(%error, "the last operations were not synced");
                    }
                    if let Err(error) = self.guarded(Self::checkpoint) {
                        tracing::warn!(%error, "the last checkpoint was not completed");
                    }
                    return;
                }
                Ok(Signal::Abort) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Ok(Signal::Checkpoint) | Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            due = None;
            match self.guarded(Self::maintain) {
                Ok(()) => retry = RETRY_FIRST,
                Err(error) => {
                    tracing::error!(%error, "a checkpoint was not completed; the log grows");
                    due = Instant::now().checked_add(retry);
                    retry = (retry * 2).min(RETRY_LAST);
                }
            }
        }
    }

    /// Runs `work`; a panic in it is an error like others.
    fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, CheckpointError>,
    ) -> Result<T, CheckpointError> {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(self)));
        let result = caught.unwrap_or_else(|_| {
            let text = "the checkpoint thread panicked".to_owned();
            Err(StateError::Failed(text).into())
        });
        if let Err(CheckpointError::State(_) | CheckpointError::Unusable(_)) = &result {
            // Its errors stick: it has to be opened again. What it holds then is read anew.
            self.state.close();
            self.catalog_is_true = false;
        }
        let mut status = self.status.lock();
        status.failed = result.as_ref().err().map(ToString::to_string);
        drop(status);
        result
    }

    fn maintain(&mut self) -> Result<(), CheckpointError> {
        self.checkpoint()?;
        self.clean()?;
        self.state.shrink()?;
        self.keep_reserve();
        Ok(())
    }

    /// Restores damaged blocks out of the log.
    fn repair(&mut self) -> Result<(), CheckpointError> {
        self.load_again()?;
        let state = self.state.get()?;
        self.catalog_is_true = false;
        let repaired = repair(&self.log, &state, &mut self.catalog, self.epoch)?;
        self.catalog_is_true = true;
        for damage in &repaired {
            tracing::error!(what = %damage.what, consequence = %damage.consequence, "repaired");
        }
        self.status.lock().damage.extend(repaired);
        Ok(())
    }

    /// Takes a checkpoint, if there is anything to bring into the state.
    pub(crate) fn checkpoint(&mut self) -> Result<(), CheckpointError> {
        match self.try_checkpoint() {
            Err(CheckpointError::State(StateError::Damaged(_))) => {
                self.repair()?;
                self.try_checkpoint()
            }
            result => result,
        }
    }

    fn try_checkpoint(&mut self) -> Result<(), CheckpointError> {
        let next_queue = self.take();
        if self.pending.is_empty() && !self.definitions_stale {
            return Ok(());
        }
        self.load_again()?;
        let below = self.shared_end();
        self.log.sync_up_to(below.before())?;
        let (held, defined) = self.write_state(below, next_queue)?;
        if defined || self.definitions_stale || next_queue != self.definitions_next_queue {
            self.write_definitions(below, next_queue)?;
        }
        self.free(below, next_queue)?;
        self.pending.clear();
        self.epoch += 1;
        self.status.lock().done += 1;
        self.announce(held);
        Ok(())
    }

    /// Takes what the log gained, and gives the number of the next queue.
    fn take(&mut self) -> u32 {
        let mut ledger = self.shared.ledger.lock();
        if !ledger.delta.is_empty() {
            let delta = ledger.take();
            self.pending.push(delta);
        }
        ledger.next_queue
    }

    /// Everything below this is in the state or pending.
    fn shared_end(&self) -> Lsn {
        let last = self.pending.last().map(|delta| delta.end);
        last.unwrap_or(self.catalog.mark.below)
    }

    /// Reads the catalog anew if an error has left it untrue.
    fn load_again(&mut self) -> Result<(), CheckpointError> {
        if self.catalog_is_true {
            return Ok(());
        }
        let state = self.state.get()?;
        match Catalog::load(&state)? {
            Some(catalog) if catalog.mark.epoch + 1 >= self.epoch => self.catalog = catalog,
            // Nothing was ever completed: then the pending deltas begin with the log.
            None if self.epoch == 1 => self.catalog = Catalog::default(),
            Some(_) | None => return Err(Unusable::Empty.into()),
        }
        self.catalog_is_true = true;
        Ok(())
    }

    fn write_state(
        &mut self,
        below: Lsn,
        next_queue: u32,
    ) -> Result<(Vec<HeldLevel>, bool), CheckpointError> {
        let state = self.state.get()?;
        self.catalog_is_true = false;
        state.apply(&[(vec![key::BEGUN], Some(encode_begun(self.epoch)))])?;
        let mut held = Vec::new();
        let mut defined = false;
        for delta in &self.pending {
            held.append(&mut merge(&state, &mut self.catalog, delta)?);
            defined |= !delta.entities.is_empty();
        }
        let (values, sum) = self.catalog.sum();
        let mark = Mark {
            epoch: self.epoch,
            below,
            highest: self.log.last_written_lsn(),
            next_queue,
            values,
            sum,
        };
        state.apply(&[(vec![key::DONE], Some(mark.encode()))])?;
        state.0.sync()?;
        self.catalog.mark = mark;
        self.catalog_is_true = true;
        Ok((held, defined))
    }

    fn write_definitions(&mut self, below: Lsn, next_queue: u32) -> Result<(), CheckpointError> {
        self.definitions_stale = true;
        let state = self.state.get()?;
        let all = self.catalog.ordered();
        definitions::write(
            &*self.options.disk,
            &self.layout.definitions(),
            (below, next_queue),
            all.into_iter()
                .map(|named| definition(&state, named).map_err(CheckpointError::from)),
        )?;
        self.definitions_stale = false;
        self.definitions_next_queue = next_queue;
        Ok(())
    }

    /// Writes the CHECKPOINT record and frees what nothing needs.
    fn free(&self, below: Lsn, next_queue: u32) -> Result<(), CheckpointError> {
        let pinned: Vec<_> = self.catalog.segments.keys().copied().collect();
        let checkpoint = Checkpoint {
            epoch: self.epoch,
            below,
            payload: checkpoint_payload(next_queue),
        };
        self.log.checkpoint(checkpoint, move |author, segment| {
            author.keeps(segment.id, pinned.binary_search(&segment.id).is_ok())
        })?;
        Ok(())
    }

    fn announce(&self, mut held: Vec<HeldLevel>) {
        held.sort_by_key(|level| (level.queue, level.level, level.up_to));
        held.dedup_by(|next, kept| {
            let same = (next.queue, next.level) == (kept.queue, kept.level);
            if same {
                kept.up_to = kept.up_to.max(next.up_to);
            }
            same
        });
        let news = CheckpointNews { held };
        for callback in self.callbacks.lock().iter() {
            callback(&news);
        }
    }
}

fn backup_error(error: CheckpointError) -> StoreError {
    match error {
        CheckpointError::Store(error) => error,
        error => StoreError::Log(error.to_string()),
    }
}
