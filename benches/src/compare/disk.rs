//! What one durable write costs here, without any broker.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::load::Latency;

/// The file is written in full beforehand, so that a sync has no size or extent to record.
const FILE_BYTES: u64 = 16 * 1024 * 1024;

/// The median of one append and `fdatasync` of `size` bytes in `directory`, in microseconds.
pub(crate) fn sync_microseconds(directory: &Path, size: usize, time: Duration) -> Result<f64> {
    ensure!(
        size > 0 && size as u64 <= FILE_BYTES,
        "a sync of {size} bytes"
    );
    let file = tempfile::tempfile_in(directory)
        .with_context(|| format!("no file in {}", directory.display()))?;
    fill(&file)?;
    let record = vec![0x5a; size];
    let mut latency = Latency::default();
    let mut offset = 0;
    let start = Instant::now();
    while start.elapsed() < time {
        if offset + size as u64 > FILE_BYTES {
            offset = 0;
        }
        let before = Instant::now();
        file.write_all_at(&record, offset)?;
        file.sync_data()?;
        latency.record(u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX));
        offset += size as u64;
    }
    latency
        .percentiles()
        .map(|percentiles| percentiles.p50)
        .context("no sync was measured")
}

fn fill(file: &File) -> Result<()> {
    let zeros = vec![0; 1024 * 1024];
    for offset in (0..FILE_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset)?;
    }
    file.sync_all()?;
    Ok(())
}
