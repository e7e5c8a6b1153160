//! Resources of which there may be too little, and what follows from how much there is.

use std::fmt;

/// How much of a resource: an amount, or a part of the machine's memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// So many bytes.
    Bytes(u64),
    /// This part of the memory that the process may use: 0.4 is two fifths of it.
    OfMemory(f64),
}

impl Threshold {
    /// In bytes, where the process may use `memory_bytes`. `None` if that is needed and not known.
    #[must_use]
    pub fn bytes(self, memory_bytes: Option<u64>) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            // A float that is too large, negative or no number becomes the nearest bound.
            Self::OfMemory(part) => memory_bytes.map(|total| (total as f64 * part) as u64),
        }
    }
}

/// What a broker may run short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// Memory of the process.
    Memory,
    /// Free space where the data lies.
    Disk,
}

impl fmt::Display for Supply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        })
    }
}

/// The resources of which there is too little. While there are any, whoever publishes is blocked
/// (spec 11.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortage {
    memory: bool,
    disk: bool,
}

/// What was measured, in bytes; `None` where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What the process has of memory.
    pub memory_used: Option<u64>,
    /// What it may have at most.
    pub memory_limit: Option<u64>,
    /// Free space where the data lies.
    pub disk_free: Option<u64>,
    /// How much there should be at least.
    pub disk_limit: Option<u64>,
}

impl Shortage {
    /// Whether there is enough of everything.
    #[must_use]
    pub const fn is_none(self) -> bool {
        !self.memory && !self.disk
    }

    /// Whether there is too little of this.
    #[must_use]
    pub const fn of(self, resource: Supply) -> bool {
        match resource {
            Supply::Memory => self.memory,
            Supply::Disk => self.disk,
        }
    }

    /// What there is too little of.
    pub fn supplies(self) -> impl Iterator<Item = Supply> {
        [Supply::Memory, Supply::Disk]
            .into_iter()
            .filter(move |resource| self.of(*resource))
    }

    /// What blocked clients are told (spec 1.9.1).
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match (self.memory, self.disk) {
            (true, true) => "low on disk & memory",
            (true, false) => "low on memory",
            (false, true) => "low on disk",
            (false, false) => "",
        }
    }

    /// What follows from `reading` where this was the shortage so far.
    ///
    /// An alarm for disk space ends only when there is a fifth more than the limit, so that it does
    /// not come and go with every segment.
    #[must_use]
    pub fn after(self, reading: &Reading) -> Self {
        let memory = match (reading.memory_used, reading.memory_limit) {
            (Some(used), Some(limit)) => used > limit,
            (None, _) | (_, None) => false,
        };
        let disk = match (reading.disk_free, reading.disk_limit) {
            (Some(free), Some(limit)) if self.disk => free < limit.saturating_add(limit / 5),
            (Some(free), Some(limit)) => free < limit,
            (None, _) | (_, None) => false,
        };
        Self { memory, disk }
    }
}

/// What a fast disk takes in a second, in bytes: with less than this above the limit, a second is too
/// long to look away.
const DISK_BYTES_PER_SECOND: u64 = 2 << 30;

impl Reading {
    /// Whether a resource may run short soon, or has: then it is worth looking again at once.
    #[must_use]
    pub fn is_close(&self) -> bool {
        let memory = self.memory_used.zip(self.memory_limit);
        let disk = self.disk_free.zip(self.disk_limit);
        memory.is_some_and(|(used, limit)| used > limit - limit / 5)
            || disk.is_some_and(|(free, limit)| {
                limit > 0 && free < limit.saturating_add(DISK_BYTES_PER_SECOND)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(used: u64, limit: u64, free: u64, least: u64) -> Reading {
        Reading {
            memory_used: Some(used),
            memory_limit: Some(limit),
            disk_free: Some(free),
            disk_limit: Some(least),
        }
    }

    #[test]
    fn the_reason_names_what_is_low() {
        let plenty = Shortage::default();
        assert!(plenty.after(&reading(10, 10, 10, 10)).is_none());
        let check = |reading, reason| assert_eq!(plenty.after(&reading).reason(), reason);
        check(reading(11, 10, 10, 10), "low on memory");
        check(reading(10, 10, 9, 10), "low on disk");
        check(reading(11, 10, 9, 10), "low on disk & memory");
    }

    #[test]
    fn the_alarm_for_the_disk_ends_a_fifth_above_the_limit() {
        let low = Shortage::default().after(&reading(0, 1, 99, 100));
        assert!(low.of(Supply::Disk));
        assert!(low.after(&reading(0, 1, 119, 100)).of(Supply::Disk));
        assert!(low.after(&reading(0, 1, 120, 100)).is_none());
    }

    #[test]
    fn what_is_not_known_is_not_low() {
        assert!(Shortage::default().after(&Reading::default()).is_none());
        assert!(!Reading::default().is_close());
    }

    #[test]
    fn a_part_of_the_memory_is_as_much_as_there_is() {
        assert_eq!(Threshold::OfMemory(0.5).bytes(Some(1000)), Some(500));
        assert_eq!(Threshold::OfMemory(0.5).bytes(None), None);
        assert_eq!(Threshold::OfMemory(f64::NAN).bytes(Some(1000)), Some(0));
        assert_eq!(Threshold::OfMemory(1e300).bytes(Some(1000)), Some(u64::MAX));
        assert_eq!(Threshold::Bytes(7).bytes(None), Some(7));
    }
}
