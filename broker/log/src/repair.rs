//! Makes the verdict true on disk: quarantines, cuts, removes, syncs.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
};

use crate::{
    chain::Chain,
    disk::Disk,
    error::OpenError,
    id::{Lsn, SegmentId},
    judge::{Read, Span, SpanKind, Verdict},
    options::Options,
    report::{Cut, Damage, DamageKind, Report},
    scan::Piece,
    segment::GROUPS_START,
    survey::{SegmentFile, failed},
    window,
};

/// Bytes that are copied to the quarantine at a time.
const COPY_BYTES: u64 = 1 << 20;

pub(crate) struct Repair<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) options: &'a Options,
}

impl Repair<'_> {
    /// Copies what is damaged, and what can be recognized behind a cut, to the quarantine. That a
    /// copy cannot be made keeps no log from opening.
    pub(crate) fn quarantine(&self, chain: &Chain, report: &mut Report) {
        for damage in &mut report.damage {
            if matches!(damage.kind, DamageKind::Header | DamageKind::Groups) {
                let range = (damage.offset, damage.offset.saturating_add(damage.bytes));
                damage.quarantined = self.copy(chain, damage.segment, range, "damage");
            }
        }
        for cut in &mut report.cut {
            let recognized = recognized(&chain.read, cut.segment, cut.offset);
            for (segment, start, end) in recognized {
                let copied = self.copy(chain, segment, (start, end), "cut");
                cut.quarantined = cut.quarantined.take().or(copied);
            }
        }
    }

    fn copy(
        &self,
        chain: &Chain,
        id: SegmentId,
        (start, end): (u32, u32),
        what: &str,
    ) -> Option<PathBuf> {
        let file = chain.survey.segments.get(&id)?;
        let end = end.min(file.length);
        if start >= end {
            return None;
        }
        let path = self
            .options
            .quarantine
            .join(format!("{:010}-{start}-{what}", id.0));
        match self.write_copy(&path, file, start, end) {
            Ok(()) => Some(path),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot quarantine");
                None
            }
        }
    }

    fn write_copy(&self, path: &Path, from: &SegmentFile, start: u32, end: u32) -> io::Result<()> {
        self.disk.create_directory(&self.options.quarantine)?;
        let copy = match self.disk.create(path) {
            // The same stretch of the same segment was found damaged before.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            created => created?,
        };
        let file = self.disk.open_read(&from.path)?;
        let mut at = u64::from(start);
        while at < u64::from(end) {
            let count = (u64::from(end) - at).min(COPY_BYTES);
            let bytes = window::read_tolerant(&*file, at, count as usize);
            copy.write_at(at - u64::from(start), &bytes)?;
            at += count;
        }
        copy.sync_data()?;
        self.disk.sync_directory(&self.options.quarantine)
    }

    /// Cuts, syncs everything that was read, removes what is no part of the log. When it returns,
    /// all of it is durable, and something may be appended.
    pub(crate) fn apply(&self, chain: &mut Chain) -> Result<(), OpenError> {
        let mut removed = Vec::new();
        let last = chain.read.back().map(|segment| segment.id);
        for segment in chain.read.iter().rev() {
            let path = &chain.survey.segments[&segment.id].path;
            let Some(end) = self.kept_until(chain, segment, last) else {
                removed.push(segment.id);
                continue;
            };
            let file = self.disk.open(path).map_err(failed("open", path))?;
            if let Some(end) = end {
                let length = file.length().map_err(failed("measure", path))?;
                if u64::from(end) < length {
                    file.truncate(u64::from(end)).map_err(failed("cut", path))?;
                }
            }
            file.sync_data().map_err(failed("sync", path))?;
        }
        chain.read.retain(|segment| !removed.contains(&segment.id));
        for id in removed {
            chain.survey.discard(id);
        }
        for path in std::mem::take(&mut chain.survey.leftovers) {
            self.disk.remove(&path).map_err(failed("remove", &path))?;
        }
        if let Some(id) = chain.read.back().map(|segment| segment.id)
            && let Some(file) = chain.survey.segments.get_mut(&id)
            && let Some(link) = chain.verdict.link_in(id)
        {
            file.length = file.length.min(link.end_offset.max(GROUPS_START));
        }
        let directory = &self.options.directory;
        self.disk
            .sync_directory(directory)
            .map_err(failed("sync", directory))
    }

    /// `None`: the file goes. `Some(None)`: it stays as it is; `Some(Some(end))`: it is cut there.
    fn kept_until(
        &self,
        chain: &Chain,
        segment: &Read,
        last: Option<SegmentId>,
    ) -> Option<Option<u32>> {
        let cut = chain.end_of(segment.id);
        let Some(extent) = chain.extent(segment) else {
            // Without a header nothing in it can be read, but it was damaged and not cut: the
            // quarantine has a copy, and the next checkpoint does not list it.
            return (segment.contents.is_none() && cut > GROUPS_START).then_some(None);
        };
        let ends_here = Some(segment.id) == last || cut != u32::MAX;
        match (extent.end_offset > GROUPS_START, ends_here) {
            (false, true) => None,
            (_, false) => Some(None),
            (true, true) => Some(Some(extent.end_offset)),
        }
    }
}

pub(crate) fn header_copy(id: SegmentId, file: &SegmentFile) -> Damage {
    let first_lsn = file.header.map_or(Lsn::NONE, |header| header.first_lsn);
    Damage {
        kind: DamageKind::HeaderCopy,
        segment: id,
        offset: 0,
        bytes: GROUPS_START,
        first_lsn,
        last_lsn: first_lsn.before(),
        kept: 0,
        quarantined: None,
    }
}

pub(crate) fn damage_of(span: &Span) -> Damage {
    let kind = match span.kind {
        SpanKind::Segment => DamageKind::Header,
        SpanKind::Group | SpanKind::Hole => DamageKind::Groups,
    };
    Damage {
        kind,
        segment: span.segment,
        offset: span.start,
        bytes: span.end.saturating_sub(span.start),
        first_lsn: span.first_lsn,
        last_lsn: span.end_lsn.map_or(Lsn(u64::MAX), Lsn::before),
        kept: 0,
        quarantined: None,
    }
}

pub(crate) fn missing_end(last: Option<&Read>, verdict: &Verdict) -> Damage {
    let last = last
        .map(|segment| (segment.id, segment.bytes))
        .unwrap_or_default();
    Damage {
        kind: DamageKind::MissingEnd,
        segment: last.0,
        offset: last.1,
        bytes: 0,
        first_lsn: verdict.end_lsn,
        last_lsn: verdict.durable,
        kept: 0,
        quarantined: None,
    }
}

pub(crate) fn cut_of(cut: &Span, read: &VecDeque<Read>) -> Cut {
    let mut report = Cut {
        segment: cut.segment,
        offset: cut.start,
        first_lsn: cut.first_lsn,
        last_lsn: None,
        groups: 0,
        quarantined: None,
    };
    for (_, piece) in behind(read, cut.segment, cut.start) {
        let last = match piece {
            Piece::Run(run) => {
                report.groups += run.groups;
                Some(run.last)
            }
            Piece::Bad(bad) => bad.header,
        };
        report.last_lsn = last
            .map(|last| last.end_lsn().before())
            .max(report.last_lsn);
    }
    report
}

fn behind(
    read: &VecDeque<Read>,
    id: SegmentId,
    offset: u32,
) -> impl Iterator<Item = (SegmentId, Piece)> + '_ {
    let segments = read.iter().filter_map(|segment| {
        let (_, scan) = segment.contents.as_ref()?;
        Some((segment.id, scan))
    });
    let pieces = segments.flat_map(|(id, scan)| scan.pieces.iter().map(move |piece| (id, *piece)));
    pieces.filter(move |(segment, piece)| {
        let start = match piece {
            Piece::Run(run) => run.start,
            Piece::Bad(bad) => bad.start,
        };
        (*segment, start) >= (id, offset)
    })
}

/// The stretches behind a cut in which at least a header holds.
fn recognized(read: &VecDeque<Read>, id: SegmentId, offset: u32) -> Vec<(SegmentId, u32, u32)> {
    let pieces = behind(read, id, offset).filter_map(|(segment, piece)| match piece {
        Piece::Run(run) => Some((segment, run.start, run.end)),
        Piece::Bad(bad) => bad.header.map(|_| (segment, bad.start, bad.end)),
    });
    pieces.collect()
}
