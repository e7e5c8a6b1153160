//! What the owner of a log is told when it is opened.

use crate::{
    checkpoint::CheckpointFound,
    id::{Location, Lsn},
};

/// Takes what opening a log brings to light. The calls come in the order in which they stand here.
pub trait Replay {
    /// Everything below this LSN had been synced, as far as the owner's index knows. A bad group
    /// below it is damage, not a torn tail.
    fn synced_below(&self) -> Lsn {
        Lsn::NONE
    }

    /// The highest LSN that the owner has seen anywhere; none up to it is given out again.
    fn highest_lsn(&self) -> Lsn {
        Lsn::NONE
    }

    /// The last checkpoint that counts; not called if there is none.
    fn checkpoint_found(&mut self, checkpoint: &CheckpointFound) {
        let _ = checkpoint;
    }

    /// Records below this one are not wanted, since the owner's index is good and holds them.
    fn from(&self) -> Lsn;

    /// A record, in the order of LSNs.
    fn record(&mut self, lsn: Lsn, location: Location, kind: u8, flags: u8, payload: &[u8]);

    /// How far the replay has come.
    fn progress(&mut self, bytes_done: u64, bytes_total: u64) {
        let _ = (bytes_done, bytes_total);
    }
}
