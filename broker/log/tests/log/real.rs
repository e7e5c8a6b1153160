//! The same on the machine's own disk, with a process that is killed.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use leveret_log::{Checkpoint, Disk, Log, OpenError, Options, RealDisk, Report};

use crate::common::*;

const CHILD: &str = "LOG_TEST_CHILD_DIRECTORY";

fn small(directory: &Path) -> Options {
    Options {
        segment_bytes_min: 32 << 10,
        segment_bytes_max: 256 << 10,
        ..Options::new(directory.join("log"))
    }
}

fn open_real(directory: &Path) -> (Log<Plain>, Found, Report) {
    let mut found = Found::default();
    let author = |_: &mut Found| Plain::default();
    let (log, report) =
        Log::open(Arc::new(RealDisk), small(directory), author, &mut found).expect("it opens");
    (log, found, report)
}

#[test]
fn a_log_on_a_real_disk_keeps_what_it_was_given() {
    let directory = tempfile::tempdir().unwrap();
    let (log, ..) = open_real(directory.path());
    let ticket = log.submit(&mut payloads(0..2000, 300));
    log.wait_durable(ticket, LONG).unwrap();
    let second = Log::open(
        Arc::new(RealDisk),
        small(directory.path()),
        |_: &mut Found| Plain::default(),
        &mut Found::default(),
    );
    assert!(matches!(second, Err(OpenError::Locked { .. })));
    assert!(RealDisk.free_bytes(directory.path()).unwrap() > 0);
    log.shutdown();
    let (log, found, report) = open_real(directory.path());
    assert_eq!(found.payloads(), payloads(0..2000, 300));
    assert!(report.clean);
    let mut reader = log.reader();
    for (_, location, payload) in &found.records {
        assert_eq!(reader.read(*location).unwrap(), payload);
        assert_eq!(log.read(*location).unwrap(), *payload);
    }
    // In whatever order, with rests or without: near and far, forwards and backwards.
    for step in [1, 7, 130, 1999] {
        for turn in 0..found.records.len() {
            let at = turn * step % found.records.len();
            for at in [at, found.records.len() - 1 - at] {
                let (_, location, payload) = &found.records[at];
                assert_eq!(reader.read(*location).unwrap(), payload);
            }
            if turn % 50 == 0 {
                reader.rest();
            }
        }
    }
    let before = log.segments().len();
    let below = log.durable_lsn();
    let done = log
        .checkpoint(
            Checkpoint {
                below,
                ..Checkpoint::default()
            },
            |_, _| false,
        )
        .unwrap();
    assert_eq!(done.freed.len() + done.kept.len(), before);
    log.shutdown();
    let (_, found, _) = open_real(directory.path());
    assert!(found.records.is_empty());
}

/// Not a test by itself: the process that the next one kills.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(CHILD) else {
        return;
    };
    let (log, found, _) = open_real(Path::new(&directory));
    let mut next = found.records.len() as u64;
    loop {
        let count = 1 + next % 50;
        let ticket = log.submit(&mut payloads(next..next + count, 200));
        log.wait_durable(ticket, LONG).unwrap();
        next += count;
        // With the harness's own lines between them, so it is marked.
        eprintln!("durable:{next}");
    }
}

#[test]
fn what_a_killed_process_announced_is_there() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "real::child_that_writes_until_it_is_killed",
                "--nocapture",
            ])
            .env(CHILD, directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut announced = 0;
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        for _ in 0..5 + round * 7 {
            let line = lines.next().unwrap().unwrap();
            announced = line
                .strip_prefix("durable:")
                .map_or(announced, |next| next.parse().unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            announced = line
                .strip_prefix("durable:")
                .map_or(announced, |next| next.parse().unwrap());
        }
        assert!(announced > 0);
        let (log, found, report) = open_real(directory.path());
        assert!(found.records.len() as u64 >= announced, "round {round}");
        assert_eq!(
            found.payloads(),
            payloads(0..found.records.len() as u64, 200)
        );
        assert!(report.damage.is_empty() && !report.clean);
        log.shutdown();
    }
}
