//! Bits that flip, files that are cut short or gone: never a panic, never a wrong payload, and
//! nothing missing that is not reported.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use leveret_log::{
    Checkpoint, DamageKind, Location, Lsn, OpenError, ReadError, Report, inspect,
    simulated::{PowerLoss, SimulatedDisk},
};

use crate::common::*;

/// A log of some segments, its files, and what it holds.
struct Sound {
    disk: SimulatedDisk,
    found: Found,
    report: Report,
}

impl Sound {
    /// Groups of one, two, ... five records of 60 bytes, stopped cleanly or killed.
    fn new(groups: u64, clean: bool) -> Self {
        let disk = SimulatedDisk::new();
        let opened = open(&disk, options());
        let mut number = 0;
        for group in 0..groups {
            let mut burst = payloads(number..number + 1 + group % 5, 60);
            number += 1 + group % 5;
            let ticket = opened.log.submit(&mut burst);
            opened.log.wait_durable(ticket, LONG).expect("durable");
        }
        if clean {
            opened.log.shutdown();
        }
        let disk = disk.image(PowerLoss::unsynced());
        let mut found = Found::default();
        let report = inspect(Arc::new(disk.clone()), &options(), &mut found).expect("inspected");
        assert_eq!(found.payloads(), payloads(0..number, 60));
        Self {
            disk,
            found,
            report,
        }
    }

    fn copy(&self) -> SimulatedDisk {
        self.disk.image(PowerLoss::process_death())
    }

    fn segment(&self, number: u32) -> PathBuf {
        directory().join(format!("{number:010}.seg"))
    }

    fn location(&self, index: usize) -> Location {
        self.found.records[index].1
    }

    /// Whatever was done to the disk: what is found is true, and what is not is reported.
    fn check(&self, disk: &SimulatedDisk, what: &str) -> (Found, Report) {
        let mut found = Found::default();
        let report = inspect(Arc::new(disk.clone()), &options(), &mut found).expect("inspected");
        for record in &found.records {
            assert!(
                self.found.records.contains(record),
                "{what}: {} changed",
                record.0
            );
        }
        for record in &self.found.records {
            let reported = report
                .damage
                .iter()
                .any(|damage| (damage.first_lsn..=damage.last_lsn).contains(&record.0))
                || report.cut.iter().any(|cut| cut.first_lsn <= record.0);
            let there = found.records.contains(record);
            assert!(
                there || reported,
                "{what}: {} vanished without a word: {report:?}",
                record.0
            );
        }
        (found, report)
    }
}

fn flip(disk: &SimulatedDisk, path: &Path, offset: u32, mask: u8) {
    let byte = disk.contents(path).expect("the file")[offset as usize] ^ mask;
    disk.corrupt(path, u64::from(offset), &[byte])
        .expect("the file");
}

/// Opens a damaged log for good, goes on writing to it, and opens it again.
fn goes_on(sound: &Sound, disk: &SimulatedDisk, what: &str) {
    let (found, _) = sound.check(disk, what);
    let opened = open(disk, options());
    assert_eq!(
        opened.found.records, found.records,
        "{what}: inspection and opening differ"
    );
    let more = payloads(1000..1010, 60);
    opened.put(&more);
    let first = opened.author.seen().places[&more[0]].1;
    let last = sound.found.records.last().map(|record| record.0);
    assert!(Some(first) > last, "{what}: {first} was given out before");
    let segment = opened.log.segments().last().expect("one").id;
    let header = disk.contents(&sound.segment(segment.0)).expect("its file");
    let group = u64::from_le_bytes(header[40..48].try_into().expect("eight bytes"));
    assert!(
        group > sound.report.groups,
        "{what}: group {group} was there before"
    );
    let image = disk.image(PowerLoss::unsynced());
    let again = open(&image, options());
    let mut all = found.payloads();
    all.extend(more.iter().map(Vec::as_slice));
    assert_eq!(again.found.payloads(), all, "{what}: after going on");
    assert!(
        again.report.cut.is_empty(),
        "{what}: cut again: {:?}",
        again.report
    );
}

#[test]
fn no_flipped_byte_goes_unnoticed_or_changes_a_payload() {
    for clean in [true, false] {
        let sound = Sound::new(30, clean);
        assert_eq!(sound.report.segments, 1);
        let path = sound.segment(1);
        let used = used_bytes(&sound.disk, &path);
        for offset in 0..used {
            let disk = sound.copy();
            flip(&disk, &path, offset, 1 << (offset % 8));
            let what = format!("byte {offset} (clean: {clean})");
            sound.check(&disk, &what);
            if offset % 37 == 0 {
                goes_on(&sound, &disk, &what);
            }
        }
    }
}

/// The end of what is not zero.
fn used_bytes(disk: &SimulatedDisk, path: &Path) -> u32 {
    let contents = disk.contents(path).expect("some bytes");
    contents
        .iter()
        .rposition(|byte| *byte != 0)
        .expect("some bytes") as u32
        + 9
}

#[test]
fn no_truncation_and_no_lost_page_goes_unnoticed() {
    let sound = Sound::new(150, true);
    for number in 1..=2 {
        let path = sound.segment(number);
        let used = used_bytes(&sound.disk, &path);
        for offset in (0..used).step_by(512) {
            let disk = sound.copy();
            let zeroes = vec![0; 512.min(used - offset) as usize];
            disk.corrupt(&path, u64::from(offset), &zeroes).unwrap();
            goes_on(&sound, &disk, &format!("zeroes at {offset} of {number}"));
            let disk = sound.copy();
            let file = leveret_log::Disk::open(&disk, &path).unwrap();
            file.truncate(u64::from(offset + 100)).unwrap();
            file.sync_data().unwrap();
            goes_on(&sound, &disk, &format!("{number} cut at {}", offset + 100));
        }
    }
}

#[test]
fn damage_to_the_last_group_is_cut_and_to_an_earlier_one_is_not() {
    let sound = Sound::new(10, false);
    let last = sound.found.records.len() - 1;
    let disk = sound.copy();
    flip(&disk, &sound.segment(1), sound.location(last).offset, 4);
    let (found, report) = sound.check(&disk, "the last group");
    assert_eq!(
        found.records.len(),
        last + 1 - 5,
        "a torn group is lost as a whole"
    );
    assert_eq!((report.cut.len(), report.damage.len()), (1, 0));
    assert_eq!(report.cut[0].first_lsn, sound.found.records[last - 4].0);
    assert_eq!(report.cut[0].last_lsn, Some(sound.found.records[last].0));
    goes_on(&sound, &disk, "the last group");
    let left = disk.contents(&sound.segment(1)).unwrap().len();
    assert_eq!(
        left, report.cut[0].offset as usize,
        "what was cut is still in the file"
    );

    let disk = sound.copy();
    flip(&disk, &sound.segment(1), sound.location(last - 5).offset, 4);
    let (found, report) = sound.check(&disk, "the one before");
    assert_eq!(
        found.records.len(),
        last,
        "of a damaged group the other records are kept"
    );
    assert_eq!((report.cut.len(), report.damage.len()), (0, 1));
    let damage = &report.damage[0];
    assert_eq!((damage.kind, damage.kept), (DamageKind::Groups, 3));
    assert_eq!(damage.last_lsn, sound.found.records[last - 5].0);
    goes_on(&sound, &disk, "the one before");
}

#[test]
fn a_clean_stop_tells_damage_to_the_last_group_from_a_torn_write() {
    let sound = Sound::new(10, true);
    assert!(sound.report.clean);
    let disk = sound.copy();
    let last = sound.found.records.len() - 1;
    flip(&disk, &sound.segment(1), sound.location(last).offset, 4);
    let (found, report) = sound.check(&disk, "the last group");
    assert_eq!(found.records.len(), last);
    assert_eq!((report.cut.len(), report.damage.len()), (0, 1));
    assert!(!report.clean);
}

#[test]
fn what_the_owner_knows_to_be_durable_is_not_cut_but_damaged() {
    let sound = Sound::new(10, false);
    let last = sound.found.records.len() - 1;
    let disk = sound.copy();
    flip(&disk, &sound.segment(1), sound.location(last).offset, 4);
    let synced_below = sound.found.records[last].0;
    let mut found = Found {
        synced_below,
        ..Found::default()
    };
    let report = inspect(Arc::new(disk.clone()), &options(), &mut found).unwrap();
    assert_eq!((report.cut.len(), report.damage.len()), (0, 1));
    assert_eq!(found.records.len(), last);
    let opened = open_from(
        &disk,
        options(),
        Found {
            synced_below,
            ..Found::default()
        },
    );
    assert_eq!(opened.found.records, found.records);
    let quarantined = opened.report.damage[0].quarantined.clone().unwrap();
    let copy = disk.contents(&quarantined).unwrap();
    assert_eq!(copy.len() as u32, opened.report.damage[0].bytes);
}

#[test]
fn a_log_that_ends_before_what_the_owner_knows_is_reported() {
    let sound = Sound::new(10, true);
    let found = Found {
        synced_below: Lsn(500),
        highest: Lsn(700),
        ..Found::default()
    };
    let opened = open_from(&sound.disk, options(), found);
    assert_eq!(opened.report.damage[0].kind, DamageKind::MissingEnd);
    assert_eq!(opened.report.damage[0].last_lsn, Lsn(499));
    opened.put(&payloads(1000..1001, 60));
    let (_, lsn) = opened.author.seen().places[&payload(1000, 60)];
    assert!(lsn > Lsn(700), "{lsn} was seen before");
    opened.log.shutdown();
    assert!(open(&sound.disk, options()).report.damage.is_empty());
}

#[test]
fn a_segment_without_header_or_file_is_reported_with_its_range() {
    let sound = Sound::new(150, true);
    let second = sound
        .found
        .records
        .iter()
        .position(|record| record.1.segment.0 == 2)
        .unwrap();
    let third = sound
        .found
        .records
        .iter()
        .position(|record| record.1.segment.0 == 3)
        .unwrap();
    let range = (
        sound.found.records[second].0,
        sound.found.records[third - 1].0,
    );
    for remove in [false, true] {
        let disk = sound.copy();
        if remove {
            leveret_log::Disk::remove(&disk, &sound.segment(2)).unwrap();
        } else {
            disk.corrupt(&sound.segment(2), 0, &[0xff; 4096]).unwrap();
        }
        let (found, report) = sound.check(&disk, "the second segment");
        assert_eq!(
            found.records.len(),
            sound.found.records.len() - (third - second)
        );
        let damage = &report.damage[0];
        assert_eq!((damage.first_lsn, damage.last_lsn), range);
        goes_on(&sound, &disk, "the second segment");
    }
}

#[test]
fn a_torn_tail_over_several_segments_is_cut_as_a_whole_and_its_numbers_are_not_used_again() {
    let sound = Sound::new(150, false);
    let last = sound.report.segments as u32;
    assert!(last > 2);
    for headers_too in [false, true] {
        let disk = sound.copy();
        for number in 2..=last {
            let path = sound.segment(number);
            let used = used_bytes(&disk, &path) as usize;
            disk.corrupt(&path, 4096, &vec![0xff; used - 4096]).unwrap();
            if headers_too {
                disk.corrupt(&path, 0, &[0xff; 4096]).unwrap();
            }
        }
        // Each segment's header tells that the segment before it was durable.
        let first_cut = if headers_too { 2 } else { last };
        let (_, report) = sound.check(&disk, "the tail");
        assert_eq!((report.cut.len(), report.cut[0].segment.0), (1, first_cut));
        goes_on(&sound, &disk, "the tail");
        for number in 1..=last {
            assert_eq!(
                disk.paths().contains(&sound.segment(number)),
                number < first_cut
            );
        }
    }
}

#[test]
fn a_hole_that_begins_durable_and_ends_beyond_is_salvaged_only_as_far_as_it_was_durable() {
    let disk = SimulatedDisk::new();
    let durability = leveret_log::Durability::Os;
    let options = leveret_log::Options {
        durability,
        ..options()
    };
    let opened = open(&disk, options.clone());
    opened.put(&payloads(0..1, 60));
    let durable = opened.log.sync().unwrap();
    opened.put(&payloads(1..4, 60));
    let image = disk.image(PowerLoss::process_death());
    let path = directory().join("0000000001.seg");
    for number in [0, 1] {
        let (location, _) = opened.author.seen().places[&payload(number, 60)];
        image
            .corrupt(&path, u64::from(location.offset - 12 - 40), &[0xee; 4])
            .unwrap();
    }
    // Both headers are lost; those behind say that the first group was durable, and no more.
    for _ in 0..2 {
        let again = open(&image, options.clone());
        assert_eq!(again.found.payloads(), payloads(0..1, 60));
        let damage = &again.report.damage[0];
        assert_eq!(
            (damage.first_lsn, damage.last_lsn, damage.kept),
            (durable, durable, 1)
        );
        again.log.shutdown();
    }
    assert!(open(&image, options).report.cut.is_empty());
}

#[test]
fn one_of_two_headers_is_enough() {
    let sound = Sound::new(10, true);
    for copy in [20, 2068] {
        let disk = sound.copy();
        flip(&disk, &sound.segment(1), copy, 1);
        let (found, report) = sound.check(&disk, "a header");
        assert_eq!(found.records, sound.found.records);
        assert_eq!(report.damage[0].kind, DamageKind::HeaderCopy);
    }
}

#[test]
fn a_newer_format_is_refused_and_nothing_is_changed() {
    let sound = Sound::new(10, true);
    let path = sound.segment(1);
    let mut contents = sound.disk.contents(&path).unwrap();
    for copy in [0, 2048] {
        let header = &mut contents[copy..copy + 96];
        header[8] = 2;
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..]);
        header[12..16].copy_from_slice(&checksum.to_le_bytes());
    }
    sound.disk.corrupt(&path, 0, &contents).unwrap();
    let before = sound.disk.paths();
    let mut found = Found::default();
    let opened = leveret_log::Log::open(
        Arc::new(sound.disk.clone()),
        options(),
        |_: &mut Found| Plain::default(),
        &mut found,
    );
    match opened {
        Err(OpenError::NewerFormat {
            found: 2,
            supported: 1,
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(sound.disk.paths(), before);
    assert_eq!(sound.disk.contents(&path).unwrap(), contents);
}

#[test]
fn a_damaged_record_is_never_read_back() {
    let sound = Sound::new(10, true);
    let opened = open(&sound.disk, options());
    let location = sound.location(3);
    let path = sound.segment(1);
    for offset in location.offset - 12..location.offset + location.length {
        flip(&sound.disk, &path, offset, 0x20);
        let read = opened.log.read(location);
        // The bits of the LSN are covered by the checksum like everything else.
        assert!(
            matches!(read, Err(ReadError::Damaged(_))),
            "byte {offset}: {read:?}"
        );
        assert!(matches!(
            opened.log.reader().read(location),
            Err(ReadError::Damaged(_))
        ));
        flip(&sound.disk, &path, offset, 0x20);
    }
    assert_eq!(opened.log.read(location).unwrap(), sound.found.records[3].2);
    for wrong in [
        Location {
            offset: 0,
            ..location
        },
        Location {
            offset: u32::MAX,
            ..location
        },
        Location {
            length: u32::MAX,
            ..location
        },
        Location {
            length: location.length - 1,
            ..location
        },
        Location {
            offset: location.offset + 1,
            ..location
        },
    ] {
        assert!(
            matches!(opened.log.read(wrong), Err(ReadError::Damaged(_))),
            "{wrong}"
        );
        assert!(
            matches!(opened.log.reader().read(wrong), Err(ReadError::Damaged(_))),
            "{wrong}"
        );
    }
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, options());
    let mut lsns = Vec::new();
    for epoch in 1..=2 {
        opened.put(&payloads(epoch * 100..epoch * 100 + 20, 60));
        let checkpoint = Checkpoint {
            epoch,
            below: Lsn(1),
            payload: vec![epoch as u8; 40],
        };
        lsns.push(opened.log.checkpoint(checkpoint, |_, _| true).unwrap().lsn);
    }
    opened.log.shutdown();
    let path = directory().join("0000000001.seg");
    let contents = disk.contents(&path).unwrap();
    let second = contents
        .windows(40)
        .position(|window| window == [2; 40])
        .unwrap() as u32;
    let again = open(&disk.image(PowerLoss::process_death()), options());
    assert_eq!(again.found.checkpoint.unwrap().lsn, lsns[1]);
    flip(&disk, &path, second, 1);
    let again = open(&disk, options());
    let found = again.found.checkpoint.clone().unwrap();
    assert_eq!(
        (found.lsn, found.epoch, found.payload),
        (lsns[0], 1, vec![1; 40])
    );
    assert_eq!(again.report.damage[0].first_lsn, lsns[1]);
    assert_eq!(again.found.records.len(), 40);
}
