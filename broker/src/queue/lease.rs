//! The lease: how far a level may deliver so that a crash cannot hide it.
//!
//! After a crash everything up to the last lease on disk is flagged redelivered, so a recorded
//! message may be handed out only if whatever brings it back brings a lease with it that covers
//! it. That is so for two kinds of places:
//!
//! ```text
//!  0            written                free_from           submitted
//!  |== on disk ====|--- waits for disk ----|== log order =====|--- not covered ---
//! ```
//!
//! Below `written` the lease itself is on disk. From `free_from` on, the enqueue was handed to the
//! log after the lease, so a log that was cut between them has lost the message, not the flag.
//!
//! All bounds are exclusive: a lease of `n` covers the positions below `n`.

/// A pause after which the lease is tightened to what was delivered.
pub(super) const PAUSE_MS: u64 = 100;

/// Two extensions within this time mean that the window is too small.
const BUSY_MS: u64 = 20;

const WINDOW_MIN: u64 = 256;
const WINDOW_MAX: u64 = 64 * 1024;

/// A lease that is to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaseRecord {
    /// Beyond the last position that it covers.
    pub(super) bound: u64,
    /// How often the lease had been lowered before.
    pub(super) generation: u32,
}

/// One level's lease.
#[derive(Debug)]
pub(super) struct Lease {
    written: u64,
    submitted: u64,
    free_from: u64,
    /// The newest bound that was handed to the log and not reported written.
    pending: Option<u64>,
    /// Counts how often it was lowered: a report that a lower lease has overtaken grants nothing.
    generation: u32,
    /// Beyond everything that was delivered.
    delivered: u64,
    /// How far ahead of deliveries the next extension reaches.
    window: u64,
    extended_ms: u64,
    sealed: bool,
}

impl Lease {
    /// A lease that is on disk already and covers the positions below `covered`; `next` is the
    /// place that the next enqueue takes.
    pub(super) fn new(covered: u64, next: u64) -> Self {
        Self {
            written: covered,
            submitted: covered,
            free_from: covered,
            pending: None,
            generation: 0,
            delivered: covered.min(next),
            window: WINDOW_MIN,
            extended_ms: 0,
            sealed: false,
        }
    }

    /// Whether the recorded place at `position` may be handed out now.
    pub(super) const fn covers(&self, position: u64) -> bool {
        position < self.written || (position >= self.free_from && position < self.submitted)
    }

    /// Whether it will cover the place once it is on disk.
    pub(super) const fn reaches(&self, position: u64) -> bool {
        position < self.submitted
    }

    /// Notes a delivery.
    pub(super) fn delivered(&mut self, position: u64) {
        self.delivered = self.delivered.max(position + 1);
    }

    /// What to record so that the place that the next enqueue takes, `next`, can be delivered at
    /// once. Nothing while deliveries lag behind by more than a window: a lease that far ahead
    /// would only flag what was never delivered.
    pub(super) fn extend_for_arrival(
        &mut self,
        now_ms: u64,
        next: u64,
        backlog: u64,
    ) -> Option<LeaseRecord> {
        if backlog < self.window && next + self.window / 2 >= self.submitted {
            return self.extend(now_ms, next, next);
        }
        None
    }

    /// What to record so that deliveries can go on beyond `position`. `next` is the place that the
    /// next enqueue takes.
    pub(super) fn extend_for_delivery(
        &mut self,
        now_ms: u64,
        position: u64,
        next: u64,
    ) -> Option<LeaseRecord> {
        if position + self.window / 2 >= self.submitted {
            return self.extend(now_ms, position, next);
        }
        None
    }

    fn extend(&mut self, now_ms: u64, position: u64, next: u64) -> Option<LeaseRecord> {
        if self.sealed {
            return None;
        }
        let extension_under_way = self.written < self.submitted;
        if extension_under_way || now_ms.saturating_sub(self.extended_ms) < BUSY_MS {
            self.window = (self.window * 2).min(WINDOW_MAX);
        } else {
            self.window = (self.window / 2).max(WINDOW_MIN);
        }
        let bound = position + self.window;
        if bound <= self.submitted {
            return None;
        }
        // Places from `next` on will follow this record in the log. Those before it followed an
        // earlier one only if that one reached up to here; otherwise they wait for the disk.
        if next > self.submitted {
            self.free_from = next;
        }
        self.extended_ms = now_ms;
        self.submitted = bound;
        Some(self.record(bound))
    }

    fn record(&mut self, bound: u64) -> LeaseRecord {
        self.pending = Some(bound);
        LeaseRecord {
            bound,
            generation: self.generation,
        }
    }

    /// Notes that the lease that `record` names, and every one before it, is on disk. Reports may
    /// overtake one another: one of before a lowering tells nothing about what was granted since.
    pub(super) fn written(&mut self, record: LeaseRecord) {
        let LeaseRecord { bound, generation } = record;
        if generation != self.generation {
            return;
        }
        // Bounds only rise within a generation, so this is that very record.
        if self.pending == Some(bound) {
            self.pending = None;
        }
        self.written = self.written.max(bound.min(self.submitted));
    }

    /// Whether it could be tightened.
    pub(super) fn is_loose(&self) -> bool {
        self.submitted > self.tight() && !self.sealed
    }

    /// What was delivered; a record names the last place covered, so it always covers one.
    fn tight(&self) -> u64 {
        self.delivered.max(1)
    }

    /// Lowers the lease to what was delivered and gives what to record. It binds from now on,
    /// before it is on disk. Not while another record is under way: the report of that one could
    /// be taken for more than the lower lease grants.
    pub(super) fn tighten(&mut self) -> Option<LeaseRecord> {
        if self.pending.is_some() {
            return None;
        }
        self.lower()
    }

    /// The last tightening: nothing beyond what was delivered is handed out any more.
    pub(super) fn seal(&mut self) -> Option<LeaseRecord> {
        let bound = self.lower();
        self.sealed = true;
        bound
    }

    fn lower(&mut self) -> Option<LeaseRecord> {
        if !self.is_loose() {
            return None;
        }
        let bound = self.tight();
        self.submitted = bound;
        self.written = self.written.min(bound);
        self.free_from = self.free_from.min(bound);
        self.window = WINDOW_MIN;
        self.generation = self.generation.wrapping_add(1);
        Some(self.record(bound))
    }
}
