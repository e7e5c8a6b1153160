//! A random run of a store on a simulated disk, which is photographed at every sync.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use leveret::model::{
    Arguments, Entity, EntityChange, EntityKey, Message, MessageParts, Operation, QueueDefinition,
    QueueId, QueueName, Seq, SeqRange, VirtualHostName,
};
use leveret::store::{self, Outcome, StateSync, Store, Ticket};
use leveret_log::simulated::{
    Fault, FaultEffect, FaultPoint, LossPolicy, Operation as DiskOperation, PowerLoss,
    SimulatedDisk,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use super::image::{Image, StateLeft, copy_state, options};
use super::reference::{Fact, MessageFacts, Place, QueueFacts, Reference, TransactionFacts};

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

/// What the run shares with the watchers on the store's threads.
#[derive(Default)]
struct Camera {
    reference: Reference,
    images: Vec<Image>,
    states: Vec<PathBuf>,
    planted_random: u64,
    free_segment: bool,
}

/// A run.
pub(crate) struct Run {
    folder: TempDir,
    disk: SimulatedDisk,
    camera: Arc<Mutex<Camera>>,
    store: Option<Arc<dyn Store>>,
    random: StdRng,
    planted: Planted,
    waiting: Vec<(Ticket, Confirm)>,
    /// Live places, as a consumer would know them.
    live: Vec<Place>,
    next: std::collections::BTreeMap<(u32, u8), u64>,
    next_queue: u32,
    bodies: u64,
    changed: bool,
    /// The most messages that are settled at once: decides whether queues grow or drain.
    appetite: usize,
}

/// Runs so many steps and gives all images.
pub(crate) fn photograph(seed: u64, steps: usize, planted: Planted) -> (Vec<Image>, TempDir) {
    let mut run = Run::new(seed, planted);
    for _ in 0..steps {
        run.step();
    }
    run.confirm();
    run.store = None;
    let images = std::mem::take(&mut run.camera.lock().images);
    (images, run.folder)
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
            planted_random: seed,
            free_segment: planted == Planted::FreedSegment,
            ..Camera::default()
        }));
        let watching = camera.clone();
        disk.watch(move |step| {
            if matches!(
                step.operation,
                DiskOperation::Sync | DiskOperation::SyncDirectory
            ) {
                watching.lock().take(step.before, step.path);
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
            next: std::collections::BTreeMap::new(),
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
    fn submit(
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

    fn queues(&self) -> Vec<u32> {
        let camera = self.camera.lock();
        let queues = camera.reference.queues.iter();
        queues
            .filter(|(_, facts)| facts.declared == Fact::Confirmed && facts.deleted == Fact::Never)
            .map(|(id, _)| *id)
            .collect()
    }

    fn some_queues(&mut self, most: usize) -> Vec<u32> {
        let mut queues = self.queues();
        let keep = self.random.random_range(1..=most);
        while queues.len() > keep {
            let drop = self.random.random_range(0..queues.len());
            queues.remove(drop);
        }
        queues
    }

    fn message(&mut self) -> Message {
        self.bodies += 1;
        let filler = "f".repeat(self.random.random_range(0..2500));
        let body = format!("{}:{filler}", self.bodies);
        let encoded = [b"\x00\x01q".as_slice(), b"HEAD", body.as_bytes()].concat();
        let parts = MessageParts {
            exchange_bytes: 0,
            routing_key_bytes: 1,
            header_bytes: 4,
            persistent: true,
            priority: 3,
        };
        Message::new(parts, &encoded).expect("the lengths fit")
    }

    /// Takes the next place of a queue.
    fn place(&mut self, queue: u32) -> Place {
        let level = u8::from(self.random.random_bool(0.2)) * 5;
        let next = self.next.entry((queue, level)).or_default();
        *next += 1;
        (queue, Seq::new(level, *next - 1))
    }

    /// An operation that enqueues, and what to note of it.
    fn enqueue(&mut self, message: &Message, queue: u32) -> (Operation, Place, MessageFacts) {
        let place = self.place(queue);
        let deadline_ms = if self.random.random_bool(0.3) {
            1_800_000_000_000 + self.bodies
        } else {
            0
        };
        let facts = MessageFacts {
            body: String::from_utf8_lossy(message.body()).into_owned(),
            deadline_ms,
            ..MessageFacts::default()
        };
        let operation = Operation::Enqueue {
            message: message.clone(),
            queue: QueueId(queue),
            seq: place.1,
            deadline_ms,
        };
        (operation, place, facts)
    }

    fn publish(&mut self) {
        let count = self.random.random_range(1..25);
        for _ in 0..count {
            let message = self.message();
            let mut late = Vec::new();
            let mut first = Vec::new();
            for queue in self.some_queues(3) {
                // A fanout's later queues are often met in a later group.
                let list = if self.random.random_bool(0.6) {
                    &mut first
                } else {
                    &mut late
                };
                list.push(queue);
            }
            for queues in [first, late] {
                let made: Vec<_> = queues
                    .iter()
                    .map(|queue| self.enqueue(&message, *queue))
                    .collect();
                if made.is_empty() {
                    continue;
                }
                let operations = made.iter().map(|(operation, _, _)| operation.clone());
                let mut operations: Vec<_> = operations.collect();
                let facts: Vec<_> = made
                    .into_iter()
                    .map(|(_, place, facts)| (place, facts))
                    .collect();
                // Sometimes a consumer is quicker than the disk.
                let quick = self.random.random_bool(0.15).then(|| facts[0].0);
                operations.extend(quick.map(|place| settle(&[place])));
                let kept = facts.iter().map(|(place, _)| *place);
                self.live.extend(kept.filter(|place| Some(*place) != quick));
                self.submit(operations, move |reference, fact| {
                    for (place, facts) in &facts {
                        let known = reference.messages.entry(*place);
                        let known = known.or_insert_with(|| facts.clone());
                        known.published = known.published.max(fact);
                        if Some(*place) == quick {
                            known.settled = known.settled.max(fact);
                        }
                    }
                });
            }
        }
    }

    /// Takes some live places: from the head of one queue, or from anywhere.
    fn take_live(&mut self, most: usize) -> Vec<Place> {
        let count = self.random.random_range(1..=most).min(self.live.len());
        let anywhere = self.random.random_bool(0.7);
        let mut taken = Vec::new();
        for _ in 0..count {
            let at = if anywhere {
                self.random.random_range(0..self.live.len())
            } else {
                0
            };
            taken.push(self.live.remove(at));
        }
        taken
    }

    fn settle(&mut self) {
        let taken = self.take_live(self.appetite);
        if !taken.is_empty() {
            self.settle_all(&taken);
        }
    }

    /// Leaves messages that few others lie beside in the log: work for the cleaner.
    fn settle_all_but_few(&mut self) {
        let mut taken = std::mem::take(&mut self.live);
        let random = &mut self.random;
        self.live = taken.extract_if(.., |_| random.random_bool(0.06)).collect();
        if !taken.is_empty() {
            self.settle_all(&taken);
        }
    }

    fn settle_all(&mut self, taken: &[Place]) {
        let operations = by_queue(taken)
            .iter()
            .map(|places| settle(places))
            .collect();
        let taken = taken.to_vec();
        self.submit(operations, move |reference, fact| {
            mark_settled(reference, &taken, fact)
        });
    }

    fn requeue(&mut self) {
        if self.live.is_empty() {
            return;
        }
        let place = self.live[self.random.random_range(0..self.live.len())];
        let count = self.random.random_range(1..9);
        let operation = Operation::Requeue {
            queue: QueueId(place.0),
            ranges: vec![SeqRange::one(place.1)],
            delivery_count: count,
        };
        self.submit(vec![operation], move |reference, fact| {
            if let Some(facts) = reference.messages.get_mut(&place) {
                note(&mut facts.counts, count, fact);
            }
        });
    }

    fn deliver(&mut self) {
        let Some(place) = self.live.first().copied() else {
            return;
        };
        let up_to = Seq(place.1.0 + self.random.random_range(0..3));
        let operation = Operation::Delivered {
            queue: QueueId(place.0),
            up_to,
        };
        self.submit(vec![operation], move |reference, fact| {
            if let Some(facts) = reference.queues.get_mut(&place.0) {
                note(facts.leases.entry(up_to.level()).or_default(), up_to, fact);
            }
        });
    }

    /// A dead-lettering or a client's transaction.
    fn transaction(&mut self) {
        let message = self.message();
        let queues = self.some_queues(3);
        let made: Vec<_> = queues
            .iter()
            .map(|queue| self.enqueue(&message, *queue))
            .collect();
        let settled = self.take_live(3);
        let mut operations: Vec<_> = made
            .iter()
            .map(|(operation, _, _)| operation.clone())
            .collect();
        operations.extend(by_queue(&settled).iter().map(|places| settle(places)));
        let facts: Vec<_> = made
            .into_iter()
            .map(|(_, place, facts)| (place, facts))
            .collect();
        self.live.extend(facts.iter().map(|(place, _)| *place));
        let whole = TransactionFacts {
            enqueued: facts.iter().map(|(place, _)| *place).collect(),
            settled: settled.clone(),
        };
        self.camera.lock().reference.transactions.push(whole);
        self.submit(
            vec![Operation::Transaction(operations)],
            move |reference, fact| {
                for (place, facts) in &facts {
                    let known = reference
                        .messages
                        .entry(*place)
                        .or_insert_with(|| facts.clone());
                    known.published = known.published.max(fact);
                }
                mark_settled(reference, &settled, fact);
            },
        );
    }

    fn purge(&mut self) {
        for queue in self.some_queues(1) {
            let (gone, live) = self.live.iter().partition(|place| place.0 == queue);
            let gone: Vec<Place> = gone;
            self.live = live;
            if !gone.is_empty() {
                self.settle_all(&gone);
            }
        }
    }

    fn declare(&mut self) {
        let queue = self.next_queue;
        self.next_queue += 1;
        let operation = Operation::Entity(EntityChange::Put(Entity::Queue {
            virtual_host: VirtualHostName::from("/"),
            id: queue,
            definition: QueueDefinition {
                name: QueueName::from(format!("queue {queue}")),
                durable: true,
                auto_delete: false,
                exclusive: false,
                arguments: Arguments::default(),
            },
        }));
        self.submit(vec![operation], move |reference, fact| {
            let facts = reference
                .queues
                .entry(queue)
                .or_insert_with(QueueFacts::default);
            facts.declared = facts.declared.max(fact);
        });
    }

    fn delete(&mut self) {
        if self.queues().len() < 3 {
            return;
        }
        for queue in self.some_queues(1) {
            self.live.retain(|place| place.0 != queue);
            let change = EntityChange::Remove(EntityKey::Queue { id: queue });
            self.submit(vec![Operation::Entity(change)], move |reference, fact| {
                if let Some(facts) = reference.queues.get_mut(&queue) {
                    facts.deleted = facts.deleted.max(fact);
                }
            });
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

impl Camera {
    /// Photographs the machine as it stands before a sync.
    fn take(&mut self, disk: &SimulatedDisk, path: &Path) {
        self.planted_random = self
            .planted_random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let random = self.planted_random >> 24;
        let policy = match random % 4 {
            0 => LossPolicy::Unsynced,
            1 => LossPolicy::Ordered,
            2 => LossPolicy::Sectors,
            _ => LossPolicy::Process,
        };
        let loss = PowerLoss {
            seed: random,
            policy,
        };
        let state = match (random >> 8) % 8 {
            0 if !self.states.is_empty() => {
                let at = (random >> 16) as usize % (self.states.len() + 1);
                StateLeft::Older(self.states.get(at).cloned())
            }
            _ => StateLeft::Synced(self.states.last().cloned()),
        };
        let disk = disk.image(loss);
        if self.free_segment {
            remove_oldest_segment(&disk);
        }
        self.images.push(Image {
            name: format!(
                "{} before {} with {state:?}, {loss:?}",
                self.images.len(),
                path.display()
            ),
            disk,
            state,
            reference: self.reference.clone(),
        });
    }
}

fn remove_oldest_segment(disk: &SimulatedDisk) {
    use leveret_log::Disk;
    let mut segments = disk.paths();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    if let (Some(oldest), true) = (segments.first(), segments.len() > 2) {
        disk.remove(oldest).expect("it is there");
    }
}

fn by_queue(places: &[Place]) -> Vec<Vec<Place>> {
    let mut all: std::collections::BTreeMap<u32, Vec<Place>> = std::collections::BTreeMap::new();
    for place in places {
        all.entry(place.0).or_default().push(*place);
    }
    all.into_values().collect()
}

/// Settles places of one queue.
fn settle(places: &[Place]) -> Operation {
    Operation::Settle {
        queue: QueueId(places[0].0),
        ranges: SeqRange::collect(places.iter().map(|place| place.1).collect()),
    }
}

fn mark_settled(reference: &mut Reference, places: &[Place], fact: Fact) {
    for place in places {
        if let Some(facts) = reference.messages.get_mut(place) {
            facts.settled = facts.settled.max(fact);
        }
    }
}

/// Appends a value that was begun, or confirms the one that was.
fn note<T: PartialEq + Copy>(list: &mut Vec<(T, Fact)>, value: T, fact: Fact) {
    match fact {
        Fact::Begun => list.push((value, fact)),
        Fact::Confirmed | Fact::Never => {
            let found = list
                .iter_mut()
                .find(|known| known.0 == value && known.1 == Fact::Begun);
            if let Some(known) = found {
                known.1 = fact;
            }
        }
    }
}
