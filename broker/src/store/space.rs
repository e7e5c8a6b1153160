//! Room for settlements when the disk is full.
//!
//! When space becomes short, a file as large as a segment is allocated. When a segment cannot be
//! allocated any more, the file makes room for one: what consumers do goes on, while publishers
//! are blocked.

use std::sync::atomic::Ordering;

use leveret_log::Disk;

use crate::model::Operation;

use super::checkpoint::Checkpointer;

impl Checkpointer {
    /// Allocates the reserve while there still is room, if it becomes scarce.
    pub(crate) fn keep_reserve(&self) {
        let disk = &*self.options.disk;
        let path = self.layout.reserve();
        let Ok(free) = disk.free_bytes(&self.layout.root) else {
            return;
        };
        let limit = self.shared.disk_free_limit.load(Ordering::Relaxed);
        let bytes = u64::from(self.options.segment_bytes_max);
        let is_scarce = free < limit.saturating_mul(2);
        // Room that the reserve has just made is for the log, which may not have come to it yet.
        let is_room_for_two = free >= bytes.saturating_mul(2);
        if !is_scarce || !is_room_for_two || disk.open_read(&path).is_ok() {
            return;
        }
        let made = disk.create(&path).and_then(|file| file.allocate(bytes));
        if let Err(error) = made {
            tracing::warn!(%error, "no room can be reserved for settlements");
            remove(disk, &path);
        }
    }

    /// A segment could not be allocated: makes room, and lets what consumers did be written.
    pub(crate) fn use_reserve(&self) {
        let path = self.layout.reserve();
        if self.options.disk.open_read(&path).is_err() {
            return;
        }
        tracing::warn!("the disk is full; the reserve is used");
        remove(&*self.options.disk, &path);
        // An operation without content, so that the commit thread writes what it retained.
        self.log
            .submit(&mut vec![Operation::Transaction(Vec::new())]);
    }
}

fn remove(disk: &dyn Disk, path: &std::path::Path) {
    if let Err(error) = disk.remove(path) {
        tracing::warn!(%error, "the reserve cannot be removed");
    }
}
