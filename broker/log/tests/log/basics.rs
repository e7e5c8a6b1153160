//! Writing, waiting, reading back, opening again.

use crate::common::*;
use leveret_log::simulated::{PowerLoss, SimulatedDisk};

#[test]
fn what_was_written_is_replayed_after_a_clean_stop() {
    let disk = SimulatedDisk::new();
    let written = payloads(0..500, 100);
    let first = open(&disk, options());
    assert!(first.found.records.is_empty());
    first.put(&written);
    first.log.shutdown();
    let second = open(&disk, options());
    assert_eq!(second.found.payloads(), written);
    assert!(second.report.clean);
    assert_eq!(second.report.records, 500);
    assert!(second.report.cut.is_empty() && second.report.damage.is_empty());
    let places = first.author.seen().places.clone();
    for (lsn, location, payload) in &second.found.records {
        assert_eq!(places[payload], (*location, *lsn));
        assert_eq!(second.log.read(*location).unwrap(), *payload);
    }
}

#[test]
fn what_was_announced_survives_the_loss_of_everything_unsynced() {
    let disk = SimulatedDisk::new();
    let written = payloads(0..300, 200);
    let first = open(&disk, options());
    first.put(&written);
    let image = disk.image(PowerLoss::unsynced());
    let second = open(&image, options());
    assert_eq!(second.found.payloads(), written);
    assert!(!second.report.clean);
    second.put(&payloads(300..400, 200));
    let third = open(&image.image(PowerLoss::unsynced()), options());
    assert_eq!(third.found.payloads(), payloads(0..400, 200));
}

#[test]
fn many_payloads_are_read_back_in_whatever_order_they_are_asked_for() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, options());
    let mut written = payloads(0..300, 900);
    written.insert(100, payload(1000, 700_000));
    written.insert(200, payload(1001, 0));
    opened.put(&written);
    let places = opened.author.seen().places.clone();
    for step in [1, 7, 150] {
        let order: Vec<usize> = (0..written.len())
            .map(|n| n * step % written.len())
            .collect();
        let locations: Vec<_> = order.iter().map(|n| places[&written[*n]].0).collect();
        let mut read = 0;
        opened.log.reader().read_many(&locations, |index, payload| {
            assert_eq!(payload.unwrap(), written[order[index]], "step {step}");
            read += 1;
        });
        assert_eq!(read, written.len());
    }
}

#[test]
fn a_visit_shows_a_segment_whole_even_where_it_is_damaged() {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, options());
    for number in 0..5 {
        let ticket = opened
            .log
            .submit(&mut payloads(number * 10..number * 10 + 10, 50));
        opened.log.wait_durable(ticket, LONG).unwrap();
    }
    let segment = opened.log.segments()[0].id;
    let places = opened.author.seen().places.clone();
    let visit = || {
        let mut visited = Vec::new();
        opened
            .log
            .visit(segment, |record| {
                assert_eq!(places[record.payload], (record.location, record.lsn));
                visited.push(record.payload.to_vec());
            })
            .unwrap();
        visited
    };
    assert_eq!(visit(), payloads(0..50, 50));
    // A record of the third group, and the header of the fourth.
    let path = directory().join("0000000001.seg");
    let third = places[&payload(25, 50)].0.offset;
    let fourth = places[&payload(30, 50)].0.offset - 12 - 64;
    for offset in [third, fourth + 20] {
        disk.corrupt(&path, u64::from(offset), &[0xee]).unwrap();
    }
    let mut expected = payloads(0..50, 50);
    expected.remove(25);
    assert_eq!(visit(), expected);
}
