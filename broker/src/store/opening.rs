//! Opening a store, and verifying one without changing it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use leveret_log::{Log, Options, RealDisk, Report};

use crate::model::{Entity, Operation, QueueId, Seq};

use super::Store;
use super::author::{Shared, StoreAuthor};
use super::catalog::Catalog;
use super::durable::{DurableStore, Parts};
use super::error::StoreError;
use super::files::{self, Definitions, Layout};
use super::index::Block;
use super::options::{Durability, StateSync, StoreOptions};
use super::picture::Picture;
use super::recovered::{Recovered, RecoveredQueue};
use super::recovery::Recovery;
use super::repair::repair;
use super::report::{RecoveryReport, ReportedDamage};
use super::swap::StateHandle;

/// Opens the store in a folder, or makes an empty one, and says what there is. `progress` is told
/// how many bytes of log were read, and of how many.
///
/// # Errors
///
/// If the folder is in use, of a newer version, or cannot be read or written. Damage is no error:
/// it is in the report.
pub fn open(
    options: StoreOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Arc<dyn Store>, Recovered), StoreError> {
    let begun = Instant::now();
    let layout = Layout {
        root: options.directory.clone(),
    };
    let lock = layout.lock(&*options.disk)?;
    layout.check_format(&*options.disk)?;
    let definitions = read_definitions(&layout, &options)?;
    let state = Arc::new(StateHandle::open(
        layout.clone(),
        options.state_sync.clone(),
    )?);
    let mut opened = open_log(&layout, &options, &state, &definitions, progress)?;
    layout.stamp_format(&*options.disk)?;
    let (mut definitions, mut queues, unreadable) = opened.picture(&state);
    if unreadable {
        opened.repair(&state)?;
        (definitions, queues, _) = opened.picture(&state);
    }
    let mut report = report_of(&opened.log_report, opened.rebuilt);
    report.damage.append(&mut opened.damage);
    for queue in &queues {
        report.messages += queue.ready_count;
        report.bytes += queue.ready_bytes;
    }
    report.queues = queues.len() as u64;
    if opened.rebuilt {
        let last_places = queues.iter().flat_map(|queue| {
            let used = queue.levels.iter().filter(|level| level.next_position > 0);
            used.map(|level| (queue.id, Seq::new(level.level, level.next_position - 1)))
        });
        opened.flag_everything(last_places.collect())?;
    }
    report.milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    log_report(&report);
    let report = Arc::new(report);
    let damaged = !opened.log_report.damage.is_empty();
    let store = DurableStore::start(Parts {
        opened,
        layout,
        options,
        state,
        lock,
        report: report.clone(),
    })?;
    if damaged {
        store.checkpoint_now();
    }
    let recovered = Recovered {
        definitions,
        queues,
        report,
    };
    Ok((Arc::new(store), recovered))
}

/// Reads and judges a store that nobody has open, as opening it would, and changes nothing.
///
/// # Errors
///
/// If the folder is in use, of a newer version, or cannot be read.
pub fn verify(directory: &Path) -> Result<RecoveryReport, StoreError> {
    let begun = Instant::now();
    let layout = Layout {
        root: directory.to_path_buf(),
    };
    let options = StoreOptions::new(directory);
    layout.check_format(&RealDisk)?;
    let definitions = read_definitions(&layout, &options)?;
    // sled writes when it opens: it is given a copy.
    let copy = Scratch::of(&layout)?;
    let state = StateHandle::open(copy.0.clone(), StateSync::default())?;
    let mut silent = |_, _| {};
    let mut recovery = Recovery::new(&state, false, definitions.0.clone(), &mut silent);
    recovery.load();
    let log_options = log_options(&layout, &options);
    let inspected = leveret_log::inspect(Arc::new(RealDisk), &log_options, &mut recovery);
    let log_report = inspected.map_err(|error| log_error(&layout, error))?;
    recovery.finish();
    let mut report = report_of(&log_report, recovery.rebuilding);
    report.damage.extend(definitions.1);
    report.damage.append(&mut recovery.damage);
    let opened = state.get().ok().filter(|_| !recovery.rebuilding);
    let mut picture = Picture {
        state: opened.as_ref(),
        catalog: &recovery.catalog,
        delta: &recovery.ledger.delta,
        rebuilt: recovery.rebuilding,
        damage: Vec::new(),
    };
    let definitions_now = picture.definitions();
    let queues = picture.queues(&definitions_now);
    report.queues = queues.len() as u64;
    for queue in &queues {
        report.messages += queue.ready_count;
        report.bytes += queue.ready_bytes;
    }
    if let Some(opened) = &opened {
        verify_blocks(opened, &recovery.catalog, &mut report.damage);
    }
    report.milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

/// Reads every block, which opening a store does not.
fn verify_blocks(state: &super::state::State, catalog: &Catalog, damage: &mut Vec<ReportedDamage>) {
    for (queue, held) in &catalog.queues {
        let mut live = 0;
        let mut bad = false;
        for (level, held) in &held.levels {
            for number in held.blocks.iter().flat_map(|(first, last)| first..=last) {
                match Block::read(state, *queue, *level, number) {
                    Ok(Some(block)) => live += block.live().count() as u64,
                    Ok(None) | Err(_) => {
                        bad = true;
                        damage.push(ReportedDamage {
                            what: format!("block {number} of level {level} of queue {}", queue.0),
                            reason: "it is missing, or its checksum fails".to_owned(),
                            consequence: "it is restored from the log when it is needed".to_owned(),
                            quarantined: None,
                        });
                    }
                }
            }
        }
        if !bad && live != held.count {
            damage.push(ReportedDamage {
                what: format!("queue {}", queue.0),
                reason: format!("it has {live} messages and should have {}", held.count),
                consequence: "settled messages may come back".to_owned(),
                quarantined: None,
            });
        }
    }
}

/// A folder with a copy of the state, gone when dropped.
struct Scratch(Layout);

impl Scratch {
    fn of(layout: &Layout) -> Result<Self, StoreError> {
        let mut random = [0; 8];
        // Two verifications at once need two names; a bad random number costs no more than that.
        let _ = getrandom::fill(&mut random);
        let name = format!("leveret-verify-{:016x}", u64::from_le_bytes(random));
        let root = std::env::temp_dir().join(name);
        let scratch = Self(Layout { root });
        let failed = |source| StoreError::io("copy the state to", &scratch.0.root, source);
        fs::create_dir_all(&scratch.0.root).map_err(failed)?;
        for (from, to) in [
            (layout.state(), scratch.0.state()),
            (layout.state_old(), scratch.0.state_old()),
        ] {
            if from.is_dir() {
                copy_folder(&from, &to).map_err(failed)?;
            }
        }
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left in the folder for temporary files is the system's to clean.
        let _ = fs::remove_dir_all(&self.0.root);
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Log and state, open, with what they gave.
pub(crate) struct Opened {
    pub(crate) log: Log<StoreAuthor>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) catalog: Catalog,
    /// The number of the next checkpoint.
    pub(crate) epoch: u64,
    pub(crate) definitions_stale: bool,
    rebuilt: bool,
    log_report: Report,
    damage: Vec<ReportedDamage>,
}

impl Opened {
    /// Definitions and queues, and whether a block that was needed could not be read.
    fn picture(&self, state: &StateHandle) -> (Vec<Entity>, Vec<RecoveredQueue>, bool) {
        let opened = state.get().ok();
        let ledger = self.shared.ledger.lock();
        let mut picture = Picture {
            state: opened.as_ref(),
            catalog: &self.catalog,
            delta: &ledger.delta,
            rebuilt: self.rebuilt,
            damage: Vec::new(),
        };
        let definitions = picture.definitions();
        let queues = picture.queues(&definitions);
        let unreadable = !picture.damage.is_empty();
        (definitions, queues, unreadable)
    }

    fn repair(&mut self, state: &StateHandle) -> Result<(), StoreError> {
        let repaired = state
            .get()
            .and_then(|state| repair(&self.log, &state, &mut self.catalog, self.epoch));
        self.damage
            .extend(repaired.map_err(|error| StoreError::State {
                path: state.path(),
                reason: error.to_string(),
            })?);
        Ok(())
    }

    /// After a rebuild nobody knows what was delivered: everything counts as delivered, durably,
    /// before anything is served.
    fn flag_everything(&self, last_places: Vec<(QueueId, Seq)>) -> Result<(), StoreError> {
        let mut operations: Vec<Operation> = last_places
            .into_iter()
            .map(|(queue, up_to)| Operation::Delivered { queue, up_to })
            .collect();
        self.log.submit(&mut operations);
        let synced = self.log.sync();
        synced.map_err(|error| StoreError::Log(error.to_string()))?;
        Ok(())
    }
}

fn open_log(
    layout: &Layout,
    options: &StoreOptions,
    state: &Arc<StateHandle>,
    definitions: &(Option<Definitions>, Option<ReportedDamage>),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Opened, StoreError> {
    let mut recovery = Recovery::new(state, true, definitions.0.clone(), progress);
    recovery.load();
    let opened = run_recovery(layout, options, &mut recovery)?;
    let (failed, damage) = (recovery.failed.take(), std::mem::take(&mut recovery.damage));
    let Some(error) = failed else {
        return Ok(complete(opened, recovery, definitions, damage));
    };
    // The new state could not be completed: once more, into memory.
    tracing::error!(%error, "the state cannot be rebuilt on disk, and is rebuilt in memory");
    drop(recovery);
    opened.0.shutdown();
    drop(opened);
    state.discard()?;
    let mut recovery = Recovery::new(state, true, definitions.0.clone(), progress);
    recovery.load_again(damage);
    let opened = run_recovery(layout, options, &mut recovery)?;
    let damage = std::mem::take(&mut recovery.damage);
    Ok(complete(opened, recovery, definitions, damage))
}

type LogOpened = (Log<StoreAuthor>, Arc<Shared>, Report);

fn run_recovery(
    layout: &Layout,
    options: &StoreOptions,
    recovery: &mut Recovery<'_>,
) -> Result<LogOpened, StoreError> {
    let mut shared = None;
    let author = |recovery: &mut Recovery<'_>| {
        recovery.finish();
        let made = Arc::new(Shared::new(std::mem::take(&mut recovery.ledger)));
        shared = Some(made.clone());
        StoreAuthor::new(made, options.checkpoint_bytes)
    };
    let log_options = log_options(layout, options);
    let opened = Log::open(options.disk.clone(), log_options, author, recovery);
    let (log, report) = opened.map_err(|error| log_error(layout, error))?;
    let shared = shared.ok_or(StoreError::Closed)?;
    Ok((log, shared, report))
}

fn complete(
    opened: LogOpened,
    recovery: Recovery<'_>,
    definitions: &(Option<Definitions>, Option<ReportedDamage>),
    mut damage: Vec<ReportedDamage>,
) -> Opened {
    let (log, shared, log_report) = opened;
    damage.extend(definitions.1.clone());
    Opened {
        log,
        shared,
        epoch: recovery.epoch.saturating_add(1),
        definitions_stale: definitions.0.is_none() || recovery.rebuilding,
        rebuilt: recovery.rebuilding,
        catalog: recovery.catalog,
        log_report,
        damage,
    }
}

fn read_definitions(
    layout: &Layout,
    options: &StoreOptions,
) -> Result<(Option<Definitions>, Option<ReportedDamage>), StoreError> {
    let Some(bytes) = files::read(&*options.disk, &layout.definitions())? else {
        return Ok((None, None));
    };
    match Definitions::decode(&bytes) {
        Ok(definitions) => Ok((Some(definitions), None)),
        Err(reason) => Ok((
            None,
            Some(ReportedDamage {
                what: "definitions.json".to_owned(),
                reason,
                consequence: "none while the state is good; it is written anew".to_owned(),
                quarantined: None,
            }),
        )),
    }
}

fn log_error(layout: &Layout, error: leveret_log::OpenError) -> StoreError {
    match error {
        leveret_log::OpenError::Locked { .. } => StoreError::InUse(layout.root.clone()),
        leveret_log::OpenError::NewerFormat {
            path,
            found,
            supported,
        } => StoreError::Newer {
            path,
            found: u32::from(found),
            supported: u32::from(supported),
        },
        error => StoreError::Log(error.to_string()),
    }
}

fn log_options(layout: &Layout, options: &StoreOptions) -> Options {
    let mut log = Options::new(layout.log());
    log.quarantine = layout.quarantine();
    log.durability = match options.durability {
        Durability::Commit => leveret_log::Durability::Commit,
        Durability::Interval(interval) => leveret_log::Durability::Interval(interval),
        Durability::OperatingSystem => leveret_log::Durability::Os,
    };
    log.segment_bytes_min = options.segment_bytes_min;
    log.segment_bytes_max = options.segment_bytes_max;
    "store-commit".clone_into(&mut log.thread_name);
    log
}

/// What the log found, in the store's words.
fn report_of(found: &Report, rebuilt: bool) -> RecoveryReport {
    let cut: Vec<String> = found
        .cut
        .iter()
        .map(|cut| {
            let last = cut
                .last_lsn
                .map_or("unknown".to_owned(), |lsn| lsn.to_string());
            format!(
                "segment {} at {}: records {} to {last}",
                cut.segment, cut.offset, cut.first_lsn
            )
        })
        .collect();
    let damage = found.damage.iter().map(|damage| ReportedDamage {
        what: format!(
            "segment {}, {} bytes at {}",
            damage.segment, damage.bytes, damage.offset
        ),
        reason: format!("{:?}", damage.kind),
        consequence: format!(
            "records {} to {} are lost, but for {} of them",
            damage.first_lsn, damage.last_lsn, damage.kept
        ),
        quarantined: damage
            .quarantined
            .as_ref()
            .map(|path| path.display().to_string()),
    });
    RecoveryReport {
        records_read: found.records,
        cut,
        rebuilt,
        damage: damage.collect(),
        ..RecoveryReport::default()
    }
}

fn log_report(report: &RecoveryReport) {
    tracing::info!(
        messages = report.messages,
        queues = report.queues,
        records = report.records_read,
        milliseconds = report.milliseconds,
        "the store is open"
    );
    for cut in &report.cut {
        tracing::warn!(%cut, "the end of the log was cut: it was being written, or is damaged");
    }
    for damage in &report.damage {
        tracing::error!(
            what = %damage.what,
            reason = %damage.reason,
            consequence = %damage.consequence,
            quarantined = damage.quarantined.as_deref().unwrap_or("nothing"),
            "something failed its check"
        );
    }
}
