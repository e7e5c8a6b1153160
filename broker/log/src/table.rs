//! The segments of an open log, shared by the commit thread and the readers.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::PathBuf,
    sync::{Arc, Weak},
};

use parking_lot::{Mutex, RwLock};

use crate::{
    bytes::Seed,
    checkpoint::Extent,
    disk::{Disk, DiskFile},
    id::{Lsn, SegmentId},
};

/// Files that are held open for reading, besides the one being written.
const OPEN_FILES_MAX: usize = 64;

/// A segment, as [`Log::segments`](crate::Log::segments) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub id: SegmentId,
    /// Its first record.
    pub first_lsn: Lsn,
    /// Its last record; one below the first if it has none yet.
    pub last_lsn: Lsn,
    /// Bytes that hold something.
    pub bytes: u64,
    /// Bytes that it takes on the disk.
    pub file_bytes: u64,
    /// Whether it is the one being written.
    pub active: bool,
}

/// A segment file. Whoever holds one keeps it from being recycled.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) seed: Seed,
    pub(crate) path: PathBuf,
    pub(crate) capacity: u64,
    pub(crate) extent: Mutex<Extent>,
    pub(crate) file: Mutex<Option<Arc<dyn DiskFile>>>,
}

impl Segment {
    fn info(&self, active: SegmentId) -> SegmentInfo {
        let extent = *self.extent.lock();
        SegmentInfo {
            id: self.id,
            first_lsn: extent.first_lsn,
            last_lsn: extent.end_lsn.before(),
            bytes: u64::from(extent.end_offset),
            file_bytes: self.capacity,
            active: self.id == active,
        }
    }
}

#[derive(Debug)]
struct Rows {
    segments: BTreeMap<SegmentId, Arc<Segment>>,
    active: SegmentId,
}

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) disk: Arc<dyn Disk>,
    rows: RwLock<Rows>,
    /// Segments whose files are open, oldest first; weak, so that being open is no pin.
    open: Mutex<VecDeque<Weak<Segment>>>,
}

impl Table {
    pub(crate) fn new(disk: Arc<dyn Disk>, segments: Vec<Segment>) -> Self {
        let segments = segments
            .into_iter()
            .map(|segment| (segment.id, Arc::new(segment)));
        Self {
            disk,
            rows: RwLock::new(Rows {
                segments: segments.collect(),
                active: SegmentId(0),
            }),
            open: Mutex::default(),
        }
    }

    pub(crate) fn find(&self, id: SegmentId) -> Option<Arc<Segment>> {
        self.rows.read().segments.get(&id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<SegmentInfo> {
        let rows = self.rows.read();
        rows.segments
            .values()
            .map(|segment| segment.info(rows.active))
            .collect()
    }

    pub(crate) fn extent(&self, id: SegmentId) -> Option<Extent> {
        self.find(id).map(|segment| *segment.extent.lock())
    }

    pub(crate) fn add_active(&self, segment: Arc<Segment>) {
        let mut rows = self.rows.write();
        rows.active = segment.id;
        rows.segments.insert(segment.id, segment);
    }

    /// Takes a segment out: nobody can begin to read it any more.
    pub(crate) fn take(&self, id: SegmentId) -> Option<Arc<Segment>> {
        self.rows.write().segments.remove(&id)
    }

    /// The segment's file, opened if it is not open yet.
    pub(crate) fn file(&self, segment: &Arc<Segment>) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = segment.file.lock().as_ref() {
            return Ok(file.clone());
        }
        let file = self.disk.open_read(&segment.path)?;
        *segment.file.lock() = Some(file.clone());
        self.opened(segment);
        Ok(file)
    }

    /// Counts a segment's file among those held open, and closes the one open longest.
    pub(crate) fn opened(&self, segment: &Arc<Segment>) {
        let closed = {
            let mut open = self.open.lock();
            open.push_back(Arc::downgrade(segment));
            if open.len() > OPEN_FILES_MAX {
                open.pop_front()
            } else {
                None
            }
        };
        if let Some(closed) = closed.and_then(|closed| closed.upgrade()) {
            *closed.file.lock() = None;
        }
    }
}
