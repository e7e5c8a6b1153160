//! Power is lost at every sync of random runs: whatever the disk keeps of what was not synced,
//! every promise is kept when the store is opened again.
//!
//! `LEVERET_IMAGES` says how many crashes are tried, `LEVERET_SEED` where the runs begin. A failure
//! names the seed of its run.

#[path = "durability/driver.rs"]
mod driver;
#[path = "durability/image.rs"]
mod image;
#[path = "durability/reference.rs"]
mod reference;

use driver::{Planted, directory, photograph};

const STEPS: usize = 120;

fn setting(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(otherwise, |value| value.parse().expect("a number"))
}

/// The first fault that a run shows, if any, and how many crashes were tried.
fn first_fault(seed: u64, planted: Planted, images_max: usize) -> (Option<String>, usize) {
    let (images, folder) = photograph(seed, STEPS, planted);
    let step = images.len().div_ceil(images_max.max(1)).max(1);
    let mut tried = 0;
    for image in images.iter().step_by(step) {
        tried += 1;
        let faults = image.faults(&directory(&folder));
        if !faults.is_empty() {
            let faults = faults[..faults.len().min(5)].join("; ");
            return (
                Some(format!("seed {seed}, image {}: {faults}", image.name)),
                tried,
            );
        }
    }
    (None, tried)
}

#[test]
fn no_loss_of_power_breaks_a_promise() {
    let wanted = setting("LEVERET_IMAGES", 600);
    let mut seed = setting("LEVERET_SEED", 1);
    let mut tried = 0;
    while tried < wanted {
        let (fault, more) = first_fault(seed, Planted::Nothing, usize::MAX);
        assert_eq!(fault, None);
        tried += more as u64;
        seed += 1;
    }
}

fn is_noticed(planted: Planted) {
    let noticed = (1..6).any(|seed| first_fault(seed, planted, 120).0.is_some());
    assert!(noticed, "{planted:?} was not noticed");
}

#[test]
fn a_confirm_before_the_sync_is_noticed() {
    is_noticed(Planted::EarlyConfirms);
}

#[test]
fn a_disk_that_forgets_to_sync_is_noticed() {
    is_noticed(Planted::ForgottenSyncs(60));
}

#[test]
fn a_state_that_is_not_synced_is_noticed() {
    is_noticed(Planted::UnsyncedState);
}

#[test]
fn a_segment_that_is_freed_too_early_is_noticed() {
    is_noticed(Planted::FreedSegment);
}

#[test]
fn a_settlement_that_is_forgotten_is_noticed() {
    is_noticed(Planted::ForgottenSettlements);
}
