//! How a store is opened.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leveret_log::{Disk, RealDisk};

type SyncFile = dyn Fn(&Path) -> io::Result<()> + Send + Sync;

/// Makes the state's file durable. Replaced only by tests, which watch it or let it fail.
#[derive(Clone)]
pub struct StateSync(Arc<SyncFile>);

impl StateSync {
    /// Calls `sync` with the file.
    pub fn new(sync: impl Fn(&Path) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(sync))
    }

    /// Makes `file` durable.
    pub(crate) fn sync(&self, file: &Path) -> io::Result<()> {
        (self.0)(file)
    }
}

impl Default for StateSync {
    fn default() -> Self {
        Self::new(|file| File::open(file)?.sync_data())
    }
}

impl fmt::Debug for StateSync {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StateSync")
    }
}

/// What an operation must have reached before it is called durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Synced: it survives the loss of power.
    #[default]
    Commit,
    /// Written; synced this long afterwards at the latest. The loss of power takes what was not.
    Interval(Duration),
    /// Written; synced when the operating system sees fit.
    OperatingSystem,
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The store's folder; created if it does not exist.
    pub directory: PathBuf,
    /// What a confirm promises.
    pub durability: Durability,
    /// A checkpoint is taken after so many bytes of log,
    pub checkpoint_bytes: u64,
    /// or so long after the first operation since the last one.
    pub checkpoint_interval: Duration,
    /// The smallest segment; segments double from here,
    pub segment_bytes_min: u32,
    /// up to this.
    pub segment_bytes_max: u32,
    /// A log of so few segments is not cleaned.
    pub cleaning_segments_min: usize,
    /// So many messages a rebuild of the state holds in memory before it writes them.
    pub rebuild_messages_max: usize,
    /// Less free space than this is too little. `None`: 256 MiB or four of the largest segments,
    /// whichever is more.
    pub disk_free_limit: Option<u64>,
    /// Where everything but the state lies: the machine's file system, or a simulated one.
    pub disk: Arc<dyn Disk>,
    /// How the state's file is made durable.
    pub state_sync: StateSync,
}

impl StoreOptions {
    /// The defaults, for the given folder.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            durability: Durability::Commit,
            checkpoint_bytes: 64 << 20,
            checkpoint_interval: Duration::from_secs(1),
            segment_bytes_min: 1 << 20,
            segment_bytes_max: 64 << 20,
            cleaning_segments_min: 8,
            rebuild_messages_max: 300_000,
            disk_free_limit: None,
            disk: Arc::new(RealDisk),
            state_sync: StateSync::default(),
        }
    }

    /// The free space below which publishers are to be blocked.
    #[must_use]
    pub fn disk_free_limit_bytes(&self) -> u64 {
        self.disk_free_limit
            .unwrap_or_else(|| (256 << 20).max(4 * u64::from(self.segment_bytes_max)))
            .max(self.disk_free_floor())
    }

    /// With less than this no segment may be had, so that publishers are blocked whatever the limit.
    pub(crate) fn disk_free_floor(&self) -> u64 {
        4 * u64::from(self.segment_bytes_min)
    }
}
