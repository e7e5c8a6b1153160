//! Hands the records of a judged chain to the owner.

use std::mem;

use crate::{
    chain::Chain,
    error::OpenError,
    id::{Location, Lsn, SegmentId},
    judge::{Read, Span},
    record::{self, RecordHeader},
    replay::Replay,
    report::Report,
    salvage,
    scan::{self, Bad, Piece, Run},
    segment::SegmentHeader,
    survey,
    window::Window,
};

/// Between two calls of [`Replay::progress`].
const PROGRESS_BYTES: u64 = 4 << 20;

struct Restore<'a, R: ?Sized> {
    replay: &'a mut R,
    report: &'a mut Report,
    from: Lsn,
    done: u64,
    total: u64,
    shown: u64,
}

impl Chain {
    /// Hands over all good records from where the owner's index ends, in order.
    pub(crate) fn replay<R: Replay + ?Sized>(
        &mut self,
        replay: &mut R,
        report: &mut Report,
    ) -> Result<(), OpenError> {
        let from = replay.from();
        let total = self.read.iter().map(|segment| self.bytes_of(segment)).sum();
        report.bytes = total;
        let mut restore = Restore {
            replay,
            report,
            from,
            done: 0,
            total,
            shown: 0,
        };
        let mut window = mem::take(&mut self.window);
        for segment in &self.read {
            self.replay_segment(segment, &mut window, &mut restore)?;
        }
        restore.replay.progress(total, total);
        Ok(())
    }

    fn bytes_of(&self, segment: &Read) -> u64 {
        self.extent(segment)
            .map_or(0, |extent| u64::from(extent.end_offset))
    }

    fn replay_segment<R: Replay + ?Sized>(
        &self,
        segment: &Read,
        window: &mut Window,
        restore: &mut Restore<'_, R>,
    ) -> Result<(), OpenError> {
        let Some((header, scan)) = &segment.contents else {
            return Ok(());
        };
        let Some(extent) = self.extent(segment) else {
            return Ok(());
        };
        let before = restore.done;
        let spans: Vec<&Span> = self
            .verdict
            .damage
            .iter()
            .filter(|span| span.segment == segment.id)
            .collect();
        let wanted = extent.end_lsn > restore.from || !spans.is_empty();
        if wanted {
            survey::open(&*self.disk, &self.survey.segments[&segment.id], window)?;
        }
        for piece in &scan.pieces {
            match piece {
                Piece::Run(run) if run.end <= extent.end_offset => {
                    restore.report.groups += run.groups;
                    restore.report.last_clock = run.last.clock;
                    if wanted {
                        restore.run(window, header, segment.id, run);
                    }
                }
                Piece::Bad(bad) => {
                    let span = spans.iter().find(|span| span.start == bad.start);
                    if let Some(span) = span {
                        restore.salvage(window, header, bad, span);
                    }
                }
                Piece::Run(_) => {}
            }
        }
        restore.done = before + self.bytes_of(segment);
        restore.show_progress();
        Ok(())
    }
}

impl<R: Replay + ?Sized> Restore<'_, R> {
    fn run(&mut self, window: &mut Window, header: &SegmentHeader, id: SegmentId, run: &Run) {
        let before = self.done;
        scan::records(window, run, header.seed, |lsn, offset, record, payload| {
            self.done = before + u64::from(offset - run.start);
            self.record(lsn, id, offset, record, payload);
            self.show_progress();
        });
    }

    fn record(
        &mut self,
        lsn: Lsn,
        segment: SegmentId,
        offset: u32,
        record: RecordHeader,
        payload: &[u8],
    ) {
        if lsn < self.from || record.kind < record::FIRST_OWNER_KIND {
            return;
        }
        self.report.records += 1;
        let location = Location {
            segment,
            offset,
            length: record.length,
        };
        self.replay
            .record(lsn, location, record.kind, record.flags, payload);
    }

    fn salvage(&mut self, window: &mut Window, header: &SegmentHeader, bad: &Bad, span: &Span) {
        let stretch = window.at(bad.start, bad.end - bad.start);
        let end_lsn = span.end_lsn.unwrap_or(Lsn(u64::MAX));
        let found = salvage::salvage(stretch, header.seed, span.first_lsn, end_lsn);
        let damage = self
            .report
            .damage
            .iter_mut()
            .find(|damage| (damage.segment, damage.offset) == (span.segment, span.start));
        if let Some(damage) = damage {
            damage.kept = found.len() as u64;
        }
        for found in found {
            let offset = bad.start + found.at as u32;
            self.record(found.lsn, span.segment, offset, found.header, found.payload);
        }
    }

    fn show_progress(&mut self) {
        if self.done >= self.shown + PROGRESS_BYTES {
            self.shown = self.done;
            self.replay.progress(self.done, self.total);
        }
    }
}
