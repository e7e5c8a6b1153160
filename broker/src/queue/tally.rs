//! The queue's counters.

/// What a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that wait to be delivered.
    pub ready: u64,
    /// Their bodies' bytes, wherever they are kept.
    pub ready_bytes: u64,
    /// Messages that were delivered and not settled.
    pub unacked: u64,
    /// Their bodies' bytes.
    pub unacked_bytes: u64,
    /// Bytes of messages that this queue keeps in memory, ready or unacked. A message that several
    /// queues share counts in each.
    pub resident_bytes: usize,
    /// Bytes of memory that the keys of messages take, on queues that tell duplicates.
    pub key_bytes: usize,
    /// Consumers.
    pub consumers: usize,
}

/// The counters that follow every change of a place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Ready messages in chunks whose content is known.
    pub(super) ready: u64,
    pub(super) ready_bytes: u64,
    /// What recovery promised beyond that: it lies in blocks that were not read yet.
    pub(super) unread: u64,
    pub(super) unread_bytes: u64,
    pub(super) unacked: u64,
    pub(super) unacked_bytes: u64,
    pub(super) resident_bytes: usize,
}

impl Tally {
    /// Ready messages wherever they are, and the bytes of their bodies.
    pub(super) const fn all_ready(&self) -> (u64, u64) {
        (
            self.ready + self.unread,
            self.ready_bytes + self.unread_bytes,
        )
    }

    pub(super) const fn became_ready(&mut self, bytes: u64) {
        self.ready += 1;
        self.ready_bytes += bytes;
    }

    pub(super) const fn left_ready(&mut self, bytes: u64) {
        self.ready -= 1;
        self.ready_bytes -= bytes;
    }

    pub(super) const fn became_unacked(&mut self, bytes: u64) {
        self.unacked += 1;
        self.unacked_bytes += bytes;
    }

    pub(super) const fn left_unacked(&mut self, bytes: u64) {
        self.unacked -= 1;
        self.unacked_bytes -= bytes;
    }
}
