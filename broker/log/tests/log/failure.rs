//! Writes and syncs that fail, authors that panic, locks, and the end of a log.

use std::{sync::Arc, time::Duration};

use leveret_log::{
    CommitError, Durability, Log, OpenError, Options, Ticket, WaitError,
    simulated::{Fault, FaultEffect, FaultPoint, Operation, PowerLoss, SimulatedDisk},
};

use crate::common::*;

pub(crate) fn poisoned(error: &WaitError) -> bool {
    matches!(error, WaitError::Failed(CommitError::Poisoned { .. }))
}

/// After the first failure nothing is announced any more, and nobody waits in vain.
fn check_poisoned(opened: &Opened, disk: &SimulatedDisk) {
    let durable = opened.log.progress().durable;
    let ticket = opened.log.submit(&mut payloads(500..600, 50));
    let error = opened.log.wait_durable(ticket, LONG).expect_err("poisoned");
    assert!(poisoned(&error), "{error}");
    assert!(matches!(
        opened.log.sync(),
        Err(CommitError::Poisoned { .. })
    ));
    let checkpoint = opened
        .log
        .checkpoint(leveret_log::Checkpoint::default(), |_, _| true);
    assert!(matches!(checkpoint, Err(CommitError::Poisoned { .. })));
    assert_eq!(opened.log.progress().durable, durable);
    assert_eq!(opened.log.pending_bytes(), 0);
    let last = opened.author.seen().failed.last().map(|range| range.1);
    assert_eq!(last, Some(ticket));
    let writes = disk.writes();
    opened.log.shutdown();
    assert_eq!(disk.writes(), writes, "a poisoned log writes nothing");
}

#[test]
fn a_failed_write_or_sync_is_final() {
    let effects = [FaultEffect::Fail, FaultEffect::Tear, FaultEffect::Freeze];
    for effect in effects {
        for write in [true, false] {
            let disk = SimulatedDisk::new();
            let opened = open(&disk, options());
            opened.put(&payloads(0..20, 50));
            let at = if write {
                FaultPoint::Write(disk.writes() + 1)
            } else {
                FaultPoint::Sync(disk.syncs() + 1)
            };
            disk.inject(Fault { at, effect });
            let ticket = opened.log.submit(&mut payloads(20..30, 50));
            let error = opened.log.wait_durable(ticket, LONG).unwrap_err();
            assert!(poisoned(&error), "{error}");
            assert_eq!(opened.author.seen().failed, [(Ticket(21), Ticket(30))]);
            check_poisoned(&opened, &disk);
            let again = open(&disk.image(PowerLoss::unsynced()), options());
            assert_eq!(again.found.payloads(), payloads(0..20, 50));
            assert!(again.report.damage.is_empty());
        }
    }
}

#[test]
fn an_author_that_panics_poisons_the_log_and_hangs_nobody() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, options());
    opened.put(&payloads(0..20, 50));
    let ticket = opened
        .log
        .submit(&mut vec![payload(20, 50), PANIC.to_vec(), payload(21, 50)]);
    let error = opened.log.wait_durable(ticket, LONG).unwrap_err();
    assert!(error.to_string().contains("planted panic"), "{error}");
    check_poisoned(&opened, &disk);
    let again = open(&disk, options());
    assert_eq!(again.found.payloads(), payloads(0..20, 50));
}

#[test]
fn a_turn_whose_operations_cancel_out_is_durable_without_write_or_sync() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, options());
    let before = (disk.writes(), disk.syncs());
    let ticket = opened
        .log
        .submit(&mut vec![CANCEL.to_vec(), CANCEL.to_vec()]);
    opened.log.wait_durable(ticket, LONG).unwrap();
    assert_eq!((disk.writes(), disk.syncs()), before);
    assert_eq!(opened.log.progress().written, ticket);
}

#[test]
fn one_turn_takes_one_write_and_one_sync_whatever_waits() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, Options::new(directory()));
    let before = (disk.writes(), disk.syncs());
    let ticket = opened.log.submit(&mut payloads(0..4096, 50));
    opened.log.wait_durable(ticket, LONG).unwrap();
    assert_eq!((disk.writes(), disk.syncs()), (before.0 + 1, before.1 + 1));
    assert_eq!(opened.author.seen().turns, 1);
    // More operations, or more bytes, than a turn takes.
    for (operations, length, turns) in [(4097, 50, 2), (9, 1 << 20, 3), (2, 5 << 20, 2)] {
        let before = opened.author.seen().turns;
        let ticket = opened.log.submit(&mut payloads(0..operations, length));
        opened.log.wait_durable(ticket, LONG).unwrap();
        assert_eq!(
            opened.author.seen().turns - before,
            turns,
            "{operations} of {length}"
        );
    }
    assert_eq!(opened.log.pending_bytes(), 0);
}

#[test]
fn the_weaker_modes_announce_what_is_written_and_sync_when_asked() {
    let disk = SimulatedDisk::new();
    let opened = open(
        &disk,
        Options {
            durability: Durability::Os,
            ..options()
        },
    );
    assert!(!opened.log.durability().survives_power_loss());
    let syncs = disk.syncs();
    opened.put(&payloads(0..10, 50));
    assert_eq!(disk.syncs(), syncs);
    assert!(opened.log.durable_lsn() < opened.log.last_written_lsn());
    let lost = open(&disk.image(PowerLoss::unsynced()), options());
    assert!(lost.found.records.is_empty());
    let kept = open(&disk.image(PowerLoss::process_death()), options());
    assert_eq!(kept.found.records.len(), 10);

    let mut definition = DEFINE.to_vec();
    definition.extend_from_slice(&[7; 30]);
    opened.put(&[definition]);
    assert_eq!(opened.log.durable_lsn(), opened.log.last_written_lsn());
    assert_eq!(
        open(&disk.image(PowerLoss::unsynced()), options())
            .found
            .records
            .len(),
        11
    );

    opened.put(&payloads(10..60, 1000));
    let last = opened.log.last_written_lsn();
    assert!(opened.log.durable_lsn() < last);
    opened.log.sync_up_to(last).unwrap();
    assert_eq!(opened.log.durable_lsn(), last);
    // Several segments were written since the last sync, and it covered all of them.
    assert!(opened.log.segments().len() > 2);
    assert_eq!(
        open(&disk.image(PowerLoss::unsynced()), options())
            .found
            .records
            .len(),
        61
    );
}

#[test]
fn an_interval_syncs_by_itself_when_nothing_more_comes() {
    let disk = SimulatedDisk::new();
    let durability = Durability::Interval(Duration::from_millis(1));
    let opened = open(
        &disk,
        Options {
            durability,
            ..options()
        },
    );
    opened.put(&payloads(0..10, 50));
    let last = opened.log.last_written_lsn();
    let deadline = std::time::Instant::now() + LONG;
    while opened.log.durable_lsn() < last {
        assert!(std::time::Instant::now() < deadline, "never synced");
        std::thread::yield_now();
    }
    assert_eq!(
        open(&disk.image(PowerLoss::unsynced()), options())
            .found
            .records
            .len(),
        10
    );
}

#[test]
fn a_log_is_opened_once_at_a_time() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, options());
    let again = Log::open(
        Arc::new(disk.clone()),
        options(),
        |_: &mut Found| Plain::default(),
        &mut Found::default(),
    );
    assert!(matches!(again, Err(OpenError::Locked { .. })));
    opened.log.shutdown();
    assert!(open(&disk, options()).report.clean);
}

#[test]
fn what_is_submitted_before_the_end_is_written_and_nothing_after() {
    for dropped in [false, true] {
        let disk = SimulatedDisk::new();
        let Opened { log, author, .. } = open(&disk, options());
        let mut burst = payloads(0..5000, 50);
        let ticket = log.submit(&mut burst);
        assert!(burst.is_empty());
        if dropped {
            drop(log);
            let deadline = std::time::Instant::now() + LONG;
            while author.seen().durable < ticket {
                assert!(std::time::Instant::now() < deadline, "never written");
                std::thread::yield_now();
            }
        } else {
            let other = log.clone();
            let waiter = std::thread::spawn(move || other.shutdown());
            log.shutdown();
            waiter.join().unwrap();
            log.wait_durable(ticket, Duration::ZERO).unwrap();
            let late = log.submit(&mut payloads(5000..5001, 50));
            let error = log.wait_durable(late, LONG).unwrap_err();
            assert!(
                matches!(error, WaitError::Failed(CommitError::Closed)),
                "{error}"
            );
            assert!(matches!(log.sync(), Err(CommitError::Closed)));
            log.shutdown();
        }
        let image = disk.image(PowerLoss::unsynced());
        assert_eq!(
            open(&image, options()).found.payloads(),
            payloads(0..5000, 50)
        );
    }
}

#[test]
fn waiting_ends_when_the_time_is_up() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, options());
    let (started, go_on) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
    let (started_sender, go_on_receiver) = (started.0, std::sync::Mutex::new(go_on.1));
    disk.watch(move |step| {
        if step.operation == Operation::Sync {
            started_sender.send(()).unwrap_or_default();
            drop(go_on_receiver.lock().map(|receiver| receiver.recv()));
        }
    });
    let ticket = opened.log.submit(&mut payloads(0..1, 50));
    started.1.recv().unwrap();
    let error = opened
        .log
        .wait_durable(ticket, Duration::from_millis(1))
        .unwrap_err();
    assert!(matches!(error, WaitError::Timeout));
    assert_eq!(opened.log.progress().written, ticket);
    assert_eq!(opened.log.progress().durable, Ticket(0));
    drop(go_on.0);
    opened.log.wait_durable(ticket, LONG).unwrap();
}

#[test]
fn a_failure_while_opening_is_an_error_and_the_next_opening_succeeds() {
    let disk = SimulatedDisk::new();
    open(&disk, options()).put(&payloads(0..100, 500));
    let image = disk.image(PowerLoss::process_death());
    let probe = image.image(PowerLoss::process_death());
    drop(open(&probe, options()));
    let (writes, syncs) = (probe.writes(), probe.syncs());
    let points = (1..=writes)
        .map(FaultPoint::Write)
        .chain((1..=syncs).map(FaultPoint::Sync));
    for at in points {
        for effect in [FaultEffect::Fail, FaultEffect::Tear, FaultEffect::Freeze] {
            let disk = image.image(PowerLoss::process_death());
            disk.inject(Fault { at, effect });
            let opened = Log::open(
                Arc::new(disk.clone()),
                options(),
                |_: &mut Found| Plain::default(),
                &mut Found::default(),
            );
            // The last writes and syncs are those of the end.
            if let Ok((log, _)) = opened {
                log.shutdown();
            }
            let again = open(&disk.image(PowerLoss::unsynced()), options());
            assert_eq!(
                again.found.payloads(),
                payloads(0..100, 500),
                "{at:?} {effect:?}"
            );
            assert!(
                again.report.damage.is_empty(),
                "{at:?} {effect:?}: {:?}",
                again.report
            );
        }
    }
}
