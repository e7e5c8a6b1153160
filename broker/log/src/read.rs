//! Reading payloads back. Every read verifies the record's checksum.

use std::{fmt, sync::Arc};

use crate::{
    error::ReadError,
    id::{Location, SegmentId},
    record,
    table::{Segment, Table},
};

const WINDOW_BYTES: usize = 256 << 10;

/// What is read at once of payloads that turn out to follow one another; doubled from there on.
const WINDOW_BYTES_MIN: usize = 32 << 10;

/// Payloads no further apart than this follow one another: reading what lies between them costs about
/// as much as asking again.
const GAP_BYTES: u32 = 16 << 10;

pub(crate) fn read(table: &Table, location: Location) -> Result<Vec<u8>, ReadError> {
    let segment = table
        .find(location.segment)
        .ok_or(ReadError::NoSegment(location.segment))?;
    let (start, length) = span(&segment, location)?;
    let mut bytes = vec![0; length];
    fill(table, &segment, location, start, &mut bytes)?;
    verify(&segment, location, &bytes)?;
    bytes.drain(..record::HEADER_BYTES);
    Ok(bytes)
}

/// Where the record begins and how long it is, if it can be in the segment at all: a location may
/// come from a damaged index.
fn span(segment: &Segment, location: Location) -> Result<(u32, usize), ReadError> {
    let damaged = || ReadError::Damaged(location);
    let start = location
        .offset
        .checked_sub(record::HEADER_BYTES as u32)
        .ok_or_else(damaged)?;
    let end = location
        .offset
        .checked_add(location.length)
        .ok_or_else(damaged)?;
    if end > segment.extent.lock().end_offset {
        return Err(damaged());
    }
    Ok((start, (end - start) as usize))
}

fn fill(
    table: &Table,
    segment: &Arc<Segment>,
    location: Location,
    start: u32,
    bytes: &mut [u8],
) -> Result<usize, ReadError> {
    let io = |source| ReadError::Io { location, source };
    let file = table.file(segment).map_err(io)?;
    file.read_at(u64::from(start), bytes).map_err(io)
}

fn verify<'a>(
    segment: &Segment,
    location: Location,
    bytes: &'a [u8],
) -> Result<&'a [u8], ReadError> {
    match record::read(bytes, segment.seed) {
        Some((header, payload)) if header.length == location.length => Ok(payload),
        _ => Err(ReadError::Damaged(location)),
    }
}

/// Reads payloads: scattered ones each by itself, those that lie close together up to 256 KiB at a time.
/// The segment that it read last stays pinned until it reads another one, [rests](Reader::rest) or is
/// dropped.
pub struct Reader {
    table: Arc<Table>,
    segment: Option<Arc<Segment>>,
    start: u32,
    /// Memory; what was read is its first `filled` bytes. The rest is what was there before, since
    /// zeroing it would cost as much as reading.
    window: Vec<u8>,
    filled: usize,
    last: Option<Run>,
}

/// What was read last of a segment, and up to where.
#[derive(Clone, Copy, Debug)]
struct Run {
    segment: SegmentId,
    end: u32,
    bytes: usize,
}

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reader")
            .field("segment", &self.segment.as_ref().map(|segment| segment.id))
            .field("start", &self.start)
            .field("bytes", &self.filled)
            .finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) fn new(table: Arc<Table>) -> Self {
        Self {
            table,
            segment: None,
            start: 0,
            window: Vec::new(),
            filled: 0,
            last: None,
        }
    }

    /// Reads one payload. Ascending locations are the quick ones.
    pub fn read(&mut self, location: Location) -> Result<&[u8], ReadError> {
        let segment = match self.segment.take() {
            Some(segment) if segment.id == location.segment => segment,
            _ => {
                self.filled = 0;
                self.table
                    .find(location.segment)
                    .ok_or(ReadError::NoSegment(location.segment))?
            }
        };
        let (start, length) = span(&segment, location)?;
        let within = start.checked_sub(self.start).map(|within| within as usize);
        let held = within.filter(|within| within + length <= self.filled);
        let within = match held {
            Some(within) => within,
            None => {
                self.load(&segment, location, start, length)?;
                0
            }
        };
        let segment = self.segment.insert(segment);
        let read = &self.window[..self.filled];
        let bytes = read.get(within..within + length).unwrap_or_default();
        verify(segment, location, bytes)
    }

    /// Reads the first `bytes` of one payload that has more of them. The checksum covers the whole, and
    /// is not verified.
    pub fn read_start(&mut self, location: Location, bytes: u32) -> Result<Vec<u8>, ReadError> {
        let segment = self
            .table
            .find(location.segment)
            .ok_or(ReadError::NoSegment(location.segment))?;
        span(&segment, location)?;
        let mut start = vec![0; bytes.min(location.length) as usize];
        fill(&self.table, &segment, location, location.offset, &mut start)?;
        Ok(start)
    }

    /// Reads many, in the given order; each has its own outcome.
    pub fn read_many(
        &mut self,
        locations: &[Location],
        mut each: impl FnMut(usize, Result<&[u8], ReadError>),
    ) {
        for (index, location) in locations.iter().enumerate() {
            each(index, self.read(*location));
        }
    }

    /// Lets go of the segment, and of memory beyond 256 KiB.
    pub fn rest(&mut self) {
        self.segment = None;
        self.filled = 0;
        self.shrink();
    }

    /// One huge payload must not keep its memory.
    fn shrink(&mut self) {
        self.window.truncate(WINDOW_BYTES);
        self.window.shrink_to(WINDOW_BYTES);
    }

    fn load(
        &mut self,
        segment: &Arc<Segment>,
        location: Location,
        start: u32,
        length: usize,
    ) -> Result<(), ReadError> {
        let end = segment.extent.lock().end_offset;
        let wanted = self.ahead(segment.id, start, length);
        let bytes = wanted.min((end - start) as usize).max(length);
        if bytes <= WINDOW_BYTES {
            self.shrink();
        }
        if self.window.len() < bytes {
            self.window.resize(bytes, 0);
        }
        self.start = start;
        let read = &mut self.window[..bytes];
        let filled = fill(&self.table, segment, location, start, read);
        // Nothing of what was there before may pass for what could not be read.
        self.filled = *filled.as_ref().unwrap_or(&0);
        self.last = Some(Run {
            segment: segment.id,
            end: start.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX)),
            bytes: wanted,
        });
        filled.map(drop)
    }

    /// How much to read from `start` on: more and more as long as payloads follow one another.
    fn ahead(&self, segment: SegmentId, start: u32, length: usize) -> usize {
        let follows = |run: &Run| {
            run.segment == segment
                && start <= run.end.saturating_add(GAP_BYTES)
                && start as usize + length > run.end as usize
        };
        match self.last.filter(follows) {
            Some(run) => (run.bytes * 2).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES),
            None => length,
        }
    }
}
