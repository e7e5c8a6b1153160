//! Power is lost at every sync of random runs: whatever the disk keeps of what was not synced,
//! every promise is kept when the store is opened again.
//!
//! `LEVERET_IMAGES` says how many crashes are tried, `LEVERET_SEED` where the runs begin. A failure
//! names the seed of its run.

#[path = "durability/camera.rs"]
mod camera;
#[path = "durability/driver.rs"]
mod driver;
#[path = "durability/image.rs"]
mod image;
#[path = "durability/reference.rs"]
mod reference;
#[path = "durability/steps.rs"]
mod steps;

use driver::{Planted, directory, photograph, photograph_end};
use image::StateLeft;

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

#[test]
fn no_state_of_any_earlier_moment_breaks_a_promise() {
    for seed in 1..=setting("LEVERET_STATES_RUNS", 3) {
        let (mut image, states, folder) = photograph_end(seed, STEPS);
        assert!(states.len() > 1, "seed {seed} took too few checkpoints");
        let states = states.into_iter().map(Some).chain([None]);
        for state in states {
            image.state = StateLeft::Older(state);
            let faults = image.faults(&directory(&folder));
            assert_eq!(
                faults,
                Vec::<String>::new(),
                "seed {seed}, {:?}",
                image.state
            );
        }
    }
}

/// Short runs, every byte of which is changed, one at a time; fewer of them unless
/// `LEVERET_EVERY_BYTE` is set.
const SHORT_STEPS: usize = 24;

#[test]
fn no_changed_byte_of_the_log_passes_silently() {
    let stride = 151 / setting("LEVERET_EVERY_BYTE", 0).clamp(1, 151) as usize;
    for seed in 1..4 {
        let (image, _, folder) = photograph_end(seed, SHORT_STEPS);
        let directory = directory(&folder);
        let mut files = image.disk.paths();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
        for file in files {
            let content = image.disk.contents(&file).expect("the file is there");
            let used = content.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            for offset in (0..=used).step_by(stride) {
                let changed = content[offset] ^ 1 << (offset % 8);
                let offset = offset as u64;
                let faults = image.silent_faults_of_log(&directory, &file, offset, changed);
                assert_eq!(
                    faults,
                    Vec::<String>::new(),
                    "seed {seed}, {file:?} at {offset}"
                );
            }
        }
    }
}

#[test]
fn no_changed_byte_of_the_state_passes_silently() {
    let stride = 997 / setting("LEVERET_EVERY_BYTE", 0).clamp(1, 997) as usize;
    for seed in 1..4 {
        let (image, _, folder) = photograph_end(seed, SHORT_STEPS * 2);
        let directory = directory(&folder);
        let used = image.state_bytes();
        assert!(used > 0, "seed {seed} took no checkpoint");
        for offset in (0..used).step_by(stride) {
            let faults = image.silent_faults_of_state(&directory, offset, 1 << (offset % 8));
            assert_eq!(faults, Vec::<String>::new(), "seed {seed}, byte {offset}");
        }
    }
}

/// The checker must name the promise that the planted fault breaks.
fn is_noticed(planted: Planted, as_what: &str) {
    let faults: Vec<_> = (1..6)
        .filter_map(|seed| first_fault(seed, planted, 200).0)
        .collect();
    assert!(
        faults.iter().any(|fault| fault.contains(as_what)),
        "{planted:?} was not noticed as {as_what}: {faults:?}"
    );
}

#[test]
fn a_confirm_before_the_sync_is_noticed() {
    is_noticed(Planted::EarlyConfirms, "G1");
}

#[test]
fn a_disk_that_forgets_to_sync_is_noticed() {
    is_noticed(Planted::ForgottenSyncs(60), "G1");
}

#[test]
fn a_state_that_is_not_synced_is_noticed() {
    is_noticed(Planted::UnsyncedState, "the state was synced");
}

#[test]
fn a_segment_that_is_freed_too_early_is_noticed() {
    is_noticed(Planted::FreedSegment, "G1");
}

#[test]
fn a_settlement_that_is_forgotten_is_noticed() {
    is_noticed(Planted::ForgottenSettlements, "G3");
}
