//! Tests of what disks do to a store, on a simulated one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use leveret_log::Disk as _;
use leveret_log::simulated::{Fault, FaultEffect, FaultPoint, PowerLoss, SimulatedDisk};

use super::bench::{declare, enqueue, message, settle};
use crate::model::Operation;
use crate::store::{Durability, Outcome, Recovered, Store, StoreOptions, open};

const SEGMENT: u32 = 64 << 10;

fn options(directory: &Path, disk: &SimulatedDisk) -> StoreOptions {
    let mut options = StoreOptions::new(directory);
    options.checkpoint_interval = Duration::from_secs(3600);
    options.segment_bytes_min = SEGMENT;
    options.segment_bytes_max = SEGMENT;
    options.disk = Arc::new(disk.clone());
    options
}

fn start(options: StoreOptions) -> (Arc<dyn Store>, Recovered) {
    open(options, &mut |_, _| {}).expect("opens")
}

/// Hands operations over and waits for what becomes of the last.
fn outcome(store: &dyn Store, mut operations: Vec<Operation>) -> Outcome {
    let ticket = store.submit(&mut operations);
    loop {
        match store.progress().outcome(ticket) {
            Outcome::Pending | Outcome::Written => std::thread::yield_now(),
            outcome => return outcome,
        }
    }
}

fn publish(store: &dyn Store, position: u64) -> Outcome {
    let body = message(&"x".repeat(20_000));
    outcome(store, vec![enqueue(&body, 1, position)])
}

/// Publishes until it fails; gives the first position that did.
fn fill(store: &dyn Store) -> u64 {
    (0..1000)
        .find(|position| publish(store, *position) == Outcome::Failed)
        .expect("the disk becomes full")
}

fn ready(recovered: &Recovered) -> u64 {
    recovered.queues.iter().map(|queue| queue.ready_count).sum()
}

#[test]
fn a_full_disk_fails_publishes_and_keeps_settlements_until_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = SimulatedDisk::new();
    let (store, _) = start(options(folder.path(), &disk));
    assert_eq!(outcome(&*store, vec![declare(1)]), Outcome::Durable);
    disk.set_capacity(Some(disk.used_bytes() + 2 * u64::from(SEGMENT)));
    let failed = fill(&*store);
    assert!(
        store
            .status()
            .failed
            .is_some_and(|reason| reason.contains("space"))
    );
    // Ever more settlements, until one of them needs a segment as well.
    assert_eq!(outcome(&*store, vec![settle(1, 0, 1)]), Outcome::Durable);
    disk.set_capacity(None);
    assert_eq!(publish(&*store, failed + 1), Outcome::Durable);
    assert_eq!(store.status().failed, None);
    drop(store);
    let (_, recovered) = start(options(folder.path(), &disk));
    assert_eq!(
        ready(&recovered),
        failed - 2 + 1,
        "one failed, two were settled"
    );
}

#[test]
fn settlements_that_found_no_room_are_written_when_there_is_some() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = SimulatedDisk::new();
    let (store, _) = start(options(folder.path(), &disk));
    assert_eq!(outcome(&*store, vec![declare(1)]), Outcome::Durable);
    let count = 200;
    for position in 0..count {
        let small = message("small");
        assert_eq!(
            outcome(&*store, vec![enqueue(&small, 1, position)]),
            Outcome::Durable
        );
    }
    disk.set_capacity(Some(disk.used_bytes()));
    // Settlements and a publish that cannot be written fail as one turn.
    let mut operations: Vec<_> = (0..count).map(|at| settle(1, at, at)).collect();
    operations.push(enqueue(&message(&"x".repeat(SEGMENT as usize)), 1, count));
    assert_eq!(outcome(&*store, operations), Outcome::Failed);
    disk.set_capacity(None);
    assert_eq!(outcome(&*store, vec![declare(2)]), Outcome::Durable);
    drop(store);
    let (_, recovered) = start(options(folder.path(), &disk));
    assert_eq!(ready(&recovered), 0);
}

#[test]
fn the_reserve_makes_room_for_what_consumers_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = SimulatedDisk::new();
    let mut options = options(folder.path(), &disk);
    options.disk_free_limit = Some(1 << 30);
    let (store, _) = start(options);
    disk.set_capacity(Some(disk.used_bytes() + 8 * u64::from(SEGMENT)));
    assert_eq!(outcome(&*store, vec![declare(1)]), Outcome::Durable);
    let reserve = folder.path().join("reserve");
    store.checkpoint();
    // The file is there before it has its room.
    let has_its_room = || {
        let length = disk.open_read(&reserve).and_then(|file| file.length());
        length.is_ok_and(|length| length >= u64::from(SEGMENT))
    };
    while !has_its_room() {
        std::thread::yield_now();
    }
    let failed = fill(&*store);
    while disk.paths().contains(&reserve) {
        std::thread::yield_now();
    }
    // The log may have taken the room for its next segment by now, so what is
    // free says nothing: what can be written does.
    let settlements = (0..failed).map(|at| settle(1, at, at)).collect();
    assert_eq!(outcome(&*store, settlements), Outcome::Durable);
    assert_eq!(
        publish(&*store, failed + 1),
        Outcome::Durable,
        "a segment more than before"
    );
}

#[test]
fn the_room_for_the_logs_next_segment_is_no_reserve() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = SimulatedDisk::new();
    let mut options = options(folder.path(), &disk);
    options.disk_free_limit = Some(1 << 30);
    let (store, _) = start(options);
    let segment = u64::from(SEGMENT);
    disk.set_capacity(Some(disk.used_bytes() + segment + segment / 2));
    // What follows the first checkpoint is over when the second is done.
    for number in 1..=2 {
        assert_eq!(outcome(&*store, vec![declare(number)]), Outcome::Durable);
        store.checkpoint();
        while store.status().checkpoints < u64::from(number) {
            std::thread::yield_now();
        }
    }
    assert!(!disk.paths().contains(&folder.path().join("reserve")));
}

#[test]
fn after_a_failed_sync_nothing_is_confirmed_until_it_is_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = SimulatedDisk::new();
    let (store, _) = start(options(folder.path(), &disk));
    assert_eq!(outcome(&*store, vec![declare(1)]), Outcome::Durable);
    assert_eq!(publish(&*store, 0), Outcome::Durable);
    let next = FaultPoint::Sync(disk.syncs() + 1);
    disk.inject(Fault {
        at: next,
        effect: FaultEffect::Fail,
    });
    assert_eq!(publish(&*store, 1), Outcome::Failed);
    assert_eq!(
        publish(&*store, 2),
        Outcome::Failed,
        "a later sync proves nothing"
    );
    assert!(store.status().failed.is_some());
    drop(store);
    let (store, recovered) = start(options(folder.path(), &disk));
    assert!(ready(&recovered) >= 1, "what was confirmed is there");
    assert_eq!(publish(&*store, 9), Outcome::Durable);
}

#[test]
fn the_weaker_durabilities_survive_the_process_and_sync_definitions() {
    let weaker = [
        Durability::Interval(Duration::from_secs(3600)),
        Durability::OperatingSystem,
    ];
    for durability in weaker {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = SimulatedDisk::new();
        let mut weak = options(folder.path(), &disk);
        weak.durability = durability;
        let (store, _) = start(weak);
        assert_eq!(outcome(&*store, vec![declare(1)]), Outcome::Durable);
        assert_eq!(publish(&*store, 0), Outcome::Durable);
        let process = disk.image(PowerLoss::process_death());
        let power = disk.image(PowerLoss::unsynced());
        drop(store);
        let (_, recovered) = start(options(folder.path(), &process));
        assert_eq!(ready(&recovered), 1, "{durability:?}");
        let (_, recovered) = start(options(folder.path(), &power));
        assert_eq!(
            ready(&recovered),
            0,
            "{durability:?} would have synced for nothing"
        );
        assert_eq!(recovered.definitions.len(), 1, "{durability:?}");
    }
}
