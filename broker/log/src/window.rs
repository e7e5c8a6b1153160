//! The bytes of one segment, of which a part at a time is in memory.

use std::{fmt, io, sync::Arc};

use crate::disk::DiskFile;

/// What is read at once, unless more is asked for. Less than a segment by far: the first use of
/// memory costs more than reading into it again.
const WINDOW_BYTES: u32 = 2 << 20;
const READ_BYTES: usize = 1 << 20;
const PAGE: usize = 4096;

/// A window on a segment's file. Pages that the disk cannot read stand as zeroes and are counted.
#[derive(Default)]
pub(crate) struct Window {
    file: Option<Arc<dyn DiskFile>>,
    /// Of the part of the file that can be seen.
    length: u32,
    start: u32,
    bytes: Vec<u8>,
    unreadable: usize,
    /// Pages before this offset have been counted.
    counted: u64,
}

impl fmt::Debug for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Window")
            .field("length", &self.length)
            .field("start", &self.start)
            .field("bytes", &self.bytes.len())
            .field("unreadable", &self.unreadable)
            .finish_non_exhaustive()
    }
}

impl Window {
    /// Turns to the first `length` bytes of a file. The memory is kept.
    pub(crate) fn open(&mut self, file: Arc<dyn DiskFile>, length: u32) {
        self.file = Some(file);
        self.length = length;
        self.start = 0;
        self.bytes.clear();
        self.unreadable = 0;
        self.counted = 0;
    }

    pub(crate) const fn length(&self) -> u32 {
        self.length
    }

    /// Pages met so far that the disk could not read.
    pub(crate) const fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// So many bytes from an offset on, or what there is of them before the end.
    pub(crate) fn at(&mut self, offset: u32, length: u32) -> &[u8] {
        let offset = offset.min(self.length);
        let end = offset.saturating_add(length).min(self.length);
        let held = u64::from(self.start) + self.bytes.len() as u64;
        if offset < self.start || u64::from(end) > held {
            self.load(offset, end);
        }
        let from = (offset - self.start) as usize;
        &self.bytes[from..from + (end - offset) as usize]
    }

    /// The next offset from this one on at which there may be anything but zeroes.
    pub(crate) fn next_data(&self, offset: u32) -> Option<u32> {
        if offset >= self.length {
            return None;
        }
        let asked = self.file.as_ref()?.next_data(u64::from(offset));
        // What the file system does not say has to be looked at.
        let next = asked.unwrap_or(Some(u64::from(offset)))?;
        u32::try_from(next).ok().filter(|next| *next < self.length)
    }

    fn load(&mut self, offset: u32, end: u32) {
        self.start = offset - offset % PAGE as u32;
        let end = self.start.saturating_add(WINDOW_BYTES).max(end);
        let count = (end.min(self.length) - self.start) as usize;
        if count <= WINDOW_BYTES as usize {
            // One huge group must not keep its memory.
            self.bytes.truncate(WINDOW_BYTES as usize);
            self.bytes.shrink_to(WINDOW_BYTES as usize);
        }
        // All of it is written over.
        self.bytes.resize(count, 0);
        let Some(file) = &self.file else { return };
        let start = u64::from(self.start);
        let counted = self.counted;
        let unreadable = &mut self.unreadable;
        fill_tolerant(&**file, start, &mut self.bytes, |page| {
            *unreadable += usize::from(page >= counted);
        });
        self.counted = counted.max(start + count as u64);
    }
}

/// Reads `length` bytes, all that there are of them; what cannot be read comes as zeroes.
pub(crate) fn read_tolerant(file: &dyn DiskFile, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fill_tolerant(file, offset, &mut bytes, |_| {});
    bytes
}

/// Fills the buffer with what there is and the rest with zeroes, and tells the offset of each page
/// that cannot be read.
fn fill_tolerant(
    file: &dyn DiskFile,
    offset: u64,
    buffer: &mut [u8],
    mut unreadable: impl FnMut(u64),
) {
    for (index, block) in buffer.chunks_mut(READ_BYTES).enumerate() {
        let start = offset + (index * READ_BYTES) as u64;
        let is_hole = match file.next_data(start) {
            Ok(next) => next.is_none_or(|next| next >= start + block.len() as u64),
            Err(_) => false,
        };
        if is_hole {
            block.fill(0);
        } else if fill(file, start, block).is_err() {
            for (index, page) in block.chunks_mut(PAGE).enumerate() {
                let start = start + (index * PAGE) as u64;
                if fill(file, start, page).is_err() {
                    page.fill(0);
                    unreadable(start);
                }
            }
        }
    }
}

fn fill(file: &dyn DiskFile, start: u64, block: &mut [u8]) -> io::Result<()> {
    let count = file.read_at(start, block)?;
    block[count..].fill(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of which one page cannot be read.
    #[derive(Debug)]
    struct Sample {
        bytes: Vec<u8>,
        bad: Option<u64>,
    }

    impl DiskFile for Sample {
        fn allocate(&self, _bytes: u64) -> io::Result<()> {
            Ok(())
        }
        fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
            Ok(())
        }
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            let wanted = offset..offset + buffer.len() as u64;
            if self.bad.is_some_and(|bad| wanted.contains(&bad)) {
                return Err(io::Error::other("a bad sector"));
            }
            let rest = self.bytes.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }
        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }
        fn length(&self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }
        fn truncate(&self, _length: u64) -> io::Result<()> {
            Ok(())
        }
    }

    fn sample(length: u32, bad: Option<u64>) -> (Vec<u8>, Window) {
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let mut window = Window::default();
        let file = Sample {
            bytes: bytes.clone(),
            bad,
        };
        window.open(Arc::new(file), length);
        (bytes, window)
    }

    #[test]
    fn every_stretch_reads_as_the_file_has_it() {
        let length = 3 * WINDOW_BYTES + 777;
        let (bytes, mut window) = sample(length, None);
        let near = [0, 1, 64, 4095, 4096, 5000];
        let far = [
            WINDOW_BYTES,
            2 * WINDOW_BYTES + 9,
            length - 1,
            length,
            length + 5,
        ];
        for offset in near.into_iter().chain(far) {
            for count in [0, 1, 64, 8192, WINDOW_BYTES, WINDOW_BYTES + 1, length] {
                let from = (offset as usize).min(bytes.len());
                let to = (from + count as usize).min(bytes.len());
                assert!(
                    window.at(offset, count) == &bytes[from..to],
                    "{count} at {offset}"
                );
            }
        }
        assert_eq!(window.unreadable(), 0);
    }

    #[test]
    fn a_page_that_cannot_be_read_is_zeroes_and_counted_once() {
        let (bytes, mut window) = sample(2 * WINDOW_BYTES, Some(4096 * 3 + 5));
        for _ in 0..3 {
            assert_eq!(window.at(4096 * 3, 4096), vec![0; 4096]);
            assert!(window.at(4096 * 4, 4096) == &bytes[4096 * 4..4096 * 5]);
            window.at(WINDOW_BYTES + 9, 64);
        }
        assert_eq!(window.unreadable(), 1);
    }
}
