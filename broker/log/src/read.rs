//! Reading payloads back. Every read verifies the record's checksum.

use std::{fmt, sync::Arc};

use crate::{
    error::ReadError,
    id::Location,
    record,
    table::{Segment, Table},
};

const WINDOW_BYTES: usize = 256 << 10;

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

/// Reads payloads that lie close together, 256 KiB at a time. The segment that it read last stays
/// pinned until it reads another one, [rests](Reader::rest) or is dropped.
pub struct Reader {
    table: Arc<Table>,
    segment: Option<Arc<Segment>>,
    start: u32,
    window: Vec<u8>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reader")
            .field("segment", &self.segment.as_ref().map(|segment| segment.id))
            .field("start", &self.start)
            .field("bytes", &self.window.len())
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
        }
    }

    /// Reads one payload. Ascending locations are the quick ones.
    pub fn read(&mut self, location: Location) -> Result<&[u8], ReadError> {
        let segment = match self.segment.take() {
            Some(segment) if segment.id == location.segment => segment,
            _ => {
                self.window.clear();
                self.table
                    .find(location.segment)
                    .ok_or(ReadError::NoSegment(location.segment))?
            }
        };
        let (start, length) = span(&segment, location)?;
        let within = start.checked_sub(self.start).map(|within| within as usize);
        let held = within.filter(|within| within + length <= self.window.len());
        let within = match held {
            Some(within) => within,
            None => {
                self.load(&segment, location, start, length)?;
                0
            }
        };
        let segment = self.segment.insert(segment);
        let bytes = self.window.get(within..within + length).unwrap_or_default();
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

    /// Lets go of the segment and of the memory.
    pub fn rest(&mut self) {
        self.segment = None;
        self.window = Vec::new();
    }

    fn load(
        &mut self,
        segment: &Arc<Segment>,
        location: Location,
        start: u32,
        length: usize,
    ) -> Result<(), ReadError> {
        let end = segment.extent.lock().end_offset;
        let ahead = WINDOW_BYTES.min((end - start) as usize).max(length);
        if ahead <= WINDOW_BYTES {
            // One huge payload must not keep its memory.
            self.window.truncate(WINDOW_BYTES);
            self.window.shrink_to(WINDOW_BYTES);
        }
        // What is there already is written over: zeroing it first would cost as much as reading.
        self.window.resize(ahead, 0);
        self.start = start;
        let filled = fill(&self.table, segment, location, start, &mut self.window);
        // Nothing of what was there before may pass for what could not be read.
        self.window.truncate(*filled.as_ref().unwrap_or(&0));
        filled.map(drop)
    }
}
