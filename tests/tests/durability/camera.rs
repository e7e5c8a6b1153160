//! Photographs a machine at every sync: what a crash there would leave.

use std::path::{Path, PathBuf};

use leveret_log::Disk;
use leveret_log::simulated::{LossPolicy, PowerLoss, SimulatedDisk};

use super::image::{Image, StateLeft};
use super::reference::Reference;

/// What the run shares with the watchers on the store's threads.
#[derive(Default)]
pub(crate) struct Camera {
    pub(crate) reference: Reference,
    pub(crate) images: Vec<Image>,
    pub(crate) states: Vec<PathBuf>,
    pub(crate) random: u64,
    pub(crate) free_segment: bool,
}

impl Camera {
    /// Photographs the machine as it stands before a sync.
    pub(crate) fn take(&mut self, disk: &SimulatedDisk, path: &Path) {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let random = self.random >> 24;
        let policy = match random % 4 {
            0 => LossPolicy::Unsynced,
            1 => LossPolicy::Ordered,
            2 => LossPolicy::Sectors,
            _ => LossPolicy::Process,
        };
        let loss = PowerLoss {
            seed: random,
            policy,
        };
        let state = match (random >> 8) % 8 {
            0 if !self.states.is_empty() => {
                let at = (random >> 16) as usize % (self.states.len() + 1);
                StateLeft::Older(self.states.get(at).cloned())
            }
            _ => StateLeft::Synced(self.states.last().cloned()),
        };
        let disk = disk.image(loss);
        if self.free_segment {
            remove_oldest_segment(&disk);
        }
        self.images.push(Image {
            name: format!(
                "{} before {} with {state:?}, {loss:?}",
                self.images.len(),
                path.display()
            ),
            disk,
            state,
            reference: self.reference.clone(),
        });
    }
}

fn remove_oldest_segment(disk: &SimulatedDisk) {
    let mut segments = disk.paths();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    if let (Some(oldest), true) = (segments.first(), segments.len() > 2) {
        disk.remove(oldest).expect("it is there");
    }
}
