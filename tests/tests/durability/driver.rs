//! A random run of a store on a simulated disk, which is photographed at every sync.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use leveret::model::Operation;
use leveret::store::{self, Outcome, StateSync, Store, Ticket};
use leveret_log::simulated::{
    Fault, FaultEffect, FaultPoint, Operation as DiskOperation, PowerLoss, SimulatedDisk,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use super::camera::Camera;
use super::image::{Image, StateLeft, copy_state, options};
use super::reference::{Fact, Place, Reference};

/// A fault of the store's, planted to see whether it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// None.
    Nothing,
    /// Confirms are believed before the sync.
    EarlyConfirms,
    /// The disk forgets to sync after so many syncs.
    ForgottenSyncs(u64),
    /// The state's file is never synced after the first time.
    UnsyncedState,
    /// The oldest segment is gone when the machine comes up again: it was freed too early.
    FreedSegment,
    /// Settlements are believed to be durable, and are never handed over.
    ForgottenSettlements,
}

type Confirm = Box<dyn FnOnce(&mut Reference) + Send>;

/// A run.
pub(crate) struct Run {
    folder: TempDir,
    disk: SimulatedDisk,
    pub(crate) camera: Arc<Mutex<Camera>>,
    store: Option<Arc<dyn Store>>,
    pub(crate) random: StdRng,
    planted: Planted,
    waiting: Vec<(Ticket, Confirm)>,
    /// Live places, as a consumer would know them.
    pub(crate) live: Vec<Place>,
    pub(crate) next: BTreeMap<(u32, u8), u64>,
    pub(crate) next_queue: u32,
    pub(crate) bodies: u64,
    changed: bool,
    /// The most messages that are settled at once: decides whether queues grow or drain.
    pub(crate) appetite: usize,
}

/// Runs so many steps and gives all images.
pub(crate) fn photograph(seed: u64, steps: usize, planted: Planted) -> (Vec<Image>, TempDir) {
    let mut run = Run::new(seed, planted);
    for _ in 0..steps {
        run.step();
    }
    run.confirm();
    run.end();
    let images = std::mem::take(&mut run.camera.lock().images);
    (images, run.folder)
}

/// Runs so many steps and gives what the death of the process leaves at the end, and all states
/// that were ever synced.
pub(crate) fn photograph_end(seed: u64, steps: usize) -> (Image, Vec<PathBuf>, TempDir) {
    let mut run = Run::new(seed, Planted::Nothing);
    for _ in 0..steps {
        run.step();
    }
    if let Some((last, _)) = run.waiting.last() {
        run.wait(*last);
    }
    run.confirm();
    run.end();
    let camera = run.camera.lock();
    let image = Image {
        name: "the end".to_owned(),
        disk: run.disk.image(PowerLoss::process_death()),
        state: StateLeft::Synced(camera.states.last().cloned()),
        reference: camera.reference.clone(),
    };
    let states = camera.states.clone();
    drop(camera);
    (image, states, run.folder)
}

/// Where the store of a run lies.
pub(crate) fn directory(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

/// A folder for the state. In memory if possible: what a sync makes durable is decided by copying,
/// and thousands of real syncs take long.
fn folder() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.unwrap_or_else(|_| tempfile::tempdir().expect("a folder"))
}

impl Run {
    /// Ends the store, and the watcher, which holds the disk that holds it.
    fn end(&mut self) {
        self.store = None;
        self.disk.watch(|_| {});
    }

    fn new(seed: u64, planted: Planted) -> Self {
        let folder = folder();
        let disk = SimulatedDisk::new();
        if let Planted::ForgottenSyncs(after) = planted {
            for sync in after..after + 2000 {
                disk.inject(Fault {
                    at: FaultPoint::Sync(sync),
                    effect: FaultEffect::Forget,
                });
            }
        }
        let camera = Arc::new(Mutex::new(Camera {
            random: seed,
            free_segment: planted == Planted::FreedSegment,
            ..Camera::default()
        }));
        let watching = (camera.clone(), disk.clone());
        disk.watch(move |step| {
            if matches!(
                step.operation,
                DiskOperation::Sync | DiskOperation::SyncDirectory
            ) {
                // The disk as it is once nobody else can note anything: what the step calls
                // "before" may be older than what another thread has synced and seen confirmed.
                let (camera, disk) = &watching;
                camera.lock().take(disk, step.path);
            }
        });
        let mut run = Self {
            folder,
            disk,
            camera,
            store: None,
            random: StdRng::seed_from_u64(seed),
            planted,
            waiting: Vec::new(),
            live: Vec::new(),
            next: BTreeMap::new(),
            next_queue: 1,
            bodies: 0,
            changed: false,
            appetite: 20 + 40 * (seed % 4) as usize,
        };
        run.open();
        for _ in 0..2 {
            run.declare();
        }
        run
    }

    fn open(&mut self) {
        let directory = directory(&self.folder);
        let copies = self.folder.path().join("copies");
        let camera = self.camera.clone();
        let number = AtomicU64::new(0);
        let forgets = self.planted == Planted::UnsyncedState;
        let disk = self.disk.clone();
        let sync = StateSync::new(move |file: &Path| {
            let mut camera = camera.lock();
            if !forgets || camera.states.is_empty() {
                let number = number.fetch_add(1, Ordering::Relaxed);
                let copy = copies.join(format!("{}-{number}", camera.states.len()));
                copy_state(file.parent().expect("it lies in a folder"), &copy);
                camera.states.push(copy);
            }
            camera.take(&disk, file);
            Ok(())
        });
        let options = options(&directory, &self.disk, sync);
        let opened = store::open(options, &mut |_, _| {}).expect("the store opens");
        self.store = Some(opened.0);
    }

    fn store(&self) -> &dyn Store {
        &**self.store.as_ref().expect("it is open")
    }

    fn step(&mut self) {
        self.confirm();
        match self.random.random_range(0..100) {
            0..35 => self.publish(),
            35..54 => self.settle(),
            54..60 => self.settle_all_but_few(),
            60..66 => self.requeue(),
            66..70 => self.deliver(),
            70..78 => self.transaction(),
            78..80 => self.purge(),
            80..83 => self.declare(),
            83..84 => self.delete(),
            84..97 => self.checkpoint(),
            97..99 => self.die(),
            _ => self.close(),
        }
    }

    /// Notes what was begun, hands the operations over and, mostly, waits for them.
    pub(crate) fn submit(
        &mut self,
        operations: Vec<Operation>,
        mark: impl Fn(&mut Reference, Fact) + Send + 'static,
    ) {
        mark(&mut self.camera.lock().reference, Fact::Begun);
        self.changed = true;
        let mut operations = operations;
        if self.planted == Planted::ForgottenSettlements {
            operations.retain(|operation| !matches!(operation, Operation::Settle { .. }));
        }
        let ticket = self.store().submit(&mut operations);
        if self.planted == Planted::EarlyConfirms {
            mark(&mut self.camera.lock().reference, Fact::Confirmed);
            self.wait(ticket);
            return;
        }
        let confirm: Confirm = Box::new(move |reference| mark(reference, Fact::Confirmed));
        self.waiting.push((ticket, confirm));
        if self.random.random_bool(0.8) {
            self.wait(ticket);
            self.confirm();
        }
    }

    fn wait(&self, ticket: Ticket) {
        loop {
            match self.store().progress().outcome(ticket) {
                Outcome::Durable => return,
                Outcome::Failed => panic!("{ticket:?} failed: {:?}", self.store().status()),
                Outcome::Pending | Outcome::Written => std::thread::yield_now(),
            }
        }
    }

    /// Notes what the store has announced.
    fn confirm(&mut self) {
        let progress = self.store().progress();
        let (done, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(ticket, _)| progress.outcome(*ticket) == Outcome::Durable);
        self.waiting = waiting;
        let done: Vec<(Ticket, Confirm)> = done;
        let mut camera = self.camera.lock();
        for (_, confirm) in done {
            confirm(&mut camera.reference);
        }
    }

    fn checkpoint(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        if let Some((last, _)) = self.waiting.last() {
            self.wait(*last);
        }
        let before = self.store().status().checkpoints;
        self.store().checkpoint();
        if self.random.random_bool(0.7) {
            // There may be nothing to bring into the state: then none is taken.
            let until = Instant::now() + Duration::from_millis(100);
            while self.store().status().checkpoints == before && Instant::now() < until {
                std::thread::yield_now();
            }
            assert_eq!(self.store().status().checkpoint_failed, None);
        }
    }

    /// The process dies and comes back on the same disk.
    fn die(&mut self) {
        if let Some((last, _)) = self.waiting.last() {
            self.wait(*last);
        }
        self.confirm();
        self.store = None;
        self.open();
    }

    fn close(&mut self) {
        if let Some((last, _)) = self.waiting.last() {
            self.wait(*last);
        }
        self.confirm();
        self.store().close();
        self.die();
    }
}
