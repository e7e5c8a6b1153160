//! The bytes of a simulated file, in shared chunks, so that a copy costs next to nothing.

use std::{collections::BTreeMap, sync::Arc};

const CHUNK: usize = 16 * 1024;

/// A sparse file's bytes. Cloning shares all chunks; writing copies the chunk it touches.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    chunks: Arc<BTreeMap<u64, Arc<[u8; CHUNK]>>>,
    length: u64,
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let chunks = Arc::make_mut(&mut self.chunks);
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let within = (at % CHUNK as u64) as usize;
            let count = (CHUNK - within).min(bytes.len() - done);
            let chunk = chunks
                .entry(at / CHUNK as u64)
                .or_insert_with(|| Arc::new([0; CHUNK]));
            Arc::make_mut(chunk)[within..within + count]
                .copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
        self.length = self.length.max(offset + bytes.len() as u64);
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let available = self.length.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let mut done = 0;
        while done < available {
            let at = offset + done as u64;
            let within = (at % CHUNK as u64) as usize;
            let count = (CHUNK - within).min(available - done);
            let target = &mut buffer[done..done + count];
            match self.chunks.get(&(at / CHUNK as u64)) {
                Some(chunk) => target.copy_from_slice(&chunk[within..within + count]),
                None => target.fill(0),
            }
            done += count;
        }
        available
    }

    /// Lengthens with zeroes or cuts; what is cut reads as zeroes if the file grows again.
    pub(super) fn resize(&mut self, length: u64) {
        if length < self.length {
            let chunks = Arc::make_mut(&mut self.chunks);
            chunks.retain(|number, _| number * (CHUNK as u64) < length);
            let within = (length % CHUNK as u64) as usize;
            if let Some(chunk) = chunks.get_mut(&(length / CHUNK as u64)) {
                Arc::make_mut(chunk)[within..].fill(0);
            }
        }
        self.length = length;
    }
}
