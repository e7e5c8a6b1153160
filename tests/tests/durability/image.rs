//! What a crash leaves, and opening it again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use leveret::model::{Entity, QueueId, Seq};
use leveret::store::{
    self, BlockEntry, RecoveredQueue, StateSync, Store, StoreError, StoreOptions,
};
use leveret_log::simulated::{PowerLoss, SimulatedDisk};

use super::reference::{Found, Reference};

/// Which state a crash leaves beside the log.
#[derive(Clone, Debug)]
pub(crate) enum StateLeft {
    /// The one that was synced last.
    Synced(Option<PathBuf>),
    /// An older one: the engine went back, or lost everything.
    Older(Option<PathBuf>),
}

/// A crash: what was on the disks, and what had been promised.
pub(crate) struct Image {
    /// For messages: when in the run it was taken.
    pub(crate) name: String,
    /// Everything but the state.
    pub(crate) disk: SimulatedDisk,
    /// The state.
    pub(crate) state: StateLeft,
    /// What had been promised.
    pub(crate) reference: Reference,
}

/// The options of all stores here: small segments, checkpoints only on demand.
pub(crate) fn options(
    directory: &Path,
    disk: &SimulatedDisk,
    state_sync: StateSync,
) -> StoreOptions {
    let mut options = StoreOptions::new(directory);
    options.checkpoint_interval = Duration::from_secs(3600);
    options.segment_bytes_min = 16 << 10;
    options.segment_bytes_max = 16 << 10;
    options.cleaning_segments_min = 2;
    options.rebuild_messages_max = 25;
    options.disk = Arc::new(disk.clone());
    options.state_sync = state_sync;
    options
}

/// Copies the files of a state, not its folders: the engine has none that matter here.
pub(crate) fn copy_state(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the copy's folder is made");
    for entry in fs::read_dir(from).expect("the state can be listed") {
        let entry = entry.expect("the state can be listed");
        if entry.path().is_file() {
            // A snapshot may be renamed meanwhile; it is no part of what was synced.
            let _ = fs::copy(entry.path(), to.join(entry.file_name()));
        }
    }
}

impl Image {
    /// Opens what the crash left, twice with another crash in between, and says what is wrong.
    pub(crate) fn faults(&self, directory: &Path) -> Vec<String> {
        self.lay_out(directory);
        // Opening writes: the image itself stays as it is.
        let disk = self.disk.image(PowerLoss::process_death());
        let first = self.open_and_judge(directory, &disk);
        if !first.is_empty() {
            return first;
        }
        // Power is lost right after recovery: what that did not sync is gone again. The state was
        // written by nobody but recovery.
        let second = disk.image(PowerLoss::unsynced());
        let again = self.open_and_judge(directory, &second);
        again
            .into_iter()
            .map(|fault| format!("after a second crash: {fault}"))
            .collect()
    }

    /// Opens it with a byte of one of the log's files changed; says what is wrong and was not told.
    pub(crate) fn silent_faults_of_log(
        &self,
        directory: &Path,
        file: &Path,
        offset: u64,
        byte: u8,
    ) -> Vec<String> {
        self.lay_out(directory);
        let disk = self.disk.image(PowerLoss::process_death());
        disk.corrupt(file, offset, &[byte])
            .expect("the file is there");
        self.silent_faults(directory, &disk)
    }

    /// The bytes of the state that hold something.
    pub(crate) fn state_bytes(&self) -> usize {
        let (StateLeft::Synced(copy) | StateLeft::Older(copy)) = &self.state;
        let file = copy.as_ref().map(|copy| copy.join("db"));
        let content = file.map(|file| fs::read(file).expect("the state is there"));
        let content = content.unwrap_or_default();
        content
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1)
    }

    /// Opens it with a byte of the state changed; says what is wrong and was not told.
    pub(crate) fn silent_faults_of_state(
        &self,
        directory: &Path,
        offset: usize,
        mask: u8,
    ) -> Vec<String> {
        self.lay_out(directory);
        let file = directory.join("state").join("db");
        let mut content = fs::read(&file).expect("the state is there");
        content[offset] ^= mask;
        fs::write(&file, content).expect("the state can be written");
        let disk = self.disk.image(PowerLoss::process_death());
        self.silent_faults(directory, &disk)
    }

    /// Damage may cost something, but then it is told, and nothing is ever made up.
    fn silent_faults(&self, directory: &Path, disk: &SimulatedDisk) -> Vec<String> {
        let found = match look(directory, disk) {
            Ok(found) => found,
            Err(error) => return vec![format!("G5: it does not open: {error}")],
        };
        let was_told = found.rebuilt || found.cut || !found.damage.is_empty();
        let mut faults = self.reference.faults(&found);
        faults.retain(|fault| !was_told || fault.starts_with("G4"));
        faults
    }

    fn lay_out(&self, directory: &Path) {
        if directory.exists() {
            fs::remove_dir_all(directory).expect("the folder can be emptied");
        }
        fs::create_dir_all(directory).expect("the folder is made");
        let (StateLeft::Synced(copy) | StateLeft::Older(copy)) = &self.state;
        if let Some(copy) = copy {
            copy_state(copy, &directory.join("state"));
        }
    }

    fn open_and_judge(&self, directory: &Path, disk: &SimulatedDisk) -> Vec<String> {
        let found = match look(directory, disk) {
            Ok(found) => found,
            Err(error) => return vec![format!("G5: it does not open: {error}")],
        };
        let mut faults = self.reference.faults(&found);
        faults.extend(
            found
                .damage
                .iter()
                .map(|damage| format!("damage: {damage}")),
        );
        if found.rebuilt && matches!(self.state, StateLeft::Synced(_)) {
            faults.push("the state was synced, and is not good enough".to_owned());
        }
        faults
    }
}

/// Opens a store and reads everything in it.
pub(crate) fn look(directory: &Path, disk: &SimulatedDisk) -> Result<Found, StoreError> {
    let options = options(directory, disk, StateSync::new(|_| Ok(())));
    let (store, recovered) = store::open(options, &mut |_, _| {})?;
    let mut found = Found {
        rebuilt: recovered.report.rebuilt,
        cut: !recovered.report.cut.is_empty(),
        next_queue: store.next_queue_id().0,
        ..Found::default()
    };
    for damage in &recovered.report.damage {
        let is_the_state = damage.what == "the state" && found.rebuilt;
        if !is_the_state {
            found
                .damage
                .push(format!("{}: {}", damage.what, damage.reason));
        }
    }
    for entity in &recovered.definitions {
        if let Entity::Queue { id, .. } = entity {
            found.queues.insert(*id);
        }
    }
    for queue in &recovered.queues {
        look_at_queue(&*store, queue, &mut found);
    }
    Ok(found)
}

fn look_at_queue(store: &dyn Store, queue: &RecoveredQueue, found: &mut Found) {
    let mut entries = BTreeMap::new();
    for level in &queue.levels {
        if let Some(lease) = level.lease {
            found.leases.insert((queue.id.0, level.level), lease);
        }
        let place = (queue.id.0, level.level);
        found.next_positions.insert(place, level.next_position);
        let mut held = BTreeMap::new();
        for block in level
            .blocks
            .iter()
            .flat_map(|range| range.first..=range.last)
        {
            match load_block(store, queue.id, level.level, block) {
                Ok(block) => held.extend(block.into_iter().map(|entry| (entry.seq, entry))),
                Err(error) => found.damage.push(error),
            }
        }
        for range in &level.settled_since {
            held.retain(|seq, _| *seq < range.first || *seq > range.last);
            // A queue may forget which of the two a place came from.
            let settled = |entry: &&BlockEntry| (range.first..=range.last).contains(&entry.seq);
            if let Some(entry) = level.entries.iter().find(settled) {
                found
                    .damage
                    .push(format!("{:?} is settled and an entry", entry.seq));
            }
        }
        for entry in &level.entries {
            if held.insert(entry.seq, *entry).is_some() {
                found
                    .damage
                    .push(format!("{:?} is in a block and an entry", entry.seq));
            }
        }
        entries.extend(held);
    }
    if entries.len() as u64 != queue.ready_count {
        found.damage.push(format!(
            "queue {} says it has {} messages and has {}",
            queue.id.0,
            queue.ready_count,
            entries.len()
        ));
    }
    for count in &queue.delivery_counts {
        found.counts.insert((queue.id.0, count.seq), count.count);
    }
    let entries: Vec<BlockEntry> = entries.into_values().collect();
    for (entry, body) in entries.iter().zip(load_bodies(store, queue.id, &entries)) {
        match body {
            Ok(body) => {
                let place = (queue.id.0, entry.seq);
                found.messages.insert(place, (body, entry.deadline_ms));
            }
            Err(error) => found.damage.push(error),
        }
    }
}

fn load_block(
    store: &dyn Store,
    queue: QueueId,
    level: u8,
    block: u64,
) -> Result<Vec<BlockEntry>, String> {
    let (reply, answer) = mpsc::channel();
    let reply = Box::new(move |entries| reply.send(entries).expect("somebody waits"));
    store.load_block(queue, level, block, reply);
    let entries = answer.recv().expect("it is answered");
    entries.map_err(|error| error.to_string())
}

fn load_bodies(
    store: &dyn Store,
    queue: QueueId,
    entries: &[BlockEntry],
) -> Vec<Result<String, String>> {
    let wanted: Vec<(Seq, _)> = entries
        .iter()
        .map(|entry| (entry.seq, entry.stored))
        .collect();
    let (reply, answer) = mpsc::channel();
    let reply = Box::new(move |bodies| reply.send(bodies).expect("somebody waits"));
    store.load_bodies(queue, wanted, reply);
    let bodies = answer.recv().expect("it is answered");
    let text = |(_, body): (Seq, Result<leveret::model::Message, store::LoadError>)| {
        body.map(|message| String::from_utf8_lossy(message.body()).into_owned())
            .map_err(|error| error.to_string())
    };
    bodies.into_iter().map(text).collect()
}
