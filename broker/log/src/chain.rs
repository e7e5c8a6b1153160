//! The chain of groups, as far back as opening the log has to read it, and what is made of it.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;

use crate::{
    checkpoint::{CheckpointFound, CheckpointRecord, Extent},
    disk::Disk,
    error::OpenError,
    group,
    id::{Lsn, SegmentId},
    judge::{self, Evidence, Read, Verdict},
    options::Options,
    record,
    replay::Replay,
    report::{Damage, DamageKind},
    scan::{self, CheckpointPlace, Piece},
    segment::{GROUPS_START, Link},
    survey::{self, Survey, failed, survey},
    table::Segment,
    window::Window,
    writer::Next,
};

/// The chain as far as it had to be read, and what is made of it.
pub(crate) struct Chain {
    pub(crate) survey: Survey,
    pub(crate) read: VecDeque<Read>,
    pub(crate) list: Option<(Lsn, CheckpointRecord)>,
    pub(crate) verdict: Verdict,
    pub(crate) damage: Vec<Damage>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) window: Window,
    /// Segments that were not read, oldest first.
    unread: Vec<SegmentId>,
    synced: Lsn,
}

impl Chain {
    /// Reads the chain from its end back as far as the replay needs it.
    pub(crate) fn read<R: Replay + ?Sized>(
        disk: Arc<dyn Disk>,
        options: &Options,
        replay: &mut R,
    ) -> Result<Self, OpenError> {
        let survey = survey(&*disk, options)?;
        let unread = survey.segments.keys().copied().collect();
        let mut chain = Self {
            survey,
            read: VecDeque::new(),
            list: None,
            verdict: Verdict::default(),
            damage: Vec::new(),
            disk,
            window: Window::default(),
            unread,
            synced: replay.synced_below().before(),
        };
        loop {
            chain.judge()?;
            let below = chain.list.as_ref().map(|(_, list)| list.checkpoint.below);
            if below.is_some_and(|below| chain.reaches(below)) || !chain.read_one()? {
                break;
            }
        }
        if let Some(found) = chain.checkpoint_found() {
            replay.checkpoint_found(&found);
        }
        let from = replay.from();
        while !chain.reaches(from) && chain.read_one()? {}
        chain.judge()?;
        chain.forget_freed();
        chain.note_missing();
        Ok(chain)
    }

    /// Whether all records from this one on are in segments that were read.
    fn reaches(&self, lsn: Lsn) -> bool {
        let oldest = self
            .read
            .front()
            .and_then(|segment| segment.contents.as_ref());
        oldest.is_some_and(|(header, _)| header.first_lsn <= lsn)
    }

    /// Reads the newest segment not yet read that is not known to be freed.
    fn read_one(&mut self) -> Result<bool, OpenError> {
        while let Some(id) = self.unread.pop() {
            if self.list.as_ref().is_none_or(|(_, list)| !list.freed(id)) {
                let segment = self.read_segment(id)?;
                self.read.push_front(segment);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn read_segment(&mut self, id: SegmentId) -> Result<Read, OpenError> {
        let file = &self.survey.segments[&id];
        let Some(header) = file.header else {
            return Ok(Read {
                id,
                contents: None,
                bytes: file.length,
            });
        };
        survey::open(&*self.disk, file, &mut self.window)?;
        let bytes = file.length;
        let end = self.told_end(id);
        let scan = scan::scan(&mut self.window, &header, end);
        if self.window.unreadable() > 0 {
            self.damage.push(Damage {
                kind: DamageKind::Unreadable,
                segment: id,
                offset: 0,
                bytes: u32::try_from(self.window.unreadable() * 4096).unwrap_or(u32::MAX),
                first_lsn: header.first_lsn,
                last_lsn: header.first_lsn.before(),
                kept: 0,
                quarantined: None,
            });
        }
        Ok(Read {
            id,
            contents: Some((header, scan)),
            bytes,
        })
    }

    /// Where a segment's groups end, if the segment that follows on it or the checkpoint tells.
    fn told_end(&self, id: SegmentId) -> Option<u32> {
        let (next, _) = self.read.front()?.contents.as_ref()?;
        if next.previous.segment == id {
            return Some(next.previous.end_offset);
        }
        let (_, list) = self.list.as_ref()?;
        list.extent(id).map(|extent| extent.end_offset)
    }

    /// Finds the last checkpoint that counts: one that lies before the cut which it leads to itself.
    fn judge(&mut self) -> Result<(), OpenError> {
        let mut candidates = Vec::new();
        for segment in &self.read {
            let scan = segment.contents.as_ref().map(|(_, scan)| scan);
            let places = scan.into_iter().flat_map(|scan| &scan.checkpoints);
            candidates.extend(places.map(|place| (segment.id, *place)));
        }
        let mut limit = (SegmentId(u32::MAX), u32::MAX);
        while let Some((id, place)) = candidates.pop() {
            if (id, place.offset) >= limit {
                continue;
            }
            let Some(list) = self.checkpoint_record(id, place)? else {
                continue;
            };
            let verdict = self.verdict_by(Some(&list));
            limit = verdict
                .cut
                .map_or(limit, |cut| limit.min((cut.segment, cut.start)));
            if (id, place.offset) < limit {
                self.verdict = verdict;
                self.list = Some((place.lsn, list));
                return Ok(());
            }
        }
        self.verdict = self.verdict_by(None);
        self.list = None;
        Ok(())
    }

    fn verdict_by(&self, list: Option<&CheckpointRecord>) -> Verdict {
        let freed = |id| list.is_some_and(|list| list.freed(id));
        let live: Vec<&Read> = self
            .read
            .iter()
            .filter(|segment| !freed(segment.id))
            .collect();
        judge::judge(
            &live,
            Evidence {
                list,
                durable: self.synced,
            },
        )
    }

    fn checkpoint_record(
        &self,
        id: SegmentId,
        place: CheckpointPlace,
    ) -> Result<Option<CheckpointRecord>, OpenError> {
        let segment = &self.survey.segments[&id];
        let file = self
            .disk
            .open_read(&segment.path)
            .map_err(failed("open", &segment.path))?;
        let mut payload = vec![0; place.length as usize];
        let count = file
            .read_at(u64::from(place.offset), &mut payload)
            .map_err(failed("read", &segment.path))?;
        Ok(CheckpointRecord::decode(&payload[..count]))
    }

    pub(crate) fn checkpoint_found(&self) -> Option<CheckpointFound> {
        let (lsn, list) = self.list.as_ref()?;
        Some(CheckpointFound {
            lsn: *lsn,
            epoch: list.checkpoint.epoch,
            below: list.checkpoint.below,
            payload: list.checkpoint.payload.clone(),
        })
    }

    /// Segments that the checkpoint does not list are no part of the log any more.
    fn forget_freed(&mut self) {
        let Some((_, list)) = &self.list else { return };
        let freed: Vec<SegmentId> = self
            .survey
            .segments
            .keys()
            .copied()
            .filter(|id| list.freed(*id))
            .collect();
        self.read.retain(|segment| !list.freed(segment.id));
        for id in freed {
            self.survey.discard(id);
        }
    }

    /// Segments that the checkpoint lists and that are not there, or not in a usable state.
    fn note_missing(&mut self) {
        let Some((_, list)) = &self.list else { return };
        for extent in &list.kept {
            let kind = match self.survey.segments.get(&extent.segment) {
                None => DamageKind::MissingSegment,
                Some(file) if file.header.is_none() => DamageKind::Header,
                Some(_) => continue,
            };
            if self.read.iter().any(|segment| segment.id == extent.segment) {
                continue;
            }
            self.damage.push(Damage {
                kind,
                segment: extent.segment,
                offset: 0,
                bytes: extent.end_offset,
                first_lsn: extent.first_lsn,
                last_lsn: extent.end_lsn.before(),
                kept: 0,
                quarantined: None,
            });
        }
    }

    /// The end of a segment's contents that are part of the log.
    pub(crate) fn end_of(&self, id: SegmentId) -> u32 {
        self.verdict
            .cut
            .filter(|cut| cut.segment <= id)
            .map_or(
                u32::MAX,
                |cut| if cut.segment == id { cut.start } else { 0 },
            )
    }

    /// What a segment that was read holds.
    pub(crate) fn extent(&self, segment: &Read) -> Option<Extent> {
        let (header, scan) = segment.contents.as_ref()?;
        let end = self.end_of(segment.id);
        if end <= GROUPS_START {
            return None;
        }
        let mut extent = Extent {
            segment: segment.id,
            end_offset: GROUPS_START,
            first_group: header.first_group,
            first_lsn: header.first_lsn,
            end_lsn: header.first_lsn,
            ..Extent::default()
        };
        for piece in &scan.pieces {
            let (piece_end, last) = match piece {
                Piece::Run(run) => (run.end, Some(run.last)),
                Piece::Bad(bad) => (bad.end, bad.header),
            };
            if piece_end > end {
                break;
            }
            extent.end_offset = piece_end;
            if let Some(last) = last {
                extent.last_group = last.number;
                extent.last_checksum = last.checksum;
                extent.end_lsn = last.end_lsn();
            }
        }
        let damage = self
            .verdict
            .damage
            .iter()
            .filter(|span| span.segment == segment.id);
        for end_lsn in damage.filter_map(|span| span.end_lsn) {
            extent.end_lsn = extent.end_lsn.max(end_lsn);
        }
        Some(extent)
    }

    pub(crate) fn table(&self, options: &Options) -> Vec<Segment> {
        let listed = self.list.iter().flat_map(|(_, list)| &list.kept);
        let unread = listed
            .filter(|extent| self.unread.binary_search(&extent.segment).is_ok())
            .copied();
        let read = self.read.iter().filter_map(|segment| self.extent(segment));
        let kept = read.filter(|extent| extent.end_offset > GROUPS_START);
        let segments = unread.chain(kept).filter_map(|extent| {
            let file = self.survey.segments.get(&extent.segment)?;
            Some(Segment {
                id: extent.segment,
                seed: file.header?.seed,
                path: options.directory.join(file.path.file_name()?),
                capacity: u64::from(file.length),
                extent: Mutex::new(extent),
                file: Mutex::new(None),
            })
        });
        segments.collect()
    }

    /// The numbers that the log goes on with: above everything ever seen, records included that are
    /// yet to be cut.
    pub(crate) fn next(&self, highest: Lsn) -> Result<Next, OpenError> {
        let verdict = &self.verdict;
        let mut numbers = Numbers {
            lsn: verdict
                .link
                .end_lsn
                .max(verdict.durable.next())
                .max(highest.next()),
            group: verdict.link.group + 1,
        };
        for segment in &self.read {
            let Some((header, scan)) = &segment.contents else {
                numbers.unrecognized(segment.bytes);
                continue;
            };
            numbers.seen(header.first_group, header.first_lsn);
            for piece in &scan.pieces {
                match piece {
                    Piece::Run(run) => numbers.seen(run.last.number + 1, run.last.end_lsn()),
                    Piece::Bad(bad) => match &bad.header {
                        Some(header) => numbers.seen(header.number + 1, header.end_lsn()),
                        None => numbers.unrecognized(bad.end - bad.start),
                    },
                }
            }
        }
        let Numbers { lsn, group } = numbers;
        let highest = self.survey.highest.0;
        let segment = SegmentId(highest.checked_add(1).ok_or(OpenError::SegmentsExhausted)?);
        Ok(Next {
            segment,
            group,
            lsn,
            durable: self.verdict.durable_now(),
        })
    }
}

/// The least numbers that were certainly never given out.
struct Numbers {
    lsn: Lsn,
    group: u64,
}

impl Numbers {
    fn seen(&mut self, group: u64, lsn: Lsn) {
        self.group = self.group.max(group);
        self.lsn = self.lsn.max(lsn);
    }

    /// As many as can have stood there.
    fn unrecognized(&mut self, bytes: u32) {
        self.group += u64::from(bytes) / group::HEADER_BYTES as u64;
        self.lsn = self
            .lsn
            .plus(u64::from(bytes) / record::HEADER_BYTES as u64);
    }
}

impl Verdict {
    /// What is durable once the segments that were read are synced.
    fn durable_now(&self) -> Lsn {
        self.durable.max(self.link.end_lsn.before())
    }

    pub(crate) fn link_in(&self, id: SegmentId) -> Option<Link> {
        (self.link.segment == id).then_some(self.link)
    }
}
