//! Visiting all records of one segment: what a cleaner does before the segment is freed.

use crate::{
    error::ReadError,
    id::{Location, Lsn, SegmentId},
    scan::{self, Piece},
    segment::{HeaderFound, SegmentHeader},
    table::Table,
};

/// A record, as a visit shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisitedRecord<'a> {
    /// Its number.
    pub lsn: Lsn,
    /// Where its payload lies.
    pub location: Location,
    /// Its kind.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its payload.
    pub payload: &'a [u8],
}

/// Visits what stands in a segment; the caller holds on to the whole of it meanwhile.
pub(crate) fn visit(
    table: &Table,
    id: SegmentId,
    mut visitor: impl FnMut(VisitedRecord<'_>),
) -> Result<(), ReadError> {
    let segment = table.find(id).ok_or(ReadError::NoSegment(id))?;
    let end = segment.extent.lock().end_offset;
    let whole = Location {
        segment: id,
        offset: 0,
        length: end,
    };
    let failed = |source| ReadError::Io {
        location: whole,
        source,
    };
    let mut bytes = vec![0; end as usize];
    let file = table.file(&segment).map_err(failed)?;
    let count = file.read_at(0, &mut bytes).map_err(failed)?;
    bytes.truncate(count);
    let HeaderFound::Good { header, .. } = SegmentHeader::find(&bytes, id) else {
        return Err(ReadError::Damaged(whole));
    };
    for piece in scan::scan(&bytes, &header, Some(end)).pieces {
        let Piece::Run(run) = piece else {
            continue;
        };
        scan::records(&bytes, &run, header.seed, |lsn, offset, record, payload| {
            visitor(VisitedRecord {
                lsn,
                location: Location {
                    segment: id,
                    offset,
                    length: record.length,
                },
                kind: record.kind,
                flags: record.flags,
                payload,
            });
        });
    }
    Ok(())
}
