//! The end of the chain: appends groups, syncs them, begins segments. Owned by the commit thread.

use std::{
    io, mem,
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use crate::{
    bytes::Seed,
    checkpoint::Extent,
    disk::{DiskFile, DiskLock},
    error::CommitError,
    group::{self, Group, GroupHeader},
    id::{Lsn, SegmentId},
    options::Options,
    segment::{self, GROUPS_START, Link, SegmentHeader},
    spares::Spares,
    table::{Segment, Table},
};

/// Bytes at the end of a segment that are left for the log's own records, so that a checkpoint,
/// which frees space, does not itself need a new segment on a full disk.
const RESERVE_BYTES: u64 = 8 << 10;

/// Which part of a segment a group may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The owner's records.
    Owner,
    /// The log's own, which may use the reserve.
    Own,
}

/// Where the chain goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) segment: SegmentId,
    pub(crate) group: u64,
    pub(crate) lsn: Lsn,
    /// Highest LSN that is synced.
    pub(crate) durable: Lsn,
}

/// Where a group was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupPlace {
    pub(crate) segment: SegmentId,
    pub(crate) offset: u32,
}

#[derive(Debug)]
struct Active {
    segment: Arc<Segment>,
    file: Arc<dyn DiskFile>,
    used: u32,
    dirty: bool,
}

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) table: Arc<Table>,
    options: Options,
    active: Option<Active>,
    link: Link,
    next: Next,
    /// Sealed segments with unsynced groups.
    unsynced: Vec<Arc<dyn DiskFile>>,
    spares: Spares,
    _lock: Box<dyn DiskLock>,
}

impl Writer {
    pub(crate) fn new(
        table: Arc<Table>,
        options: Options,
        link: Link,
        next: Next,
        lock: Box<dyn DiskLock>,
    ) -> Self {
        Self {
            table,
            options,
            active: None,
            link,
            next,
            unsynced: Vec::new(),
            spares: Spares::default(),
            _lock: lock,
        }
    }

    pub(crate) fn next_lsn(&self) -> Lsn {
        self.next.lsn
    }

    pub(crate) fn durable(&self) -> Lsn {
        self.next.durable
    }

    pub(crate) fn active(&self) -> SegmentId {
        self.active
            .as_ref()
            .map_or(SegmentId(0), |active| active.segment.id)
    }

    /// Whether something was written since the last sync.
    pub(crate) fn dirty(&self) -> bool {
        !self.unsynced.is_empty() || self.active.as_ref().is_some_and(|active| active.dirty)
    }

    /// Prepares a group for the place where the next one will probably be written.
    pub(crate) fn begin(&self, group: &mut Group) {
        let seed = self
            .active
            .as_ref()
            .map_or(Seed::new(0), |active| active.segment.seed);
        group.begin(self.next.lsn, seed);
    }

    /// Writes a group that has records. `NoSpace` and `TooLarge` leave the chain as it was, but for
    /// the numbers that the group's records had; `Poisoned` is final.
    pub(crate) fn write(
        &mut self,
        group: &mut Group,
        purpose: Purpose,
    ) -> Result<GroupPlace, CommitError> {
        self.next.lsn = group.first_lsn().plus(group.records() as u64);
        if group.overflowed() {
            return Err(CommitError::TooLarge);
        }
        let bytes = (group.bytes() + group::HEADER_BYTES) as u64;
        let mut active = match self.active.take() {
            Some(active) if self.fits(&active, bytes, purpose) => active,
            sealed => self.rotate(sealed, bytes, group.first_lsn())?,
        };
        group.reseal(active.segment.seed);
        let (header, written) = group.finish(GroupHeader {
            previous: self.link.checksum,
            number: self.next.group,
            durable: self.next.durable,
            clock: now(),
            ..GroupHeader::default()
        });
        let offset = active.used;
        active.dirty = true;
        let result = active.file.write_at(u64::from(offset), written);
        active.used += header.length;
        let place = GroupPlace {
            segment: active.segment.id,
            offset,
        };
        if let Err(error) = result {
            return Err(poisoned("write", &active.segment.path, &error));
        }
        self.next.group += 1;
        self.link = Link {
            segment: place.segment,
            end_offset: active.used,
            group: header.number,
            checksum: header.checksum,
            end_lsn: header.end_lsn(),
        };
        let mut extent = active.segment.extent.lock();
        extent.end_offset = active.used;
        extent.last_group = header.number;
        extent.end_lsn = self.link.end_lsn;
        extent.last_checksum = header.checksum;
        drop(extent);
        self.active = Some(active);
        Ok(place)
    }

    /// Makes everything written so far durable.
    pub(crate) fn sync(&mut self) -> Result<(), CommitError> {
        for file in mem::take(&mut self.unsynced) {
            file.sync_data()
                .map_err(|error| poisoned("sync", &self.options.directory, &error))?;
        }
        if let Some(active) = self.active.as_mut()
            && active.dirty
        {
            let path = &active.segment.path;
            active
                .file
                .sync_data()
                .map_err(|error| poisoned("sync", path, &error))?;
            active.dirty = false;
        }
        self.next.durable = self.next.durable.max(self.link.end_lsn.before());
        Ok(())
    }

    /// Takes segments out of the log; their space comes back once nobody reads them.
    pub(crate) fn free(&mut self, ids: &[SegmentId]) {
        for id in ids {
            if let Some(segment) = self.table.take(*id) {
                self.spares.condemn(segment);
            }
        }
        self.spares.collect(&self.table, &self.options);
    }

    fn fits(&self, active: &Active, bytes: u64, purpose: Purpose) -> bool {
        let reserve = match purpose {
            Purpose::Owner => RESERVE_BYTES.min(active.segment.capacity / 8),
            Purpose::Own => 0,
        };
        u64::from(active.used) + bytes + reserve <= active.segment.capacity
    }

    /// Begins a segment with room for a group of `bytes`. If there is no space for one, the active
    /// segment stays the one it was.
    fn rotate(
        &mut self,
        sealed: Option<Active>,
        bytes: u64,
        first_lsn: Lsn,
    ) -> Result<Active, CommitError> {
        self.spares.collect(&self.table, &self.options);
        let begun = self.begin_segment(bytes, first_lsn);
        match (begun, sealed) {
            (Ok(active), sealed) => {
                if let Some(sealed) = &sealed {
                    self.table.opened(&sealed.segment);
                }
                self.unsynced
                    .extend(sealed.filter(|old| old.dirty).map(|old| old.file));
                self.table.add_active(active.segment.clone());
                Ok(active)
            }
            (Err(error), sealed) => {
                self.active = sealed;
                Err(error)
            }
        }
    }

    fn begin_segment(&mut self, bytes: u64, first_lsn: Lsn) -> Result<Active, CommitError> {
        let needed = u64::from(GROUPS_START) + bytes + RESERVE_BYTES.min(bytes);
        let id = self.next.segment;
        let (temporary, file, capacity) = self.space(id, needed)?;
        let no_space = |error| CommitError::NoSpace {
            bytes: capacity,
            source: Arc::new(error),
        };
        let seed = getrandom::u64().map_err(|error| no_space(io::Error::other(error)))?;
        let header = SegmentHeader {
            id,
            seed: Seed::new(seed),
            capacity,
            first_group: self.next.group,
            first_lsn,
            previous: self.link,
            durable: self.next.durable,
            clock: now(),
        };
        // A file that is not yet part of the log may fail without consequence; a sync may not.
        let path = self.options.directory.join(segment::file_name(id));
        file.write_at(0, &header.page()).map_err(no_space)?;
        file.sync_data()
            .map_err(|error| poisoned("sync", &temporary, &error))?;
        self.table
            .disk
            .rename(&temporary, &path)
            .map_err(no_space)?;
        self.next.segment = SegmentId(id.0.checked_add(1).unwrap_or(id.0));
        self.table
            .disk
            .sync_directory(&self.options.directory)
            .map_err(|error| poisoned("sync", &self.options.directory, &error))?;
        let extent = Extent {
            segment: id,
            end_offset: GROUPS_START,
            first_group: header.first_group,
            last_group: 0,
            first_lsn,
            end_lsn: first_lsn,
            last_checksum: 0,
        };
        let segment = Arc::new(Segment {
            id,
            seed: header.seed,
            path,
            capacity,
            extent: Mutex::new(extent),
            file: Mutex::new(Some(file.clone())),
        });
        Ok(Active {
            segment,
            file,
            used: GROUPS_START,
            dirty: false,
        })
    }

    /// A file with room for `needed` bytes under a temporary name: a spare, or a new one, as long
    /// as all that the log holds, within the limits; shorter if the disk has no more.
    fn space(
        &mut self,
        id: SegmentId,
        needed: u64,
    ) -> Result<(PathBuf, Arc<dyn DiskFile>, u64), CommitError> {
        let (smallest, largest) = (
            u64::from(self.options.segment_bytes_min),
            u64::from(
                self.options
                    .segment_bytes_max
                    .max(self.options.segment_bytes_min),
            ),
        );
        let held: u64 = self.table.all().iter().map(|segment| segment.bytes).sum();
        let least = needed.next_multiple_of(4096);
        let mut capacity = held
            .checked_next_power_of_two()
            .unwrap_or(largest)
            .clamp(smallest, largest)
            .max(least);
        if let Some(spare) = self.spares.take(&*self.table.disk, least, capacity) {
            return Ok(spare);
        }
        let path = self.options.directory.join(format!("{:010}.new", id.0));
        loop {
            match self.allocate(&path, capacity) {
                Ok(file) => return Ok((path, file, capacity)),
                Err(_) if capacity > least => capacity = (capacity / 2).max(least),
                Err(error) => {
                    let source = Arc::new(error);
                    return Err(CommitError::NoSpace {
                        bytes: capacity,
                        source,
                    });
                }
            }
        }
    }

    fn allocate(&self, path: &std::path::Path, capacity: u64) -> io::Result<Arc<dyn DiskFile>> {
        let disk = &*self.table.disk;
        let file = match disk.create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.remove(path)?;
                disk.create(path)?
            }
            created => created?,
        };
        match file.allocate(capacity) {
            Ok(()) => Ok(file),
            Err(error) => {
                drop(file);
                disk.remove(path)?;
                Err(error)
            }
        }
    }
}

fn poisoned(operation: &str, path: &std::path::Path, error: &io::Error) -> CommitError {
    CommitError::Poisoned {
        reason: format!("cannot {operation} {}: {error}", path.display()).into(),
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
