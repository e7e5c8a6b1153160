//! Log and state of a store, opened together.

use std::sync::Arc;

use leveret_log::{Log, OpenError, Options, Report};

use crate::model::{Entity, Operation, QueueId, Seq};

use super::author::{Shared, StoreAuthor};
use super::catalog::Catalog;
use super::definitions::Definitions;
use super::error::StoreError;
use super::files::{self, Layout};
use super::options::{Durability, StoreOptions};
use super::picture::Picture;
use super::recovered::RecoveredQueue;
use super::recovery::Recovery;
use super::repair::repair;
use super::report::ReportedDamage;
use super::swap::StateHandle;

/// Log and state, open, with what they gave.
pub(crate) struct Opened {
    pub(crate) log: Log<StoreAuthor>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) catalog: Catalog,
    /// The number of the next checkpoint.
    pub(crate) epoch: u64,
    pub(crate) definitions_stale: bool,
    pub(crate) rebuilt: bool,
    pub(crate) log_report: Report,
    pub(crate) damage: Vec<ReportedDamage>,
}

impl Opened {
    /// Definitions and queues, and whether a block that was needed could not be read.
    pub(crate) fn picture(&self, state: &StateHandle) -> (Vec<Entity>, Vec<RecoveredQueue>, bool) {
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

    pub(crate) fn repair(&mut self, state: &StateHandle) -> Result<(), StoreError> {
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
    pub(crate) fn flag_everything(
        &self,
        last_places: Vec<(QueueId, Seq)>,
    ) -> Result<(), StoreError> {
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

/// Opens state and log; if a new state cannot be written, what it would hold stays in memory.
pub(crate) fn open_log(
    layout: &Layout,
    options: &StoreOptions,
    state: &Arc<StateHandle>,
    definitions: &(Option<Definitions>, Option<ReportedDamage>),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Opened, StoreError> {
    let mut recovery = Recovery::new(
        state,
        true,
        options.rebuild_messages_max,
        definitions.0.clone(),
        progress,
    );
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
    let mut recovery = Recovery::new(
        state,
        true,
        options.rebuild_messages_max,
        definitions.0.clone(),
        progress,
    );
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
        let ledger = std::mem::take(&mut recovery.ledger);
        let made = Arc::new(Shared::new(ledger, options.disk_free_limit_bytes()));
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

pub(crate) fn read_definitions(
    layout: &Layout,
    options: &StoreOptions,
) -> Result<(Option<Definitions>, Option<ReportedDamage>), StoreError> {
    let Some(bytes) = files::read(&*options.disk, &layout.definitions())? else {
        return Ok((None, None));
    };
    match Definitions::decode(bytes) {
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

pub(crate) fn log_error(layout: &Layout, error: OpenError) -> StoreError {
    match error {
        OpenError::Locked { .. } => StoreError::InUse(layout.root.clone()),
        OpenError::NewerFormat {
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

pub(crate) fn log_options(layout: &Layout, options: &StoreOptions) -> Options {
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
