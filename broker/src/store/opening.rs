//! Opening a store: its files, its log, its threads.

use std::sync::Arc;
use std::time::Instant;

use leveret_log::Report;

use crate::model::{Entity, Seq};

use super::Store;
use super::durable::{DurableStore, Parts};
use super::error::StoreError;
use super::files::Layout;
use super::opened::{open_log, read_definitions};
use super::options::StoreOptions;
use super::recovered::Recovered;
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
    report.queues = definitions.iter().filter_map(Entity::queue).count() as u64;
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

/// What the log found, in the store's words.
pub(super) fn report_of(found: &Report, rebuilt: bool) -> RecoveryReport {
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
