//! Whatever stands in the folder, opening does not panic, hang or take memory without bound.

use std::sync::Arc;

use leveret_log::{
    Disk, inspect,
    simulated::{PowerLoss, SimulatedDisk},
};
use proptest::prelude::*;

use crate::common::*;

/// A valid log of some segments, made once.
fn sound() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let opened = open(&disk, options());
    opened.put(&payloads(0..40, 700));
    disk.image(PowerLoss::unsynced())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn files_of_rubbish_are_not_taken_for_a_log(
        files in prop::collection::vec(
            (0u32..6, prop::collection::vec(any::<u8>(), 0..9000)), 0..5),
    ) {
        let disk = SimulatedDisk::new();
        disk.create_directory(&directory()).unwrap();
        for (id, bytes) in &files {
            let path = directory().join(format!("{id:010}.seg"));
            if let Ok(file) = disk.create(&path) {
                file.write_at(0, bytes).unwrap();
            }
        }
        let opened = open(&disk, options());
        prop_assert!(opened.found.records.is_empty());
        opened.put(&payloads(0..3, 100));
        opened.log.shutdown();
        prop_assert_eq!(open(&disk, options()).found.records.len(), 3);
    }

    #[test]
    fn scribbling_over_a_log_brings_up_nothing_that_was_not_written(
        scribbles in prop::collection::vec(
            (1u32..4, 0u64..17_000, prop::collection::vec(any::<u8>(), 1..200)), 1..8),
        swap in any::<bool>(),
    ) {
        let disk = sound();
        let written = payloads(0..40, 700);
        for (id, offset, bytes) in &scribbles {
            let path = directory().join(format!("{id:010}.seg"));
            disk.corrupt(&path, *offset, bytes).unwrap();
        }
        if swap {
            // A segment under another's name is not that one.
            let [first, second] = [1, 2].map(|id| directory().join(format!("{id:010}.seg")));
            let contents = disk.contents(&first).unwrap();
            disk.corrupt(&second, 0, &contents).unwrap();
        }
        let mut found = Found::default();
        let report = inspect(Arc::new(disk.clone()), &options(), &mut found).unwrap();
        for payload in found.payloads() {
            prop_assert!(written.iter().any(|known| known == payload));
        }
        if found.records.len() < written.len() {
            prop_assert!(!report.damage.is_empty() || !report.cut.is_empty());
        }
        let opened = open(&disk, options());
        prop_assert_eq!(&opened.found.records, &found.records);
        opened.put(&payloads(100..103, 100));
    }
}
