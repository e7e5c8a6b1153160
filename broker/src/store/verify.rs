//! Verifying a store without changing it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use leveret_log::RealDisk;

use crate::model::Entity;

use super::catalog::Catalog;
use super::error::StoreError;
use super::files::Layout;
use super::index::Block;
use super::opened::{log_error, log_options, read_definitions};
use super::opening::report_of;
use super::options::{StateSync, StoreOptions};
use super::picture::Picture;
use super::recovery::Recovery;
use super::report::{RecoveryReport, ReportedDamage};
use super::state::State;
use super::swap::StateHandle;

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
    let mut recovery = Recovery::new(
        &state,
        false,
        usize::MAX,
        definitions.0.clone(),
        &mut silent,
    );
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
    report.queues = definitions_now.iter().filter_map(Entity::queue).count() as u64;
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
fn verify_blocks(state: &State, catalog: &Catalog, damage: &mut Vec<ReportedDamage>) {
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
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let name = format!("leveret-verify-{}-{}", std::process::id(), now.as_nanos());
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
