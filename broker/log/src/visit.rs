//! Visiting all records of one segment: what a cleaner does before the segment is freed.

use std::io;

use crate::{
    error::ReadError,
    id::{Location, Lsn, SegmentId},
    record::{self, RecordHeader},
    salvage,
    scan::{self, Piece},
    segment::{GROUPS_START, HeaderFound, SegmentHeader},
    table::Table,
    window::Window,
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

/// Visits the owner's records in a segment, of damaged stretches those whose own checksum holds.
/// Where pages cannot be read this ends with an error, after what the others hold has been shown.
pub(crate) fn visit(
    table: &Table,
    id: SegmentId,
    mut visitor: impl FnMut(VisitedRecord<'_>),
) -> Result<(), ReadError> {
    let segment = table.find(id).ok_or(ReadError::NoSegment(id))?;
    let extent = *segment.extent.lock();
    let whole = Location {
        segment: id,
        offset: 0,
        length: extent.end_offset,
    };
    let failed = |source| ReadError::Io {
        location: whole,
        source,
    };
    let file = table.file(&segment).map_err(failed)?;
    let mut window = Window::default();
    window.open(file, extent.end_offset);
    let first_page = window.at(0, GROUPS_START);
    let HeaderFound::Good { header, .. } = SegmentHeader::find(first_page, id) else {
        return Err(ReadError::Damaged(whole));
    };
    let mut each = |lsn, offset, record: RecordHeader, payload: &[u8]| {
        if record.kind >= record::FIRST_OWNER_KIND {
            let location = Location {
                segment: id,
                offset,
                length: record.length,
            };
            let (kind, flags) = (record.kind, record.flags);
            visitor(VisitedRecord {
                lsn,
                location,
                kind,
                flags,
                payload,
            });
        }
    };
    let pieces = scan::scan(&mut window, &header, Some(extent.end_offset)).pieces;
    let mut reached = header.first_lsn;
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Run(run) => {
                scan::records(&mut window, run, header.seed, &mut each);
                reached = run.last.end_lsn();
            }
            Piece::Bad(bad) => {
                let next = pieces.get(index + 1).and_then(Piece::first_lsn);
                let (first, end) = match bad.header {
                    Some(header) => (header.first_lsn, header.end_lsn()),
                    None => (reached, next.unwrap_or(extent.end_lsn)),
                };
                let stretch = window.at(bad.start, bad.end - bad.start);
                for found in salvage::salvage(stretch, header.seed, first, end) {
                    let offset = bad.start + found.at as u32;
                    each(found.lsn, offset, found.header, found.payload);
                }
                reached = end;
            }
        }
    }
    if window.unreadable() > 0 {
        return Err(failed(io::Error::other("pages cannot be read")));
    }
    Ok(())
}
