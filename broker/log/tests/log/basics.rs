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
