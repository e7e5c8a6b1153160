//! What the owner of a log gives it: the author of its records.

use crate::{
    error::CommitError,
    group::{Group, Place},
    id::{Location, Lsn, RecordIndex, SegmentId, Ticket},
    writer::GroupPlace,
};

/// Turns operations into records. Lives on the commit thread and is owned by the log.
///
/// For each turn `compose` is called, then, if it wrote records and they could be written,
/// `written`, and at last `settled`, before the next turn begins. A panic in any of them poisons the
/// log.
pub trait Author: Send + 'static {
    /// What is submitted to the log.
    type Operation: Send + 'static;

    /// An estimate of the bytes that the operation's records take. It counts for the length of a
    /// turn and for [`Log::pending_bytes`](crate::Log::pending_bytes), and must give the same
    /// answer each time it is asked about an operation.
    fn operation_bytes(operation: &Self::Operation) -> usize;

    /// Writes the records of this turn's operations into the group. It may let operations cancel
    /// one another out; if it writes nothing, nothing is written and the turn is durable at once.
    fn compose(&mut self, turn: Vec<Self::Operation>, group: &mut Group);

    /// The group was written, and not yet synced: its records can be read from now on.
    fn written(&mut self, written: &Written<'_>);

    /// The turn's outcome is known. [`Log::progress`](crate::Log::progress) shows it already;
    /// [`Log::wait_durable`](crate::Log::wait_durable) ends after this call.
    fn settled(&mut self, outcome: &TurnOutcome);
}

/// How a turn ended.
#[derive(Clone, Debug)]
pub enum TurnOutcome {
    /// It is durable, in the sense of the log's [`Durability`](crate::Durability).
    Durable {
        /// The turn's last operation. All before it are settled as well.
        up_to: Ticket,
    },
    /// It is not, and the owner must treat its operations as never done. After
    /// [`CommitError::Poisoned`] some of it may still be found when the log is opened again.
    Failed {
        /// The first operation that failed.
        from: Ticket,
        /// The last one.
        to: Ticket,
        /// Why.
        error: CommitError,
    },
}

/// Where the records of a turn lie.
#[derive(Debug)]
pub struct Written<'a> {
    place: GroupPlace,
    first_lsn: Lsn,
    places: &'a [Place],
}

impl<'a> Written<'a> {
    pub(crate) fn new(place: GroupPlace, group: &'a Group) -> Self {
        Self {
            place,
            first_lsn: group.first_lsn(),
            places: group.places(),
        }
    }

    /// The segment that took all of them.
    #[must_use]
    pub fn segment(&self) -> SegmentId {
        self.place.segment
    }

    /// Where a record's payload lies.
    ///
    /// # Panics
    /// If the index is of another turn and beyond this one's records.
    #[must_use]
    pub fn location(&self, index: RecordIndex) -> Location {
        let place = self.places[index.index()];
        let offset = self.place.offset + place.offset;
        Location {
            segment: self.place.segment,
            offset,
            length: place.length,
        }
    }

    /// The number of a record.
    #[must_use]
    pub fn lsn(&self, index: RecordIndex) -> Lsn {
        self.first_lsn.plus(u64::from(index.0))
    }

    /// Location and number of all records, in order.
    pub fn all(&self) -> impl Iterator<Item = (Location, Lsn)> + '_ {
        (0..self.places.len() as u32).map(|index| {
            let index = RecordIndex(index);
            (self.location(index), self.lsn(index))
        })
    }

    /// How many records there are.
    #[must_use]
    pub fn records(&self) -> usize {
        self.places.len()
    }
}
