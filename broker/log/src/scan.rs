//! What the bytes of one segment hold: runs of good groups, and what lies between them.

use crate::{
    bytes::Seed,
    group::{self, GroupHeader},
    id::Lsn,
    record::{self, RecordHeader},
    segment::{GROUPS_START, SegmentHeader},
    window::Window,
};

const HEADER_LENGTH: u32 = group::HEADER_BYTES as u32;
/// Looked through at once for a header.
const SEARCH_BYTES: u32 = 64 << 10;

/// Good groups that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) first: GroupHeader,
    pub(crate) last: GroupHeader,
    pub(crate) groups: u64,
}

/// Bytes that are no good group, though there was or should be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// The group's header, if that holds at least.
    pub(crate) header: Option<GroupHeader>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Run(Run),
    Bad(Bad),
}

impl Piece {
    /// The first record, if that is known.
    pub(crate) fn first_lsn(&self) -> Option<Lsn> {
        match self {
            Self::Run(run) => Some(run.first.first_lsn),
            Self::Bad(bad) => bad.header.map(|header| header.first_lsn),
        }
    }
}

/// A CHECKPOINT record in a good group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointPlace {
    pub(crate) lsn: Lsn,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) checkpoints: Vec<CheckpointPlace>,
    /// Whether the last good group is that of a clean shutdown.
    pub(crate) closed: bool,
}

/// Scans a segment; `end` is where its groups end, if the next segment or a checkpoint tells.
pub(crate) fn scan(window: &mut Window, header: &SegmentHeader, end: Option<u32>) -> Scan {
    let length = window.length();
    let mut scanner = Scanner {
        length: end.unwrap_or(length).min(length),
        window,
        seed: header.seed,
        number: header.first_group.saturating_sub(1),
        end_lsn: header.first_lsn,
        found: Scan::default(),
    };
    let mut offset = GROUPS_START;
    while let Some(next) = scanner.step(offset) {
        offset = next;
    }
    let reached = scanner.end_of_pieces();
    if let Some(end) = end
        && reached < end
    {
        // What should be there is not, not even as rubbish: the file is too short, or was zeroed.
        scanner.found.pieces.push(Piece::Bad(Bad {
            start: reached,
            end,
            header: None,
        }));
    }
    scanner.found
}

struct Scanner<'a> {
    window: &'a mut Window,
    /// Of what is scanned.
    length: u32,
    seed: Seed,
    /// The last group met, good or with a good header.
    number: u64,
    end_lsn: Lsn,
    found: Scan,
}

impl Scanner<'_> {
    fn end_of_pieces(&self) -> u32 {
        match self.found.pieces.last() {
            Some(Piece::Run(run)) => run.end,
            Some(Piece::Bad(bad)) => bad.end,
            None => GROUPS_START,
        }
    }

    /// So many bytes from an offset on, or what there is of them before the end.
    fn at(&mut self, offset: u32, length: u32) -> &[u8] {
        let rest = self.length.saturating_sub(offset);
        self.window.at(offset, length.min(rest))
    }

    /// Judges what stands at an offset and says where to go on; `None` at the end.
    fn step(&mut self, offset: u32) -> Option<u32> {
        if offset >= self.length {
            return None;
        }
        let Some(header) = self.header_at(offset) else {
            return self.skip(offset);
        };
        (self.number, self.end_lsn) = (header.number, header.end_lsn());
        let end = offset
            .checked_add(header.length)
            .filter(|end| *end <= self.length);
        let Some(end) = end else {
            let next = self.search(offset).unwrap_or(self.length);
            self.bad(offset, next, Some(header));
            return Some(next);
        };
        let seed = self.seed;
        let mut checkpoints = Vec::new();
        let whole = self.at(offset, header.length);
        match good_body(seed, &header, whole, offset, &mut checkpoints) {
            Some(closed) => {
                self.found.checkpoints.append(&mut checkpoints);
                self.found.closed = closed;
                self.good(offset, end, header);
            }
            None => self.bad(offset, end, Some(header)),
        }
        Some(end)
    }

    /// A header that can follow on what was met so far.
    fn header_at(&mut self, offset: u32) -> Option<GroupHeader> {
        let seed = self.seed;
        let header = GroupHeader::decode(self.at(offset, HEADER_LENGTH), seed)?;
        (header.number > self.number && header.first_lsn >= self.end_lsn).then_some(header)
    }

    /// There is no header at `offset`: the end, or a hole up to the next one.
    fn skip(&mut self, offset: u32) -> Option<u32> {
        if let Some(next) = self.search(offset) {
            self.bad(offset, next, None);
            return Some(next);
        }
        let terminator = self.at(offset, HEADER_LENGTH);
        if terminator.iter().any(|byte| *byte != 0) {
            self.bad(offset, self.length, None);
        }
        None
    }

    /// The next place after `offset` where a header holds. Groups begin at multiples of eight.
    fn search(&mut self, offset: u32) -> Option<u32> {
        let mark = self.seed.bits.to_le_bytes();
        let mut at = offset.checked_add(8)?;
        loop {
            let data = self.window.next_data(at)?;
            at = at.max(data - data.saturating_sub(at) % 8);
            let here = self.at(at, SEARCH_BYTES);
            if here.len() < mark.len() {
                return None;
            }
            let words = (here.len() / 8) as u32;
            match here.chunks_exact(8).position(|word| word == mark) {
                Some(index) => {
                    at += index as u32 * 8;
                    if self.header_at(at).is_some() {
                        return Some(at);
                    }
                    at = at.checked_add(8)?;
                }
                None => at = at.checked_add(words * 8)?,
            }
        }
    }

    fn good(&mut self, start: u32, end: u32, header: GroupHeader) {
        if let Some(Piece::Run(run)) = self.found.pieces.last_mut()
            && run.last.number + 1 == header.number
            && run.last.checksum == header.previous
        {
            run.end = end;
            run.last = header;
            run.groups += 1;
            return;
        }
        let run = Run {
            start,
            end,
            first: header,
            last: header,
            groups: 1,
        };
        self.found.pieces.push(Piece::Run(run));
    }

    fn bad(&mut self, start: u32, end: u32, header: Option<GroupHeader>) {
        self.found.closed = false;
        self.found
            .pieces
            .push(Piece::Bad(Bad { start, end, header }));
    }
}

/// Whether all records hold, and the group ends as it should; then, whether it is the one of a
/// clean shutdown.
fn good_body(
    seed: Seed,
    header: &GroupHeader,
    whole: &[u8],
    offset: u32,
    checkpoints: &mut Vec<CheckpointPlace>,
) -> Option<bool> {
    let mut closed = false;
    let mut body = seed.checksum(&[]);
    let mut at = group::HEADER_BYTES;
    let mut lsn = header.first_lsn;
    for _ in 0..header.records {
        let (record, payload) = record::read(&whole[at..], seed)?;
        if record.lsn_bits != record::lsn_bits(lsn) {
            return None;
        }
        let start = at + record::HEADER_BYTES;
        body = crc32c::crc32c_append(body, &whole[at..start]);
        if record.kind == record::CHECKPOINT {
            let offset = offset + start as u32;
            checkpoints.push(CheckpointPlace {
                lsn,
                offset,
                length: record.length,
            });
        }
        closed |= record.kind == record::CLOSING;
        at = start + payload.len();
        lsn = lsn.next();
    }
    let padding = whole.get(at..)?;
    let ends = padding.len() < 8 && padding.iter().all(|byte| *byte == 0);
    (ends && body == header.body).then_some(closed)
}
/// Visits the records of a run of good groups.
pub(crate) fn records(
    window: &mut Window,
    run: &Run,
    seed: Seed,
    mut visit: impl FnMut(Lsn, u32, RecordHeader, &[u8]),
) {
    let mut offset = run.start;
    while offset < run.end {
        let Some(header) = GroupHeader::decode(window.at(offset, HEADER_LENGTH), seed) else {
            return;
        };
        let whole = window.at(offset, header.length);
        let mut at = group::HEADER_BYTES;
        let mut lsn = header.first_lsn;
        for _ in 0..header.records {
            let found = whole.get(at..).and_then(|rest| record::read(rest, seed));
            let Some((record, payload)) = found else {
                return;
            };
            let start = at + record::HEADER_BYTES;
            visit(lsn, offset + start as u32, record, payload);
            at = start + payload.len();
            lsn = lsn.next();
        }
        offset += header.length;
    }
}
