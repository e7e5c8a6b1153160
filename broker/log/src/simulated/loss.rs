//! What a crash leaves of a simulated disk, and which faults may be planted in one.

/// How a crash treats what was written but not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossPolicy {
    /// The process died, the machine did not: everything written is there, and what was not synced
    /// can still be lost by a later loss of power.
    Process,
    /// Power was lost with the worst cache: only what was synced is there.
    Unsynced,
    /// Power was lost and the writes to each file had reached the disk in order, up to some point.
    Ordered,
    /// Power was lost and any of the unsynced sectors (of 512 or 4096 bytes), lengths and names had
    /// reached the disk.
    Sectors,
}

/// One crash: a policy, and the seed that decides what the policy leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerLoss {
    /// Decides which of the unsynced changes survive.
    pub seed: u64,
    /// Which of them may.
    pub policy: LossPolicy,
}

impl PowerLoss {
    /// The process died alone.
    #[must_use]
    pub fn process_death() -> Self {
        Self {
            seed: 0,
            policy: LossPolicy::Process,
        }
    }

    /// Only what was synced survives.
    #[must_use]
    pub fn unsynced() -> Self {
        Self {
            seed: 0,
            policy: LossPolicy::Unsynced,
        }
    }

    /// Any part of what was not synced survives.
    #[must_use]
    pub fn sectors(seed: u64) -> Self {
        Self {
            seed,
            policy: LossPolicy::Sectors,
        }
    }
}

/// What is counted to find the place of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPoint {
    /// The n-th write to any file, from 1.
    Write(u64),
    /// The n-th sync of any file or folder, from 1.
    Sync(u64),
}

/// What goes wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultEffect {
    /// It fails and changes nothing.
    Fail,
    /// The first half is written, then it fails. A sync fails having synced nothing.
    Tear,
    /// Nothing happens any more: this and every later operation fails.
    Freeze,
    /// It claims to succeed and does nothing.
    Forget,
}

/// A fault to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: FaultPoint,
    /// What.
    pub effect: FaultEffect,
}

/// A small generator, so that every image can be made again from its seed.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn chance(&mut self) -> bool {
        self.next() & 1 == 1
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}
