//! Segments: how they grow, when they are freed, how they are written again, and what happens when
//! there is no space for one.

use std::{path::Path, sync::Arc};

use leveret_log::{
    Checkpoint, CheckpointDone, CommitError, DamageKind, Lsn, Options, ReadError, SegmentId,
    WaitError, inspect,
    simulated::{Fault, FaultEffect, FaultPoint, PowerLoss, SimulatedDisk},
};

use crate::common::*;

fn checkpoint(opened: &Opened, below: Lsn, keep: &'static [u32]) -> CheckpointDone {
    let checkpoint = Checkpoint {
        epoch: 1,
        below,
        payload: b"state".to_vec(),
    };
    let keep =
        move |_: &mut Plain, segment: &leveret_log::SegmentInfo| keep.contains(&segment.id.0);
    opened
        .log
        .checkpoint(checkpoint, keep)
        .expect("a checkpoint")
}

fn ids(segments: &[SegmentId]) -> Vec<u32> {
    segments.iter().map(|id| id.0).collect()
}

/// Segments of the same length, so that a count of records says where they lie.
fn even() -> Options {
    Options {
        segment_bytes_max: 16 << 10,
        ..options()
    }
}

fn extensions(disk: &SimulatedDisk, extension: &str) -> usize {
    disk.paths()
        .iter()
        .filter(|path| path.extension().is_some_and(|has| has == extension))
        .count()
}

#[test]
fn a_checkpoint_frees_only_what_is_below_it_and_not_kept() {
    let disk = SimulatedDisk::new();
    let opened = open(
        &disk,
        Options {
            spares_max: 0,
            ..even()
        },
    );
    opened.put(&payloads(0..60, 1000));
    let segments = opened.log.segments();
    assert_eq!(
        ids(&segments.iter().map(|info| info.id).collect::<Vec<_>>()),
        [1, 2, 3, 4, 5, 6, 7]
    );
    assert!(segments[6].active && !segments[5].active);
    // The sixth is not wholly below, the last is being written; the second is kept.
    let done = checkpoint(&opened, segments[5].last_lsn, &[2]);
    assert_eq!(
        (ids(&done.kept), ids(&done.freed)),
        (vec![2, 6, 7], vec![1, 3, 4, 5])
    );
    assert_eq!(extensions(&disk, "seg"), 3);
    let places = opened.author.seen().places.clone();
    for (payload, (location, _)) in &places {
        match opened.log.read(*location) {
            Ok(read) => assert_eq!(read, *payload),
            Err(ReadError::NoSegment(id)) => assert!(done.freed.contains(&id)),
            Err(error) => panic!("{error}"),
        }
    }
    let again = open(&disk.image(PowerLoss::unsynced()), even());
    let kept = |id: u32| [2, 6, 7].contains(&id);
    let expected: Vec<_> = places
        .values()
        .filter(|place| kept(place.0.segment.0))
        .collect();
    assert_eq!(again.found.records.len(), expected.len());
    assert!(again.report.damage.is_empty());
    let found = again.found.checkpoint.unwrap();
    assert_eq!(
        (found.epoch, found.payload, found.lsn),
        (1, b"state".to_vec(), done.lsn)
    );
}

#[test]
fn with_a_good_index_only_what_it_lacks_is_read_and_replayed() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, even());
    opened.put(&payloads(0..60, 1000));
    let below = opened.log.segments()[3].first_lsn.plus(4);
    checkpoint(&opened, below, &[1, 2, 3]);
    opened.log.shutdown();
    let image = disk.image(PowerLoss::process_death());
    // Below the checkpoint nothing is read at opening, so damage there shows when it is read.
    image
        .corrupt(&directory().join("0000000002.seg"), 5000, &[0; 100])
        .unwrap();
    let again = open_from(
        &image,
        even(),
        Found {
            from: below,
            ..Found::default()
        },
    );
    assert_eq!(again.found.records[0].0, below);
    assert!(again.found.records.len() < 30 && again.report.damage.is_empty());
    assert_eq!(again.log.segments().len(), 8);
    for (payload, (location, _)) in &opened.author.seen().places {
        if location.segment.0 != 2 {
            assert_eq!(again.log.read(*location).unwrap(), *payload);
        }
    }
    again.log.shutdown();
    let rebuilt = open(&image, even());
    assert_eq!(
        rebuilt.found.records.len(),
        60 - rebuilt.report.damage.len()
    );
    assert_eq!(rebuilt.report.damage.len(), 1);
}

#[test]
fn a_listed_segment_that_is_gone_is_noticed_without_reading_the_others() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, even());
    opened.put(&payloads(0..60, 1000));
    let segments = opened.log.segments();
    let below = segments[5].first_lsn;
    checkpoint(&opened, below, &[1, 2, 3, 4]);
    opened.log.shutdown();
    for (lost, kind) in [(2, DamageKind::MissingSegment), (3, DamageKind::Header)] {
        let image = disk.image(PowerLoss::process_death());
        let path = directory().join(format!("{lost:010}.seg"));
        if kind == DamageKind::Header {
            image.corrupt(&path, 0, &[0xff; 4096]).unwrap();
        } else {
            leveret_log::Disk::remove(&image, &path).unwrap();
        }
        let again = open_from(
            &image,
            even(),
            Found {
                from: below,
                ..Found::default()
            },
        );
        let damage = &again.report.damage[0];
        let expected = segments[lost - 1];
        assert_eq!(again.report.damage.len(), 1);
        assert_eq!((damage.kind, damage.segment), (kind, expected.id));
        assert_eq!(
            (damage.first_lsn, damage.last_lsn),
            (expected.first_lsn, expected.last_lsn)
        );
        assert!(
            again
                .log
                .segments()
                .iter()
                .all(|segment| segment.id != expected.id)
        );
    }
}

#[test]
fn a_segment_being_read_is_recycled_only_afterwards() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, even());
    opened.put(&payloads(0..40, 1000));
    let places = opened.author.seen().places.clone();
    let first = payload(0, 1000);
    let mut reader = opened.log.reader();
    assert_eq!(reader.read(places[&first].0).unwrap(), first);
    let below = opened.log.durable_lsn();
    assert!(ids(&checkpoint(&opened, below, &[]).freed).contains(&1));
    assert!(disk.paths().contains(&directory().join("0000000001.seg")));
    opened.put(&payloads(40..80, 1000));
    // Others cannot get at it any more; whoever had it can, and reads what was there.
    assert!(matches!(
        opened.log.read(places[&first].0),
        Err(ReadError::NoSegment(_))
    ));
    assert_eq!(
        reader.read(places[&payload(1, 1000)].0).unwrap(),
        payload(1, 1000)
    );
    reader.rest();
    opened.put(&payloads(80..100, 1000));
    assert!(!disk.paths().contains(&directory().join("0000000001.seg")));
}

#[test]
fn nothing_of_a_recycled_segment_comes_back() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, even());
    for round in 0..20 {
        for number in round * 30..(round + 1) * 30 {
            opened.put(&[payload(number, 1000)]);
            // Wherever the end of the log is, what stood there before is not taken for a part of it.
            let image = Arc::new(disk.image(PowerLoss::unsynced()));
            let report = inspect(image, &even(), &mut Found::default()).unwrap();
            assert!(
                report.cut.is_empty() && report.damage.is_empty(),
                "{number}: {report:?}"
            );
        }
        let below = opened.log.durable_lsn();
        checkpoint(&opened, below, &[]);
    }
    // A spare for the one segment that a drained log has.
    assert_eq!(extensions(&disk, "spare"), 1, "{:?}", disk.paths());
    assert_eq!(disk.used_bytes(), 32 << 10);
    let live = opened.log.segments();
    let again = open(&disk.image(PowerLoss::unsynced()), even());
    let expected: Vec<Vec<u8>> = (0..600)
        .map(|number| payload(number, 1000))
        .filter(|payload| {
            let (location, _) = opened.author.seen().places[payload];
            live.iter().any(|segment| segment.id == location.segment)
        })
        .collect();
    assert_eq!(again.found.payloads(), expected);
    assert!(again.report.cut.is_empty() && again.report.damage.is_empty());
    assert_eq!(
        extensions(&disk.image(PowerLoss::process_death()), "new"),
        0
    );
}

#[test]
fn every_segment_has_a_seed_of_its_own_and_so_has_a_recycled_one() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, even());
    let mut seeds = std::collections::BTreeSet::new();
    for round in 0..6 {
        opened.put(&payloads(round * 10..(round + 1) * 10, 1000));
        let active = opened.log.segments().last().unwrap().id;
        let path = directory().join(format!("{:010}.seg", active.0));
        seeds.insert(disk.contents(&path).unwrap()[24..32].to_vec());
        let below = opened.log.durable_lsn();
        checkpoint(&opened, below, &[]);
    }
    assert_eq!(seeds.len(), 6);
}

#[test]
fn segments_grow_with_the_log_and_shrink_when_it_is_drained() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, options());
    opened.put(&payloads(0..300, 1000));
    let lengths: Vec<u64> = opened
        .log
        .segments()
        .iter()
        .map(|info| info.file_bytes >> 10)
        .collect();
    assert_eq!(lengths, [16, 16, 32, 64, 64, 64, 64, 64, 64]);
    for round in 0..3 {
        let below = opened.log.durable_lsn();
        checkpoint(&opened, below, &[]);
        opened.put(&payloads(1000 + round * 70..1000 + (round + 1) * 70, 1000));
    }
    let below = opened.log.durable_lsn();
    checkpoint(&opened, below, &[]);
    assert!(
        disk.used_bytes() <= 128 << 10,
        "{} bytes",
        disk.used_bytes()
    );
}

#[test]
fn a_group_larger_than_a_segment_gets_one_of_its_own() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, options());
    let written = [
        payload(1, 100),
        payload(2, 500_000),
        payload(3, 100),
        payload(4, 65_500),
    ];
    opened.put(&written);
    for payload in &written {
        let (location, _) = opened.author.seen().places[payload];
        assert_eq!(opened.log.read(location).unwrap(), *payload);
    }
    let again = open(&disk.image(PowerLoss::unsynced()), options());
    assert_eq!(again.found.payloads(), written);
}

#[test]
fn without_space_a_turn_fails_and_with_space_the_next_succeeds() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, even());
    disk.set_capacity(Some(40 << 10));
    let mut failed = Vec::new();
    for number in 0..50 {
        let ticket = opened.log.submit(&mut vec![payload(number, 1000)]);
        match opened.log.wait_durable(ticket, LONG) {
            Ok(()) => assert!(failed.is_empty(), "{number} was written after a failure"),
            Err(WaitError::Failed(CommitError::NoSpace { .. })) => failed.push(number),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(!failed.is_empty() && failed[0] > 10);
    assert_eq!(opened.author.seen().failed.len(), failed.len());
    assert!(opened.log.progress().failed.is_some());
    disk.set_capacity(None);
    opened.put(&payloads(100..130, 1000));
    let image = disk.image(PowerLoss::unsynced());
    let mut expected = payloads(0..failed[0], 1000);
    expected.extend(payloads(100..130, 1000));
    let again = open(&image, even());
    assert_eq!(again.found.payloads(), expected);
    assert!(again.report.damage.is_empty() && again.report.cut.is_empty());
}

#[test]
fn a_checkpoint_frees_space_on_a_full_disk() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, even());
    opened.put(&payloads(0..30, 1000));
    disk.set_capacity(Some(disk.used_bytes()));
    let mut full = false;
    for number in 30..60 {
        let ticket = opened.log.submit(&mut vec![payload(number, 1000)]);
        full |= opened.log.wait_durable(ticket, LONG).is_err();
    }
    assert!(full);
    let below = opened.log.durable_lsn();
    let done = checkpoint(&opened, below, &[]);
    assert!(!done.freed.is_empty());
    opened.put(&payloads(60..70, 1000));
}

#[test]
fn a_shorter_segment_is_made_where_there_is_no_space_for_a_long_one() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, options());
    opened.put(&payloads(0..60, 1000));
    disk.set_capacity(Some(disk.used_bytes() + (20 << 10)));
    opened.put(&payloads(60..95, 1000));
    let lengths: Vec<u64> = opened
        .log
        .segments()
        .iter()
        .map(|info| info.file_bytes >> 10)
        .collect();
    assert_eq!(lengths, [16, 16, 32, 64, 16]);
}

#[test]
fn a_segment_that_cannot_be_named_fails_the_turn_alone() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, even());
    opened.put(&payloads(0..10, 1000));
    // The header of the next segment cannot be written.
    disk.inject(Fault {
        at: FaultPoint::Write(disk.writes() + 9),
        effect: FaultEffect::Fail,
    });
    let outcomes: Vec<bool> = (10..20)
        .map(|number| {
            let ticket = opened.log.submit(&mut vec![payload(number, 1000)]);
            opened.log.wait_durable(ticket, LONG).is_ok()
        })
        .collect();
    assert_eq!(
        outcomes.iter().filter(|durable| !**durable).count(),
        1,
        "{outcomes:?}"
    );
    assert_eq!(extensions(&disk, "new"), 0);
    let again = open(&disk.image(PowerLoss::unsynced()), even());
    assert_eq!(again.found.records.len(), 19);
}

#[test]
fn what_an_interrupted_recycling_leaves_is_cleared_away() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, even());
    opened.put(&payloads(0..40, 1000));
    let below = opened.log.durable_lsn();
    checkpoint(&opened, below, &[]);
    opened.log.shutdown();
    let image = disk.image(PowerLoss::process_death());
    // A segment that was being made, and the freed first one whose removal was lost.
    let first = open(&SimulatedDisk::new(), even());
    first.put(&payloads(500..510, 1000));
    for name in ["0000000001.seg", "0000000077.new", "0000000078.spare"] {
        let file = leveret_log::Disk::create(&image, &directory().join(name)).unwrap();
        file.write_at(0, &[0x55; 10_000]).unwrap();
    }
    let again = open(&image, even());
    assert!(again.report.damage.is_empty());
    let names: Vec<_> = image.paths();
    assert!(
        !names
            .iter()
            .any(|path| path == Path::new("/data/log/0000000001.seg"))
    );
    assert_eq!(extensions(&image, "new") + extensions(&image, "spare"), 0);
    // No number is used twice, not even that of a file which was only being made.
    assert!(again.log.segments().last().unwrap().id > SegmentId(78));
}

#[test]
fn a_segment_that_a_recovery_abandoned_stays_abandoned_if_it_comes_back() {
    let disk = SimulatedDisk::new();
    let options = Options {
        durability: leveret_log::Durability::Os,
        ..even()
    };
    let opened = open(&disk, options.clone());
    opened.put(&payloads(0..25, 1000));
    // The first group is lost and the second segment is there: a torn tail of two segments.
    let torn = disk.image(PowerLoss::process_death());
    let (location, _) = opened.author.seen().places[&payload(0, 1000)];
    torn.corrupt(
        &directory().join("0000000001.seg"),
        u64::from(location.offset),
        &[9],
    )
    .unwrap();
    let second = torn.contents(&directory().join("0000000002.seg")).unwrap();
    let recovered = open(&torn, options.clone());
    assert!(recovered.found.records.is_empty());
    assert_eq!(recovered.report.cut.len(), 1);
    recovered.put(&payloads(100..110, 1000));
    recovered.log.shutdown();
    let file = leveret_log::Disk::create(&torn, &directory().join("0000000002.seg")).unwrap();
    file.write_at(0, &second).unwrap();
    let again = open(&torn, options);
    assert_eq!(again.found.payloads(), payloads(100..110, 1000));
    assert!(again.report.damage.is_empty() && again.report.cut.is_empty());
}
