//! Times of the hot paths: `cargo bench -p leveret-bench --bench micro`.

#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]

mod kernels;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use kernels::{BURST, Bench, KERNELS, Kernel};
use leveret_log::simulated::SimulatedDisk;
use leveret_log::{
    Author, Group, Location, Log, Lsn, Options, RealDisk, Replay, TurnOutcome, Written,
};

const ITERATIONS: u64 = 10_000;

fn main() {
    divan::main();
}

fn kernel(bencher: Bencher<'_, '_>, name: &str) {
    let kernel: &Kernel = KERNELS
        .iter()
        .find(|kernel| kernel.name == name)
        .expect("a kernel of that name");
    let mut work = (kernel.prepare)();
    bencher
        .counter(ItemsCount::new(ITERATIONS))
        .bench_local(|| work(ITERATIONS));
}

/// Items are what the kernel does once.
#[divan::bench(args = KERNELS.iter().map(|kernel| kernel.name))]
fn hot_path(bencher: Bencher<'_, '_>, name: &str) {
    kernel(bencher, name);
}

/// All cores want the same queue: a burst under one lock, as a publish and a delivery take it.
#[divan::bench(threads = [1, 2, 4])]
fn one_lock(bencher: Bencher<'_, '_>) {
    let queue = Mutex::new(Bench::new());
    bencher.counter(ItemsCount::new(BURST)).bench(|| {
        queue.lock().expect("nobody panicked").burst(BURST);
    });
}

/// Writes what it is given, and notes where.
#[derive(Default)]
struct Records(Arc<Mutex<Vec<Location>>>);

impl Author for Records {
    type Operation = Arc<[u8]>;

    fn operation_bytes(record: &Arc<[u8]>) -> usize {
        record.len()
    }

    fn compose(&mut self, turn: Vec<Arc<[u8]>>, group: &mut Group) {
        for record in turn {
            group.record(0x10, 0, &[&record]);
        }
    }

    fn written(&mut self, written: &Written<'_>) {
        let places = written.all().map(|(location, _)| location);
        self.0.lock().expect("nobody panicked").extend(places);
    }

    fn settled(&mut self, _: &TurnOutcome) {}
}

struct Nothing;

impl Replay for Nothing {
    fn from(&self) -> Lsn {
        Lsn::NONE
    }

    fn record(&mut self, _: Lsn, _: Location, _: u8, _: u8, _: &[u8]) {}
}

/// Hands records of 1 KiB to the commit thread and waits until they are durable, on a disk in
/// memory: what the thread itself costs.
#[divan::bench(args = [1, 16, 256])]
fn commit_thread(bencher: Bencher<'_, '_>, records: u64) {
    let disk = Arc::new(SimulatedDisk::new());
    let opened = Log::open(
        disk,
        Options::new("log"),
        |_: &mut Nothing| Records::default(),
        &mut Nothing,
    );
    let (log, _) = opened.expect("an empty disk");
    let record: Arc<[u8]> = vec![7; 1024].into();
    bencher.counter(ItemsCount::new(records)).bench_local(|| {
        let mut operations: Vec<_> = (0..records).map(|_| Arc::clone(&record)).collect();
        let last = log.submit(&mut operations);
        log.wait_durable(last, Duration::from_secs(30))
            .expect("a disk that works");
    });
    log.shutdown();
}

/// Reads records of 1 KiB back from the machine's disk. They belong to so many queues in turn, and each
/// queue asks for 64 of its own.
#[divan::bench(args = [1, 10, 1000])]
fn read_back(bencher: Bencher<'_, '_>, queues: usize) {
    const ASKED: usize = 64;
    let directory = tempfile::tempdir().expect("room for files");
    let places: Arc<Mutex<Vec<Location>>> = Arc::default();
    let opened = Log::open(
        Arc::new(RealDisk),
        Options::new(directory.path().join("log")),
        |_: &mut Nothing| Records(Arc::clone(&places)),
        &mut Nothing,
    );
    let (log, _) = opened.expect("an empty folder");
    let record: Arc<[u8]> = vec![7; 1024].into();
    let mut operations = vec![record; queues.max(2) * ASKED];
    let last = log.submit(&mut operations);
    log.wait_durable(last, Duration::from_secs(30))
        .expect("a disk that works");
    let places = places.lock().expect("nobody panicked").clone();
    let mut reader = log.reader();
    bencher
        .counter(ItemsCount::new(queues * ASKED))
        .bench_local(|| {
            for queue in 0..queues {
                for place in places.iter().skip(queue).step_by(queues).take(ASKED) {
                    reader.read(*place).expect("it was written");
                }
                reader.rest();
            }
        });
    log.shutdown();
}
