//! Tests of what damage costs, and that it is told.

use std::path::Path;

use super::bench::{Bench, declare, expected, settle};
use crate::model::{QueueId, Seq};
use crate::store::sled_state::SledState;
use crate::store::state::StateStore;
use crate::store::{StateSync, StoreError, key, piece, verify};

#[test]
fn a_lost_state_costs_settlements_and_no_messages() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1), declare(2)]);
    bench.publish(1, 0..300);
    bench.checkpoint();
    bench.submit(vec![settle(1, 0, 99)]);
    bench.kill();
    std::fs::remove_dir_all(bench.directory().join("state")).expect("removed");
    bench.open();
    assert!(bench.recovered.report.rebuilt);
    assert!(
        bench
            .recovered
            .queues
            .iter()
            .all(|queue| queue.all_redelivered)
    );
    assert_eq!(bench.messages(1), expected(100..300));
    assert_eq!(bench.recovered.report.queues, 2);
    // It is whole again, and everything stays flagged.
    bench.checkpoint();
    bench.reopen_after_a_kill();
    assert!(!bench.recovered.report.rebuilt);
    assert_eq!(bench.messages(1), expected(100..300));
    let lease = bench.recovered.queues[0].levels[0].lease;
    assert_eq!(lease, Some(Seq::new(0, 299)));
}

#[test]
fn a_state_that_went_back_is_noticed_whichever_it_is() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    let mut copies = Vec::new();
    for round in 0..4_u64 {
        bench.publish(1, round * 100..round * 100 + 100);
        bench.submit(vec![settle(1, round * 100, round * 100 + 49)]);
        bench.checkpoint();
        let copy = bench.folder.path().join(format!("copy {round}"));
        copy_folder(&bench.directory().join("state"), &copy);
        copies.push(copy);
    }
    bench.kill();
    let current = bench.directory().join("state");
    let last = copies.pop().expect("four were made");
    let left = (0..400).filter(|at| at % 100 >= 50);
    for copy in copies {
        std::fs::remove_dir_all(&current).expect("removed");
        copy_folder(&copy, &current);
        bench.open();
        assert!(bench.recovered.report.rebuilt, "{}", copy.display());
        // The log still knows all settlements here: nothing was freed.
        assert_eq!(bench.messages(1), expected(left.clone()));
        bench.kill();
    }
    std::fs::remove_dir_all(&current).expect("removed");
    copy_folder(&last, &current);
    bench.open();
    assert!(
        !bench.recovered.report.rebuilt,
        "it is the one that the log knows"
    );
    assert_eq!(bench.messages(1), expected(left));
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("read") {
        let entry = entry.expect("read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn verifying_tells_what_opening_would_and_changes_nothing() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..600);
    bench.checkpoint();
    bench.submit(vec![settle(1, 0, 9)]);
    assert!(matches!(
        verify(&bench.directory()),
        Err(StoreError::InUse(_))
    ));
    bench.kill();
    let report = verify(&bench.directory()).expect("reads");
    assert_eq!((report.messages, report.queues), (590, 1));
    assert!(!report.is_alarming(), "{report:?}");
    std::fs::remove_dir_all(bench.directory().join("state")).expect("removed");
    let report = verify(&bench.directory()).expect("reads");
    assert!(report.rebuilt && report.messages == 590, "{report:?}");
    assert!(!bench.directory().join("state").exists());
    bench.open();
    assert_eq!(bench.messages(1), expected(10..600));
}

/// Changes the piece that holds one block of queue 1, in the state of a store that is not open.
fn change_block(bench: &Bench, number: u64, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
    let sync = StateSync::default();
    let state = SledState::open(&bench.directory().join("state"), &sync).expect("opens");
    let key = piece::key_of(&key::of_block(key::BLOCK, QueueId(1), 0, number), 0);
    let value = state.get(&key).expect("reads").expect("is there");
    state.apply(&[(key, change(value))]).expect("applies");
    state.sync().expect("syncs");
}

fn damage_block(bench: &Bench, number: u64) {
    change_block(bench, number, |mut value| {
        value[20] ^= 1;
        Some(value)
    });
}

#[test]
fn a_block_that_vanished_is_given_back_by_the_log() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..1600);
    bench.checkpoint();
    bench.kill();
    change_block(&bench, 1, |_| None);
    bench.open();
    assert_eq!(bench.messages(1), expected(0..1600));
    assert_eq!(bench.store().status().report.damage.len(), 1);
}

#[test]
fn a_damaged_block_is_given_back_by_the_log() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1), declare(2)]);
    bench.publish(1, 0..1600);
    bench.publish(2, 0..3);
    bench.submit(vec![settle(1, 600, 610)]);
    bench.checkpoint();
    bench.kill();
    damage_block(&bench, 1);
    bench.open();
    assert!(!bench.recovered.report.rebuilt);
    let left = (0..1600).filter(|at| !(600..=610).contains(at));
    assert_eq!(bench.messages(1), expected(left.clone()));
    assert_eq!(bench.messages(2), expected(0..3));
    let flagged = |bench: &Bench| bench.entries(1).iter().filter(|e| e.redelivered).count();
    assert_eq!(
        flagged(&bench),
        512 - 11,
        "the block's messages, and no others"
    );
    assert_eq!(bench.store().status().report.damage.len(), 1);
    bench.reopen_after_a_kill();
    assert_eq!(bench.messages(1), expected(left));
    assert!(
        !bench.recovered.report.is_alarming(),
        "{:?}",
        bench.recovered.report
    );
}

#[test]
fn a_damaged_block_that_opening_needs_is_repaired_first() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..1000);
    bench.checkpoint();
    bench.submit(vec![settle(1, 10, 19)]);
    bench.kill();
    damage_block(&bench, 0);
    bench.open();
    assert_eq!(bench.recovered.report.damage.len(), 1);
    assert_eq!(bench.messages(1), expected((0..10).chain(20..1000)));
    bench.checkpoint();
    assert_eq!(bench.store().status().checkpoint_failed, None);
}

#[test]
fn a_checkpoint_repairs_the_block_that_it_meets_damaged() {
    let mut bench = Bench::new();
    bench.submit(vec![declare(1)]);
    bench.publish(1, 0..1000);
    bench.checkpoint();
    bench.kill();
    damage_block(&bench, 0);
    bench.open();
    bench.submit(vec![settle(1, 10, 19)]);
    bench.checkpoint();
    assert_eq!(bench.store().status().report.damage.len(), 1);
    bench.reopen_after_a_kill();
    assert_eq!(bench.messages(1), expected((0..10).chain(20..1000)));
}
