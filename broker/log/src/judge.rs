//! Judges the chain of groups: what is a torn tail, what is damage, where the log goes on. Pure.
//!
//! A segment's header says on which group of which segment it follows; within a segment each group
//! names its number and the checksum of the one before. Where that does not hold, something is bad.
//! Every header also claims how far the log was known durable when it was written. The first bad
//! stretch that begins beyond all claims is a torn tail, and the log ends before it; bad stretches
//! below the claims are damage.

use crate::{
    checkpoint::CheckpointRecord,
    group::GroupHeader,
    id::{Lsn, SegmentId},
    scan::{Bad, Piece, Scan},
    segment::{GROUPS_START, Link, SegmentHeader},
};

/// A segment that was read.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) id: SegmentId,
    /// `None` if neither copy of the header holds.
    pub(crate) contents: Option<(SegmentHeader, Scan)>,
    pub(crate) bytes: u32,
}

/// What a bad stretch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanKind {
    /// One group, whose header holds.
    Group,
    /// Any number of groups.
    Hole,
    /// A segment whose header is lost.
    Segment,
}

/// A stretch that should hold groups and does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) segment: SegmentId,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) first_lsn: Lsn,
    /// After the last record that it may have held; `None` if nothing good follows.
    pub(crate) end_lsn: Option<Lsn>,
    pub(crate) kind: SpanKind,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Bad stretches below what is known durable.
    pub(crate) damage: Vec<Span>,
    /// The torn tail: everything from here on is cut.
    pub(crate) cut: Option<Span>,
    /// Where the log goes on.
    pub(crate) link: Link,
    /// After the last record met.
    pub(crate) end_lsn: Lsn,
    /// Everything up to here had been durable.
    pub(crate) durable: Lsn,
    /// The log ends before `durable`.
    pub(crate) missing_end: bool,
}

/// What the judge goes by, besides what was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Evidence<'a> {
    /// The checkpoint that is taken to count.
    pub(crate) list: Option<&'a CheckpointRecord>,
    /// Durable by what the owner knows.
    pub(crate) durable: Lsn,
}

/// Judges segments in order of their ids, the newest being the last one of the log.
pub(crate) fn judge(read: &[&Read], evidence: Evidence<'_>) -> Verdict {
    let present = read.iter().map(|segment| segment.id).collect();
    let mut walk = Walk {
        evidence,
        present,
        position: None,
        next_group: 1,
        next_lsn: Lsn(1),
        spans: Vec::new(),
        pending: 0,
    };
    for segment in read {
        walk.segment(segment);
    }
    let durable = claims(read).max(evidence.durable).max(
        evidence
            .list
            .map_or(Lsn::NONE, |list| list.checkpoint.below.before()),
    );
    walk.verdict(read, durable)
}

/// The highest claim of any header that holds.
fn claims(read: &[&Read]) -> Lsn {
    let mut highest = Lsn::NONE;
    for (header, scan) in read.iter().filter_map(|segment| segment.contents.as_ref()) {
        highest = highest.max(header.durable);
        for piece in &scan.pieces {
            let claim = match piece {
                // Claims grow along a run.
                Piece::Run(run) => run.last.durable,
                Piece::Bad(bad) => bad.header.map_or(Lsn::NONE, |header| header.durable),
            };
            highest = highest.max(claim);
        }
    }
    highest
}

struct Walk<'a> {
    evidence: Evidence<'a>,
    present: Vec<SegmentId>,
    /// The last group whose header holds, good or not; `None` before the first segment.
    position: Option<Link>,
    /// The number of the group that should come next.
    next_group: u64,
    /// The least that its first record can have.
    next_lsn: Lsn,
    spans: Vec<Span>,
    /// How many of the last spans still wait to learn where they end.
    pending: usize,
}

impl Walk<'_> {
    fn segment(&mut self, segment: &Read) {
        let Some((header, scan)) = &segment.contents else {
            self.hole(segment.id, (0, segment.bytes), SpanKind::Segment);
            return;
        };
        self.boundary(header);
        for piece in &scan.pieces {
            match piece {
                Piece::Run(run) => {
                    let position = self.position.unwrap_or_default();
                    let follows = run.first.number == self.next_group
                        && run.first.previous == position.checksum;
                    if !follows && self.pending == 0 {
                        self.hole(segment.id, (run.start, run.start), SpanKind::Hole);
                    }
                    self.close_spans(run.first.first_lsn);
                    self.reached(link_to(segment.id, run.end, &run.last));
                }
                Piece::Bad(bad) => self.bad(segment.id, bad),
            }
        }
        self.compare_with_list(segment.id);
    }

    /// The header says on what the segment follows: is that where we are?
    fn boundary(&mut self, header: &SegmentHeader) {
        let previous = header.previous;
        let expected = match self.position {
            Some(position) => Some((position.group, position.checksum)),
            None => self.before_first(previous.segment),
        };
        // A listed segment whose file is gone is reported as such, not as a gap.
        let gone = self.evidence.list.is_some_and(|list| {
            previous.segment <= list.newest && !self.present.contains(&previous.segment)
        });
        let fits = expected == Some((previous.group, previous.checksum));
        if !fits && !gone && self.pending == 0 {
            let (segment, start) = match self.position {
                Some(position) => (position.segment, position.end_offset),
                None => (previous.segment, 0),
            };
            let end = if segment == previous.segment {
                previous.end_offset
            } else {
                start
            };
            self.hole(segment, (start, end.max(start)), SpanKind::Hole);
        }
        self.close_spans(previous.end_lsn);
        self.position = Some(previous);
        // A recovery may have skipped some numbers.
        (self.next_group, self.next_lsn) = (header.first_group, header.first_lsn);
    }

    /// What the first segment that was read should follow on.
    fn before_first(&self, previous: SegmentId) -> Option<(u64, u32)> {
        if previous == SegmentId(0) {
            return Some((0, 0));
        }
        let extent = self.evidence.list?.extent(previous)?;
        Some((extent.last_group, extent.last_checksum))
    }

    fn bad(&mut self, segment: SegmentId, bad: &Bad) {
        let Some(header) = bad.header else {
            self.hole(segment, (bad.start, bad.end), SpanKind::Hole);
            return;
        };
        self.close_spans(header.first_lsn);
        self.spans.push(Span {
            segment,
            start: bad.start,
            end: bad.end,
            first_lsn: header.first_lsn,
            end_lsn: Some(header.end_lsn()),
            kind: SpanKind::Group,
        });
        self.reached(link_to(segment, bad.end, &header));
    }

    fn reached(&mut self, link: Link) {
        self.position = Some(link);
        self.next_group = link.group.saturating_add(1);
        self.next_lsn = link.end_lsn;
    }

    /// A sealed segment must reach as far as the checkpoint says.
    fn compare_with_list(&mut self, id: SegmentId) {
        let Some(extent) = self.evidence.list.and_then(|list| list.extent(id)) else {
            return;
        };
        let position = self.position.unwrap_or_default();
        if position.group >= extent.last_group {
            return;
        }
        if self.pending == 0 {
            let start = if position.segment == id {
                position.end_offset
            } else {
                GROUPS_START
            };
            let end = extent.end_offset.max(start);
            self.hole(id, (start, end), SpanKind::Hole);
        }
        self.close_spans(extent.end_lsn);
        self.reached(Link {
            segment: extent.segment,
            end_offset: extent.end_offset,
            group: extent.last_group,
            checksum: extent.last_checksum,
            end_lsn: extent.end_lsn,
        });
    }

    fn hole(&mut self, segment: SegmentId, (start, end): (u32, u32), kind: SpanKind) {
        let first_lsn = self.next_lsn;
        self.spans.push(Span {
            segment,
            start,
            end,
            first_lsn,
            end_lsn: None,
            kind,
        });
        self.pending += 1;
    }

    fn close_spans(&mut self, end_lsn: Lsn) {
        let open = self.spans.len() - self.pending;
        for span in &mut self.spans[open..] {
            span.end_lsn = Some(end_lsn.max(span.first_lsn));
        }
        self.pending = 0;
    }

    fn verdict(self, read: &[&Read], durable: Lsn) -> Verdict {
        let end = self.position.unwrap_or_default();
        let mut verdict = Verdict {
            durable,
            link: end,
            end_lsn: end.end_lsn,
            ..Verdict::default()
        };
        for span in &self.spans {
            if span.first_lsn > durable {
                verdict.cut = Some(*span);
                break;
            }
            verdict.damage.push(*span);
            let beyond = span.kind != SpanKind::Group
                && span.end_lsn.is_none_or(|end| end.before() > durable);
            if beyond {
                // The stretch holds durable groups and, behind them, some that never were: the
                // log ends with it.
                verdict.damage.last_mut().into_iter().for_each(|last| {
                    last.end_lsn = Some(durable.next().max(span.first_lsn));
                });
                let behind = Span {
                    start: span.end,
                    first_lsn: durable.next(),
                    ..*span
                };
                verdict.cut = Some(behind);
                break;
            }
        }
        let last = verdict.cut;
        verdict.link = match last {
            Some(cut) => last_before(read, cut, durable, &verdict.damage),
            None => end,
        };
        verdict.missing_end = last.is_none() && durable > Lsn::NONE && end.end_lsn <= durable;
        if verdict.missing_end {
            verdict.link.end_lsn = durable.next();
        }
        verdict
    }
}

fn link_to(segment: SegmentId, end_offset: u32, last: &GroupHeader) -> Link {
    Link {
        segment,
        end_offset,
        group: last.number,
        checksum: last.checksum,
        end_lsn: last.end_lsn(),
    }
}

/// Where the log goes on if it ends at this cut.
fn last_before(read: &[&Read], cut: Span, durable: Lsn, damage: &[Span]) -> Link {
    let mut link = Link::default();
    for segment in read.iter().filter(|segment| segment.id <= cut.segment) {
        let Some((header, scan)) = &segment.contents else {
            continue;
        };
        if link.group < header.previous.group || link == Link::default() {
            link = header.previous;
        }
        for piece in &scan.pieces {
            let (end, last) = match piece {
                Piece::Run(run) => (run.end, Some(run.last)),
                Piece::Bad(bad) => (bad.end, bad.header),
            };
            if segment.id == cut.segment && end > cut.start {
                break;
            }
            if let Some(last) = last {
                link = link_to(segment.id, end, &last);
            }
        }
    }
    if let Some(last) = damage.last()
        && (last.segment, last.end) == (cut.segment, cut.start)
    {
        // The damaged stretch stays part of the log.
        link.segment = cut.segment;
        link.end_offset = cut.start;
        link.end_lsn = link.end_lsn.max(durable.next());
    }
    link
}
